"""Rules by which users go home, most urgent first; a hold stops none of them but the deadline."""

from k8s.phases import Event
from k8s.road import Outcome, Stable
from k8s.road.route import service_of
from k8s.rules.observed import Move, Observed, asked_by, in_words


def rollback_asked(observed: Observed) -> Move | None:
    """To where somebody wants to be, or home if nobody answers there."""
    target = _wanted_back(observed)
    if target is None:
        return None
    if observed.ready.get(target.version):
        return _back_to(target.version, f"{asked_by(observed)} asked for {target.version}")
    if observed.status.under_way and observed.status.stable:
        why = f"{target.version} was asked for, but nobody answers behind it"
        return _back_to(observed.status.stable, why)
    return None


def _wanted_back(observed: Observed) -> Stable | None:
    """A kept version that the spec ends at, though users are elsewhere or on two versions."""
    spec, status = observed.spec, observed.status
    at_home = spec.target == status.stable and not (spec.rollback_to and status.under_way)
    return None if at_home else status.kept(spec.target)


def awaited(observed: Observed) -> str | None:
    """Why nobody is back yet where the spec ends, in words."""
    target = _wanted_back(observed)
    if target is None:
        return None
    service, stable = service_of(target.version), observed.status.stable
    return (
        f"{target.version} was asked for; nobody answers behind {service} yet, "
        f"so everybody stays on {stable}"
    )


def _back_to(version: str, why: str) -> Move:
    return Move(event=Event.ROLLBACK_ASKED, version=version, message=why)


def stable_lost(observed: Observed) -> Move | None:
    """The youngest kept version that is there takes over."""
    status = observed.status
    if status.stable is None or status.stable in observed.ready:
        return None
    living = [each.version for each in status.stables if each.version in observed.ready]
    if not living:
        return None
    best = next((name for name in living if observed.ready[name]), living[0])
    message = f"the Service {service_of(status.stable)} is gone; {best} has all traffic"
    return Move(event=Event.STABLE_LOST, version=best, message=message)


def candidate_lost(observed: Observed) -> Move | None:
    """Its Service is gone, or nobody answers its share."""
    status = observed.status
    if not status.under_way or status.candidate is None:
        return None
    candidate = status.candidate
    if candidate not in observed.ready:
        why = f"the Service {service_of(candidate)} is gone"
    elif status.weight(candidate) and not observed.ready[candidate]:
        why = f"nobody answers behind {service_of(candidate)}, which has a share of traffic"
    else:
        return None
    return Move(event=Event.CANDIDATE_LOST, version=candidate, message=why)


def withdrawn(observed: Observed) -> Move | None:
    """The spec asks for another candidate, or for none."""
    spec, status = observed.spec, observed.status
    asked = (spec.candidate, spec.attempt)
    if status.candidate is None or asked == (status.candidate, status.attempt):
        return None
    instead = f"; it names {spec.candidate}, attempt {spec.attempt}" if spec.candidate else ""
    message = f"the spec no longer asks for {status.candidate}{instead}"
    return Move(event=Event.WITHDRAWN, version=status.candidate, message=message)


def gate_failed(observed: Observed) -> Move | None:
    """A check has proof."""
    failed = [each for each in observed.report or () if each.outcome is Outcome.FAIL]
    if not failed or observed.status.candidate is None:
        return None
    message = in_words(failed)
    return Move(event=Event.GATE_FAILED, version=observed.status.candidate, message=message)


def deadline_exceeded(observed: Observed) -> Move | None:
    """The dead man's switch: whatever the reason, it was not over in time."""
    status = observed.status
    deadline = status.step_deadline
    if deadline is None or status.candidate is None or observed.now < deadline:
        return None
    message = f"{status.step} was not over by its deadline; {status.message}"
    return Move(event=Event.DEADLINE_EXCEEDED, version=status.candidate, message=message)
