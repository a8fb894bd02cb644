"""What may be asked for by name."""

from collections.abc import Collection

from serve_app.errors import UnknownModel
from serve_app.messages import ModelCard, Serving


class Cards:
    """The model that is served now, and the names that lead to it.

    Those of its predecessors do too, as long as the server runs: a switch breaks no client, and
    every answer says which model gave it. `aliases` always do.
    """

    def __init__(self, serving: Serving, aliases: Collection[str] = ()) -> None:
        self._serving = serving
        self._aliases = aliases

    @property
    def current(self) -> ModelCard:
        return self._serving.card

    def turn(self, serving: Serving) -> None:
        """From the next request on."""
        self._serving = serving

    def find(self, name: str) -> ModelCard:
        """The model that answers for a name; raises UnknownModel."""
        current = self.current
        if name not in {current.name, *self._serving.former, *self._aliases}:
            raise UnknownModel(
                f"No model of that name is served here; use {current.name}.", "model"
            )
        return current
