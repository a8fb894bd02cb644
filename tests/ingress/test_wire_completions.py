"""Text completions as the house's own."""

from typing import Any

import orjson
import pytest

from serve_app.ingress import wire
from serve_app.messages import CompletionRequest, Sampling, Structure, StructureKind
from tests.ingress.house import completion


def order(*prompt: Any, **fields: Any) -> wire.Order:
    return wire.completions(orjson.dumps(completion(*prompt, **fields)), wire.Envelope("r-1"))


def requests(*prompt: Any, **fields: Any) -> list[CompletionRequest]:
    every = order(*prompt, **fields).requests
    return [each for each in every if isinstance(each, CompletionRequest)]


def test_the_smallest_completion_has_the_sixteen_tokens_of_openai() -> None:
    (small,) = requests()
    assert small == CompletionRequest("r-1", "glm-nano", "hi", Sampling(max_tokens=16))


@pytest.mark.parametrize(
    ("prompt", "each"),
    [
        ("a", ["a"]),
        (["a"], ["a"]),
        (["a", "b"], ["a", "b"]),
        ([1, 2], [(1, 2)]),
        ([[1, 2], [3]], [(1, 2), (3,)]),
    ],
)
def test_a_prompt_is_a_text_or_token_ids_or_several(prompt: Any, each: list[Any]) -> None:
    assert [request.prompt for request in requests(prompt)] == each


def test_several_prompts_are_told_apart_in_the_log() -> None:
    assert [request.request_id for request in requests(["a", "b"])] == ["r-1-0", "r-1-1"]


def test_what_an_evaluation_harness_asks_for_is_an_echo_with_probabilities() -> None:
    asked = order([[1, 2]], temperature=0, max_tokens=1, logprobs=1, seed=1234, echo=True)
    (request,) = asked.requests
    assert isinstance(request, CompletionRequest)
    assert request.echo
    assert request.sampling == Sampling(
        temperature=0.0, max_tokens=1, logprobs=1, prompt_logprobs=1, seed=1234
    )


def test_of_a_prompt_alone_no_token_is_generated() -> None:
    asked = order(max_tokens=0, echo=True, logprobs=0)
    assert asked.request.sampling == Sampling(max_tokens=0, logprobs=0, prompt_logprobs=0)


def test_without_an_echo_probabilities_are_those_of_the_answer() -> None:
    (request,) = requests(logprobs=2)
    assert (request.sampling.logprobs, request.sampling.prompt_logprobs) == (2, None)


def test_what_older_clients_send_along_changes_nothing() -> None:
    assert order(best_of=1, suffix="", user="u", n=1, stream=False, echo=False) == order()
    assert order(n=2, best_of=1) == order(n=2, best_of=2) == order(n=2)


def test_a_text_may_come_without_what_stands_before_every_text() -> None:
    (plain,), (bare,) = requests(), requests(add_special_tokens=False)
    assert (plain.has_prefix, bare.has_prefix) == (True, False)


def test_a_completion_may_have_a_shape_too() -> None:
    (request,) = requests(structured_outputs={"regex": "a+"})
    assert request.structure == Structure(StructureKind.REGEX, "a+")
