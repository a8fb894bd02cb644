"""What the gateway may try again: only what has done no work."""

import pytest

from serve_app.errors import HTTP_ERRORS, Draining, NotReady, Overloaded
from tests.chart import helm
from tests.chart.helm import Object, objects, of_kind

CHART = helm.chart("glm-platform")
UNSENT = {"connect-failure", "refused-stream", "reset-before-request"}


@pytest.fixture(scope="module")
def retry() -> Object:
    (policy,) = of_kind(
        "BackendTrafficPolicy", objects("glm-platform", CHART / "ci" / "default-values.yaml")
    )
    found: Object = policy["spec"]["retry"]["retryOn"]
    return found


def test_a_status_that_is_tried_again_is_only_said_before_there_is_work(retry: Object) -> None:
    retried = {
        error for error, told in HTTP_ERRORS.items() if told.status in retry["httpStatusCodes"]
    }
    assert retried == {Overloaded, Draining, NotReady}


def test_a_connection_that_broke_under_an_answer_is_not_tried_again(retry: Object) -> None:
    assert set(retry["triggers"]) == UNSENT | {"retriable-status-codes"}


def test_where_nobody_knows_the_policy_there_is_none() -> None:
    plain = objects("glm-platform", CHART / "ci" / "class-values.yaml")
    assert of_kind("BackendTrafficPolicy", plain) == []
