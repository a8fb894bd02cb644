"""Whether the pipeline's jobs wait for as long as a road's policy lets its steps take."""

from collections.abc import Sequence

from k8s.errors import Refused
from k8s.road import Step
from k8s.road.wire import duration_of


def check(plan: Sequence[Step], patience_s: float, job_s: float) -> None:
    """Raises Refused where a job would give a candidate up that the road still waits for.

    A step that waits for a person has its job behind it: that time is waited out by the next one.
    """
    needed_s = max(map(sum, zip(*_deadlines(plan), strict=True)))
    if needed_s > patience_s:
        raise Refused(
            f"By the policy's deadlines a step may take {duration_of(needed_s)}, and a job of the "
            f"pipeline waits {duration_of(patience_s)}: shorten them, or raise STEP_TIMEOUT and "
            "`timeout` of .road in ci/00-rules.yml."
        )
    if patience_s >= job_s < float("inf"):
        raise Refused(
            f"A job waits {duration_of(patience_s)} (STEP_TIMEOUT) for its step, but GitLab ends "
            f"it after {duration_of(job_s)}: raise its time-out, or the runner's."
        )


def _deadlines(plan: Sequence[Step]) -> tuple[Sequence[float], Sequence[float]]:
    """By job, the last one is that of `promote`: of its own step, and of a held one before it."""
    own = [*(each.deadline for each in plan), 0.0]
    held = [0.0, *(each.deadline if each.hold else 0.0 for each in plan)]
    return own, held
