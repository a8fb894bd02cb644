"""Copies of live requests: what is asked, what is counted, and that nothing is kept."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import httpx
import pytest

from k8s.mirror import Pair, Scorer, pair_of, serve
from k8s.mirror.copies import Kind, capped, kind_of, similarity, text_of
from k8s.road import Road, Status
from tests.release.roads import road_of
from tests.release.worlds import AtOnce

PAIR = Pair("v1", "v2")
SECRET = "my little secret"  # noqa: S105 -- what a tenant might write
CHAT = {"model": "glm", "messages": [{"role": "user", "content": SECRET}], "stream": True}


def said(text: str) -> httpx.Response:
    return httpx.Response(200, json={"choices": [{"message": {"content": text}}]})


def scorer(
    answers: dict[str, httpx.Response],
    asked: list[httpx.Request] | None = None,
    **given: Any,
) -> Scorer:
    def handle(request: httpx.Request) -> httpx.Response:
        if asked is not None:
            asked.append(request)
        return answers[request.url.host]

    client = httpx.Client(transport=httpx.MockTransport(handle))
    pair: Callable[[], Pair | None] = given.pop("pair", lambda: PAIR)
    return Scorer(client, pair, given.pop("executor", AtOnce()), **given)


def counted(made: Scorer, name: str, **labels: str) -> float:
    return made.numbers.registry.get_sample_value(name, labels) or 0.0


def test_a_copy_is_capped_and_carries_nothing_but_its_question() -> None:
    body = {**CHAT, "max_tokens": 4000, "n": 4, "user": "li", "temperature": 1.5}
    asked = capped(body, 128)
    assert asked == {
        "model": "glm",
        "messages": CHAT["messages"],
        "max_tokens": 128,
        "temperature": 0,
        "seed": 0,
    }
    assert (capped({**CHAT, "max_completion_tokens": 7}, 128) or {})["max_tokens"] == 7


@pytest.mark.parametrize(
    "body", [None, [], "text", {}, {"prompt": "x"}, {"messages": [], "max_tokens": "many"}]
)
def test_what_is_no_chat_is_not_asked(body: object) -> None:
    assert capped(body, 128) is None


def test_answers_are_sorted_by_what_they_are() -> None:
    assert [kind_of(text) for text in (None, "", "I do not know.", "Paris.")] == [
        Kind.FAILED,
        Kind.EMPTY,
        Kind.REFUSED,
        Kind.ANSWERED,
    ]


def test_a_call_is_an_answer_too() -> None:
    call = {"function": {"name": "get_weather", "arguments": "{}"}}
    message = {"content": None, "tool_calls": [call]}
    assert text_of({"choices": [{"message": message}]}) == "get_weather {}"


def test_alike_is_one_and_nothing_is_zero() -> None:
    assert similarity("Paris is the capital.", "Paris is the capital.") == pytest.approx(1.0)
    assert similarity(None, "Paris.") == similarity("", "Paris.") == 0.0
    assert similarity("", "") == 1.0
    assert 0 < similarity("The capital is Paris.", "Paris is the capital.") < 1


def test_both_versions_are_asked_the_same_and_compared() -> None:
    asked: list[httpx.Request] = []
    made = scorer({"glm-v1": said("Paris."), "glm-v2": said("Paris.")}, asked)
    made.take(CHAT, {"authorization": "Bearer k", "cookie": "c"})
    assert [each.url.host for each in asked] == ["glm-v1", "glm-v2"]
    assert asked[0].content == asked[1].content
    assert asked[0].headers["authorization"] == "Bearer k"
    assert "cookie" not in asked[0].headers
    assert counted(made, "glm_mirror_similarity_count", version="v2") == 1
    assert counted(made, "glm_mirror_similarity_sum", version="v2") == pytest.approx(1.0)
    assert counted(made, "glm_mirror_answers_total", version="v2", kind="answered") == 1


def test_a_candidate_that_fails_is_like_nothing() -> None:
    made = scorer({"glm-v1": said("Paris."), "glm-v2": httpx.Response(500)})
    made.take(CHAT, {})
    assert counted(made, "glm_mirror_answers_total", version="v2", kind="failed") == 1
    assert counted(made, "glm_mirror_similarity_sum", version="v2") == 0.0
    assert counted(made, "glm_mirror_similarity_count", version="v2") == 1


def test_where_the_stable_version_fails_nothing_is_compared() -> None:
    made = scorer({"glm-v1": httpx.Response(503), "glm-v2": said("Paris.")})
    made.take(CHAT, {})
    assert counted(made, "glm_mirror_similarity_count", version="v2") == 0


def test_without_a_candidate_copies_are_dropped_and_counted() -> None:
    made = scorer({}, pair=lambda: None)
    made.take(CHAT, {})
    made.take("no chat", {})
    assert counted(made, "glm_mirror_dropped_total", reason="no candidate") == 1
    assert counted(made, "glm_mirror_dropped_total", reason="no chat") == 1


def test_more_copies_than_allowed_at_once_are_dropped_and_places_come_back() -> None:
    class Later(Executor):
        """Does nothing until told."""

        def __init__(self) -> None:
            self.waiting: list[tuple[Any, tuple[Any, ...]]] = []

        def submit(self, fn: Any, /, *args: Any, **_kwargs: Any) -> Future[Any]:
            self.waiting.append((fn, args))
            return Future()

    later = Later()
    answers = {"glm-v1": said("Paris."), "glm-v2": said("Paris.")}
    made = scorer(answers, executor=later, at_once=2)
    for _ in range(3):
        made.take(CHAT, {})
    assert len(later.waiting) == 2
    assert counted(made, "glm_mirror_dropped_total", reason="busy") == 1
    for fn, args in later.waiting:
        fn(*args)
    made.take(CHAT, {})
    assert len(later.waiting) == 3


def test_copies_come_in_over_http_and_only_numbers_go_out() -> None:
    made = scorer({"glm-v1": said(SECRET), "glm-v2": said(SECRET)})
    server = serve(0, made)
    address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        assert httpx.post(f"{address}/v1/chat/completions", json=CHAT).status_code == 202
        assert httpx.post(f"{address}/v1/chat/completions", content=b"{").status_code == 202
        assert httpx.post(f"{address}/v1/chat/completions").status_code == 202
        told = httpx.get(f"{address}/metrics").text
        assert httpx.get(f"{address}/healthz").status_code == 200
        assert httpx.get(f"{address}/anything").status_code == 404
    finally:
        server.shutdown()
        server.server_close()
    assert 'glm_mirror_similarity_count{version="v2"} 1.0' in told
    assert 'glm_mirror_dropped_total{reason="size"} 1.0' in told
    assert SECRET not in told


def mirroring(percent: int) -> Road:
    return road_of(status=Status(stable="v1", candidate="v2", mirror_percent=percent))


def test_whose_answers_are_compared_follows_the_one_road_that_sends_copies() -> None:
    assert pair_of([mirroring(5)]) == pair_of([None, mirroring(0), mirroring(5)]) == PAIR


def test_without_a_road_that_sends_copies_nobody_is_asked() -> None:
    assert pair_of([]) is pair_of([mirroring(0)]) is None


def test_of_two_roads_that_send_copies_nobody_could_tell_whose_one_is() -> None:
    assert pair_of([mirroring(5), mirroring(5)]) is None
