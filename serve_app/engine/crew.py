"""The processes of the other ranks, as the first one sees them."""

from collections.abc import Callable
from typing import Protocol


class Crew(Protocol):
    """The processes of the other ranks."""

    @property
    def is_lost(self) -> bool:
        """Whether one of them has ended unasked."""
        ...

    def tell(self, message: bytes) -> None:
        """Send something to all of them; raises OSError where there is nobody any more."""
        ...

    def watch(self, on_loss: Callable[[], None]) -> None:
        """From now on call that, from a thread, when one of them ends unasked."""
        ...

    def dismiss(self) -> None:
        """Let them end, and wait until they have."""
        ...


class Nobody:
    """The crew of a rank that is alone."""

    is_lost = False

    def tell(self, message: bytes) -> None:
        """Nobody hears it."""

    def watch(self, on_loss: Callable[[], None]) -> None:
        """Nobody can be lost."""

    def dismiss(self) -> None:
        """Nobody is there."""


NOBODY = Nobody()
