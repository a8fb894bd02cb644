"""A version is warm when it, and no other, has answered often enough in a row."""

from collections.abc import Iterator

import httpx
import pytest

from ci.release.warmth import warm
from k8s.errors import Unreachable


def client(*answering: str | int) -> httpx.Client:
    """A gateway by which one version after the other answers, or fails with a status."""
    turns: Iterator[str | int] = iter(answering)

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["x-model-version"] == "v43"
        if request.url.path == "/v1/models":
            return httpx.Response(200, json={"data": [{"id": "glm"}]})
        who = next(turns, answering[-1])
        if isinstance(who, int):
            return httpx.Response(who)
        said = {"choices": [{"message": {"content": "" if who == "mute" else "Hello"}}]}
        return httpx.Response(200, json=said, headers={"x-model-version": who})

    return httpx.Client(base_url="http://gateway.example", transport=httpx.MockTransport(answer))


class Clock:
    """Turned by whoever looks at it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.25
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def warmed(*answering: str | int) -> float:
    clock = Clock()
    return warm(client(*answering), "v43", 3, 30.0, clock=clock, sleep=clock.sleep)


def test_an_answer_of_another_version_begins_the_row_anew() -> None:
    assert warmed("v42", "v43", "v43", "v42", "v43", "v43", "v43") == 0.25


def test_errors_are_waited_out() -> None:
    assert warmed(503, 500, "v43", "v43", "v43") == 0.25


@pytest.mark.parametrize(
    ("who", "why"), [("v42", "v42 answered"), (503, "503"), ("mute", "v43|mute|empty")]
)
def test_a_version_that_stays_cold_is_named_with_its_reason(who: str | int, why: str) -> None:
    with pytest.raises(Unreachable, match=why):
        warmed(who)
