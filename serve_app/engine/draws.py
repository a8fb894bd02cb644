"""What a step brings back: a token for every row that draws, and how likely it was."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from serve_app.engine.sequence import Sequence


@dataclass(frozen=True, slots=True)
class Chances:
    """The natural logarithm of a token's probability, and the likeliest ids with theirs."""

    logprob: float
    top: tuple[tuple[int, float], ...] = ()  # likeliest first
    rank: int | None = None  # 1: none is likelier; None: not asked for


@dataclass(frozen=True, slots=True)
class Draws:
    """Tokens by their place in `batch.drawing`; None: the row's logits allowed no token."""

    tokens: list[int | None]
    chances: Mapping[int, Chances] = field(default_factory=dict)  # by place, of rows that asked
    prompt_chances: Mapping[Sequence, list[Chances]] = field(default_factory=dict)
    """Of each prompt token that follows a position computed in this step, in order."""
    more: Mapping[int, list[int]] = field(default_factory=dict)
    """By place, what drafts led to: tokens behind the first."""
