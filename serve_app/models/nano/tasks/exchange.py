"""What a task makes: a few turns that belong together."""

from collections.abc import Callable
from dataclasses import dataclass

from serve_app.messages import Message
from serve_app.models.nano.voice import Voice


@dataclass(frozen=True, slots=True)
class Exchange:
    """Turns of one task; `graded` is the index of the answer that counts."""

    turns: tuple[Message, ...]
    graded: int = -1
    system: str = ""  # what the turns need as the system message
    opens: bool = False  # nothing may stand before


Make = Callable[[Voice], Exchange]


@dataclass(frozen=True, slots=True)
class Task:
    """A generator of exchanges and its share of the training dialogues."""

    make: Make
    weight: float
