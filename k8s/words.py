"""A road explained in words: why it is where it is, and what comes next."""

from collections.abc import Iterator, Mapping
from typing import Final

from pydantic.alias_generators import to_camel

from k8s.conditions import ROUTED
from k8s.gates import HELD_TO
from k8s.phases import thresholds_of
from k8s.road import Outcome, Phase, Road, Status, Verdict
from k8s.road.spec import PROMOTED
from k8s.road.wire import duration_of
from k8s.rules import Observed, holding

SIGNS: Final[Mapping[Outcome, str]] = {
    Outcome.PASS: "✅",
    Outcome.WAIT: "⏳",
    Outcome.FAIL: "❌",
}


def why(road: Road, now: float) -> str:
    """A paragraph for a person; `now` in Unix seconds."""
    return "\n".join((*_where(road.status), *_numbers(road), *_next(road, now)))


def as_markdown(road: Road, now: float) -> str:
    """For a merge request: the same words, and every check with its numbers."""
    status = road.status
    of = f" of {status.candidate} in {status.judged}" if status.judged else ""
    lines = (f"## {road.name}: {status.phase}", "", "```", why(road, now), "```", "")
    return "\n".join((*lines, f"Checks{of}:", "", *_checks(status), ""))


def _checks(status: Status) -> Iterator[str]:
    yield "| | check | what was seen | samples |"
    yield "|---|---|---|---|"
    for each in status.verdicts:
        samples = "" if each.samples is None else each.samples
        yield f"| {SIGNS[each.outcome]} | {each.check} | {each.message} | {samples} |"


def _where(status: Status) -> Iterator[str]:
    if status.stable is None:
        yield "Nobody has traffic yet: no controller has looked, or the stable Service is missing."
        return
    shares = ", ".join(f"{each.version} {each.weight} %" for each in status.weights)
    yield f"{status.phase}: {shares}."
    if any(each.type == ROUTED and each.status == "False" for each in status.conditions):
        yield (
            "No traffic comes: a gateway that spec.parentRefs names has not taken the route "
            "(kubectl describe httproute)."
        )
    if status.history:
        last = status.history[-1]
        by = f", asked by {last.by}" if last.by else ""
        yield f"Last: {last.event} of {last.version}{by}: {last.message}."


def _numbers(road: Road) -> Iterator[str]:
    """The checks that stood in the way, or how many did not."""
    status = road.status
    if not status.verdicts:
        return
    candidate = status.candidate or ""
    for outcome in (Outcome.FAIL, Outcome.WAIT):
        for verdict in status.verdicts:
            if verdict.outcome is outcome:
                yield f"  {outcome}  {verdict.check}: {_told(verdict)}{_held_to(road, verdict)}"
    passed = sum(each.outcome is Outcome.PASS for each in status.verdicts)
    yield f"  PASS  {passed} of {len(status.verdicts)} checks on {candidate}"


def _told(verdict: Verdict) -> str:
    seen = f" ({verdict.samples} seen)" if verdict.samples is not None else ""
    return f"{verdict.message}{seen}"


def _held_to(road: Road, verdict: Verdict) -> str:
    """The threshold behind a verdict, named as in the policy, and whose it is."""
    status, field = road.status, HELD_TO.get(verdict.check)
    step = next((each for each in status.plan if each.name == status.judged), None)
    if field is None or step is None:
        return ""
    value = getattr(thresholds_of(road.spec.policy, step), field)
    whose = step.name if step.gates and field in step.gates.own() else "the road"
    return f"; {to_camel(field)} {value:g} of {whose}" if value is not None else ""


def _next(road: Road, now: float) -> Iterator[str]:
    status, spec = road.status, road.spec
    if status.observed_generation < road.generation:
        yield "No controller has seen the last change of the spec yet."
    yield from _holds(road)
    if status.under_way:
        yield from _now(road, now)
        if status.step_deadline is not None:
            left = max(status.step_deadline - now, 0.0)
            ends = duration_of(round(left))
            yield f"If it is not over in {ends}, everybody goes back to {status.stable}."
        if spec.advance_to != PROMOTED:
            yield f"Nobody has allowed more than {spec.advance_to} yet: kubectl glm promote."
    elif status.phase is not Phase.STABLE and spec.target != status.stable:
        yield from _now(road, now)


def _holds(road: Road) -> Iterator[str]:
    spec, own = road.spec, road.status.hold
    if spec.hold:
        yield f"Held by {spec.hold.by or 'somebody'}: {spec.hold.reason or 'no reason given'}."
    if own and spec.lift_hold != own.id:
        yield f"Held by {own.id}: {own.reason}; kubectl glm resume --hold {own.id} lifts it."


def _now(road: Road, now: float) -> Iterator[str]:
    """Unless it is a hold that was told already."""
    reason = None if road.spec.rollback_to else holding(Observed(road=road, ready={}, now=now))
    if road.status.message != reason:
        yield f"Now: {road.status.message}."
