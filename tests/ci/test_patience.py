"""No job gives a candidate up while the road still waits for it."""

import pytest

from ci.release import patience
from k8s.errors import Refused
from k8s.phases import plan_of
from k8s.road import CanaryStep, Mirror, Policy
from tests.ci import gitlab

HOUR = 3600.0
JOBS = gitlab.jobs()
STEP_TIMEOUT = float(JOBS["promote"]["variables"]["STEP_TIMEOUT"])
JOB_TIMEOUT = 3 * HOUR
HELD = CanaryStep(weight=10, hold=True, deadline=HOUR)


def checked(policy: Policy, job_s: float = JOB_TIMEOUT) -> None:
    patience.check(plan_of(policy), STEP_TIMEOUT, job_s)


def test_jobs_wait_for_the_default_policy_and_for_a_hold_of_an_hour() -> None:
    assert JOBS["promote"]["timeout"] == "3h"
    checked(Policy())
    checked(Policy(canary=(HELD, CanaryStep(weight=50, hold=True))))


@pytest.mark.parametrize(
    "policy",
    [
        Policy(canary=(CanaryStep(weight=50, hold=True, deadline=12 * HOUR),)),
        Policy(canary=(HELD, CanaryStep(weight=50, deadline=2 * HOUR))),
        Policy(mirror=Mirror(hold=True, deadline=2 * HOUR)),
    ],
    ids=["a night", "a hold, and the step after it", "a hold of the mirror"],
)
def test_a_policy_that_outlasts_a_job_is_refused_with_what_to_do(policy: Policy) -> None:
    with pytest.raises(Refused, match=r"STEP_TIMEOUT and `timeout` of \.road"):
        checked(policy)


def test_a_job_that_gitlab_ends_before_its_step_is_refused() -> None:
    with pytest.raises(Refused, match=r"waits 2h30m \(STEP_TIMEOUT\).*after 1h: raise"):
        checked(Policy(), job_s=HOUR)
