"""What happens next: an ordered list of rules, each of which sees one kind of event or none.

Nothing here speaks to anybody: facts in, at most one move out. A rollback stands first, so it
always wins; a hold lets only the ways back through.
"""

from collections.abc import Callable
from typing import Final

from k8s.phases import TRANSITIONS, UNDER_A_HOLD
from k8s.rules import back, forward
from k8s.rules.back import awaited
from k8s.rules.forward import awaits_leave, not_startable, waiting_for
from k8s.rules.observed import Move, Observed, holding

Rule = Callable[[Observed], Move | None]
RULES: Final[tuple[Rule, ...]] = (
    back.rollback_asked,
    back.stable_lost,
    back.candidate_lost,
    back.withdrawn,
    back.gate_failed,
    back.deadline_exceeded,
    forward.step_passed,
    forward.adopted,
    forward.candidate_named,
)


def next_move(observed: Observed) -> Move | None:
    """The most urgent move that the table allows in this phase, if any."""
    allowed = TRANSITIONS[observed.status.phase]
    held = holding(observed) is not None
    for rule in RULES:
        move = rule(observed)
        if move and move.event in allowed and (not held or move.event in UNDER_A_HOLD):
            return move
    return None


__all__ = [
    "RULES",
    "Move",
    "Observed",
    "awaited",
    "awaits_leave",
    "holding",
    "next_move",
    "not_startable",
    "waiting_for",
]
