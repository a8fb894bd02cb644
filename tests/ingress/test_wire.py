from typing import Any

import orjson
import pytest
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from serve_app.ingress import wire
from serve_app.ingress.sentences import MUST_BE
from serve_app.messages import Message, Role, Sampling
from tests.ingress.house import chat


def order(**fields: Any) -> wire.Order:
    return wire.parse(orjson.dumps(chat(**fields)), "r-1")


def sampling(**fields: Any) -> Sampling:
    return order(**fields).request.sampling


def test_the_smallest_request_leaves_everything_to_the_model() -> None:
    small = order()
    assert small.request.request_id == "r-1"
    assert small.request.model == "glm-nano"
    assert small.request.messages == (Message(Role.USER, "hi"),)
    assert small.request.sampling == Sampling()
    assert not small.stream
    assert not small.include_usage


@pytest.mark.parametrize(
    ("public", "role"),
    [
        ("system", Role.SYSTEM),
        ("developer", Role.SYSTEM),
        ("user", Role.USER),
        ("assistant", Role.ASSISTANT),
        ("tool", Role.OBSERVATION),
    ],
)
def test_every_public_role_has_its_name_in_the_model(public: str, role: Role) -> None:
    request = order(messages=[{"role": public, "content": "x"}]).request
    assert request.messages == (Message(role, "x"),)


def test_text_parts_become_lines_of_one_text() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    request = order(messages=[{"role": "user", "content": parts}]).request
    assert request.messages == (Message(Role.USER, "a\nb"),)


def test_sampling_is_taken_over() -> None:
    assert sampling(temperature=0, top_p=1, max_tokens=5, stop=["a", "b"], seed=-3) == Sampling(
        temperature=0.0, top_p=1.0, max_tokens=5, stop=("a", "b"), seed=-3
    )


def test_the_ends_of_every_range_are_inside() -> None:
    assert sampling(temperature=2).temperature == 2
    assert sampling(top_p=1e-9).top_p == 1e-9
    assert sampling(seed=2**63 - 1).seed == 2**63 - 1
    assert sampling(seed=-(2**63)).seed == -(2**63)
    assert sampling(stop=["a"] * 4).stop == ("a",) * 4
    assert sampling(stop=[]).stop == ()
    assert sampling(stop="x" * 1024).stop == ("x" * 1024,)


def test_the_new_name_of_max_tokens_is_the_same() -> None:
    assert sampling(max_completion_tokens=5).max_tokens == 5
    assert sampling(max_completion_tokens=5, max_tokens=5).max_tokens == 5


def test_usage_is_streamed_to_those_who_ask() -> None:
    assert order(stream=True, stream_options={"include_usage": True}).include_usage
    assert not order(stream=True, stream_options={"include_usage": None}).include_usage
    assert not order(stream=True).include_usage


def test_null_means_absent_everywhere() -> None:
    nulls = dict.fromkeys(wire._Chat.model_fields.keys() - {"model", "messages"})
    assert order(**nulls) == order()
    message = dict.fromkeys(wire._Message.model_fields.keys()) | {"role": "user", "content": "hi"}
    assert order(messages=[message], unheard_of=None) == order()


def test_what_openai_clients_send_along_changes_nothing() -> None:
    neutral = {
        "n": 1,
        "frequency_penalty": 0,
        "presence_penalty": 0.0,
        "logit_bias": {},
        "logprobs": False,
        "top_logprobs": 0,
        "tools": [],
        "tool_choice": "auto",
        "functions": [],
        "function_call": "none",
        "response_format": {"type": "text"},
        "modalities": ["text"],
        "reasoning_effort": "none",
        "verbosity": "medium",
        "user": "u-1",
        "metadata": {"team": "a"},
        "store": True,
        "service_tier": "auto",
        "safety_identifier": "s",
        "prompt_cache_key": "k",
        "prompt_cache_retention": "24h",
        "parallel_tool_calls": True,
    }
    assert order(**neutral) == order()


def test_an_answer_can_be_handed_back_as_it_came() -> None:
    answer = {
        "role": "assistant",
        "content": "Hello",
        "refusal": None,
        "annotations": [],
        "audio": None,
        "function_call": None,
        "tool_calls": None,
    }
    request = order(messages=[answer]).request
    assert request.messages == (Message(Role.ASSISTANT, "Hello"),)


def test_what_a_tool_found_is_an_observation() -> None:
    found = {"role": "tool", "tool_call_id": "call_1", "name": "weather", "content": "sunny"}
    assert order(messages=[found]).request.messages == (Message(Role.OBSERVATION, "sunny"),)


def test_of_a_name_given_twice_the_last_one_counts() -> None:
    body = orjson.dumps(chat())[:-1] + b',"model":"other"}'
    assert wire.parse(body, "r-1").request.model == "other"


def test_text_is_kept_to_the_letter() -> None:
    text = "\x00 \u202e <|user|> 你好 👩‍👩‍👧 \ud7ff \ue000 \r\n"
    assert order(messages=[{"role": "user", "content": text}]).request.messages[0].content == text


def test_every_field_that_can_be_wrong_has_its_sentence() -> None:
    paths = {
        "": wire._Chat,
        "messages[].": wire._Message,
        "messages[].content[].": wire._TextPart,
        "stream_options.": wire._StreamOptions,
    }
    missing = [
        prefix + name
        for prefix, kind in paths.items()
        for name, field in kind.model_fields.items()
        if _can_be_wrong(field) and prefix + name not in MUST_BE
    ]
    assert missing == []


def _can_be_wrong(field: FieldInfo) -> bool:
    return field.annotation is not Any or bool(field.metadata)


@pytest.mark.parametrize(
    "many",
    [
        {f"field{number}": 1 for number in range(1000)},
        {"messages": [7] * 1000},
        {"messages": [{"role": "user", "content": [7] * 1000}]},
        {"stop": [7] * 1000},
    ],
)
def test_a_thousand_faults_cost_no_more_than_one(many: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refusal:
        wire._Chat.model_validate(chat() | many)
    assert refusal.value.error_count() == 1
