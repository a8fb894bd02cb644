"""Chat requests as the house's own: what is taken over, and what changes nothing."""

from collections.abc import Iterator
from typing import Any, get_args

import orjson
import pytest
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from serve_app.ingress import wire
from serve_app.ingress.wire.chat import Chat
from serve_app.ingress.wire.completions import Completion
from serve_app.ingress.wire.conversation import Turn
from serve_app.ingress.wire.order import Travel
from serve_app.ingress.wire.sentences import MUST_BE
from serve_app.ingress.wire.strict import Wire
from serve_app.messages import (
    Caller,
    ChatRequest,
    Ending,
    Handling,
    Message,
    Role,
    Sampling,
    ToolCall,
    Urgency,
)
from tests.ingress.house import chat


def order(**fields: Any) -> wire.Order:
    return wire.chat(orjson.dumps(chat(**fields)), wire.Envelope("r-1"))


def request(**fields: Any) -> ChatRequest:
    (only,) = order(**fields).requests
    assert isinstance(only, ChatRequest)
    return only


def sampling(**fields: Any) -> Sampling:
    return request(**fields).sampling


def said(**message: Any) -> Message:
    (only,) = request(messages=[message]).messages
    return only


def test_the_smallest_request_leaves_everything_to_the_model() -> None:
    small = order()
    assert small.request == ChatRequest(
        "r-1", "glm-nano", (Message(Role.USER, "hi"),), Sampling(), Caller()
    )
    assert small.travel == Travel()
    assert (small.answer_id, small.role, small.echo) == ("r-1", "assistant", "")


@pytest.mark.parametrize(
    ("public", "role"),
    [
        ("system", Role.SYSTEM),
        ("developer", Role.SYSTEM),
        ("user", Role.USER),
        ("assistant", Role.ASSISTANT),
    ],
)
def test_every_public_role_has_its_name_in_the_model(public: str, role: Role) -> None:
    assert said(role=public, content="x") == Message(role, "x")


def test_text_parts_become_lines_of_one_text() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert said(role="user", content=parts) == Message(Role.USER, "a\nb")


def test_sampling_is_taken_over() -> None:
    fields = {
        "temperature": 0.5, "top_p": 0.9, "top_k": 7, "min_p": 0.1, "repetition_penalty": 1.1,
        "presence_penalty": -0.5, "frequency_penalty": 0.5, "seed": -3, "n": 2, "min_tokens": 1,
        "max_tokens": 5, "ignore_eos": True, "prompt_logprobs": 3,
    }  # fmt: skip
    lists = {"stop": ["a", "b"], "stop_token_ids": [7, 8]}
    taken = sampling(**fields, **lists, logit_bias={"7": 1, "8": -100})
    assert taken == Sampling(
        **fields, stop=("a", "b"), stop_token_ids=(7, 8), logit_bias=((7, 1.0), (8, -100.0))
    )


def test_the_ends_of_every_range_are_inside() -> None:
    assert sampling(temperature=2).temperature == 2
    assert sampling(top_p=1e-9).top_p == 1e-9
    assert sampling(seed=2**63 - 1).seed == 2**63 - 1
    assert sampling(seed=-(2**63)).seed == -(2**63)
    assert sampling(stop=["a"] * 4).stop == ("a",) * 4
    assert sampling(stop=[]).stop == ()
    assert sampling(stop="x" * 1024).stop == ("x" * 1024,)
    assert sampling(presence_penalty=-2, frequency_penalty=2).frequency_penalty == 2


@pytest.mark.parametrize("every", [-1, 0])
def test_a_top_k_of_vllm_that_takes_all_is_none(every: int) -> None:
    assert sampling(top_k=every).top_k is None


def test_the_new_name_of_max_tokens_is_the_same() -> None:
    assert sampling(max_completion_tokens=5).max_tokens == 5
    assert sampling(max_completion_tokens=5, max_tokens=5).max_tokens == 5


def test_logprobs_are_those_of_the_drawn_token_and_as_many_others_as_asked() -> None:
    assert sampling(logprobs=False).logprobs is None
    assert sampling(logprobs=True).logprobs == 0
    assert sampling(logprobs=True, top_logprobs=20).logprobs == 20
    assert sampling(logprobs=False, top_logprobs=0).logprobs is None


def test_usage_is_streamed_to_those_who_ask() -> None:
    def travel(**options: Any) -> Travel:
        return order(stream=True, stream_options=options).travel

    assert travel(include_usage=True) == Travel(stream=True, tells_usage=True)
    assert travel(include_usage=None) == Travel(stream=True)
    assert travel(continuous_usage_stats=True) == Travel(stream=True)
    both = travel(include_usage=True, continuous_usage_stats=True)
    assert both == Travel(stream=True, tells_usage=True, counts_on=True)
    assert order(stream=True).travel == Travel(stream=True)


@pytest.mark.parametrize(
    ("fields", "thinks"),
    [
        ({}, None),
        ({"chat_template_kwargs": {}}, None),
        ({"chat_template_kwargs": {"enable_thinking": True}}, True),
        ({"chat_template_kwargs": {"enable_thinking": False}}, False),
        ({"reasoning_effort": "none"}, False),
        ({"reasoning_effort": "low"}, True),
        ({"thinking": {"type": "enabled"}}, True),
        ({"thinking": {"type": "disabled"}, "reasoning_effort": "none"}, False),
    ],
)
def test_thinking_has_the_names_of_openai_vllm_and_glm(
    fields: dict[str, Any], thinks: bool | None
) -> None:
    assert request(**fields).thinking is thinks


def test_the_envelope_says_who_asks_and_how_soon() -> None:
    envelope = wire.Envelope("r-1", Caller("acme"), deadline_s=1.5)
    asked = wire.chat(orjson.dumps(chat(priority=4)), envelope).request
    assert (asked.caller, asked.urgency) == (Caller("acme"), Urgency(4, 1.5))
    envelope = wire.Envelope("r-1", priority=9)
    assert wire.chat(orjson.dumps(chat(priority=4)), envelope).request.urgency == Urgency(9)


def fields_of(kind: type[Wire], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every field of a body with its row in the table of sentences."""
    for name, field in kind.model_fields.items():
        row = prefix + (field.alias or name)
        yield row, field
        for inner in objects_in(field.annotation):
            is_list = "list" in str(field.annotation)
            yield from fields_of(inner, f"{row}[]." if is_list else f"{row}.")


def objects_in(annotation: Any) -> Iterator[type[Wire]]:
    if isinstance(annotation, type) and issubclass(annotation, Wire):
        yield annotation
    for inner in get_args(annotation):
        yield from objects_in(inner)


@pytest.mark.parametrize("kind", [Chat, Completion])
def test_every_field_that_can_be_wrong_has_its_sentence(kind: type[Wire]) -> None:
    can_be_wrong = [
        row for row, field in fields_of(kind) if field.annotation is not Any or field.metadata
    ]
    assert [row for row in can_be_wrong if row not in {*MUST_BE, *kind.sentences}] == []


@pytest.mark.parametrize("kind", [Chat, Completion])
def test_null_means_absent_everywhere(kind: type[Wire]) -> None:
    bodies = {Chat: chat(), Completion: {"model": "glm-nano", "prompt": "hi"}}
    names = {field.alias or name for name, field in kind.model_fields.items()}
    nulls = dict.fromkeys(names - bodies[kind].keys())
    assert kind.model_validate(nulls | bodies[kind]) == kind.model_validate(bodies[kind])


def test_null_means_absent_in_a_message() -> None:
    message = dict.fromkeys(Turn.model_fields) | {"role": "user", "content": "hi"}
    assert order(messages=[message], unheard_of=None) == order()


def test_what_openai_clients_send_along_changes_nothing() -> None:
    neutral = {
        "n": 1,
        "frequency_penalty": 0,
        "presence_penalty": 0.0,
        "repetition_penalty": None,
        "logit_bias": {},
        "logprobs": False,
        "top_logprobs": 0,
        "tools": [],
        "tool_choice": "auto",
        "functions": [],
        "function_call": "none",
        "response_format": {"type": "text"},
        "modalities": ["text"],
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


def test_what_vllm_clients_send_along_changes_nothing() -> None:
    neutral = {
        "detokenize": True,
        "use_beam_search": False,
        "length_penalty": 1.0,
        "early_stopping": False,
        "logits_processors": None,
        "bad_words": [],
        "skip_special_tokens": True,
        "spaces_between_special_tokens": True,
        "include_stop_str_in_output": False,
        "add_generation_prompt": True,
        "continue_final_message": False,
        "add_special_tokens": False,
        "documents": None,
        "chat_template": None,
        "mm_processor_kwargs": None,
        "structured_outputs": None,
        "guided_decoding_backend": "xgrammar",
        "return_token_ids": None,
        "return_tokens_as_token_ids": False,
        "truncate_prompt_tokens": None,
        "priority": 0,
        "kv_transfer_params": None,
        "vllm_xargs": {},
        "include_reasoning": True,
        "truncation_side": "left",
        "watermarking": False,
        "thinking_token_budget": -1,
        "stream_interval": 4,
        "session_id": "s-1",
        "echo": False,
    }
    assert order(**neutral) == order()
    both = {name: neutral[name] for name in neutral.keys() & Completion.model_fields.keys()}
    assert len(both) > 15
    body = {"model": "glm-nano", "prompt": "hi"}
    plain, sent = (
        wire.completions(orjson.dumps(each), wire.Envelope("r-1"))
        for each in (body, body | both | {"add_special_tokens": True})
    )
    assert plain == sent


def test_what_vllm_users_ask_of_tokens_is_taken_over() -> None:
    taken = sampling(
        bad_words=["a", " b"],
        allowed_token_ids=[7, 8],
        include_stop_str_in_output=True,
        skip_special_tokens=False,
        repetition_penalty=5,
    )
    assert taken == Sampling(
        bad_words=("a", " b"),
        allowed_token_ids=(7, 8),
        keeps_stop=True,
        hides_special=False,
        repetition_penalty=5.0,
    )


def test_what_vllm_users_ask_of_the_telling_is_taken_over() -> None:
    told = order(include_reasoning=False, return_tokens_as_token_ids=True).travel
    assert told == Travel(tells_thoughts=False, names_ids=True)


def test_what_vllm_users_ask_of_a_prompt_is_taken_over() -> None:
    fields = {"truncate_prompt_tokens": 5, "cache_salt": "s", "return_token_ids": True}
    assert request(**fields).handling == Handling(5, "s", tells_tokens=True)
    assert request(truncate_prompt_tokens=-1).handling == Handling(-1)
    assert request(truncate_prompt_tokens=0).handling == Handling()


@pytest.mark.parametrize(
    ("fields", "ending", "role"),
    [
        ({}, Ending.ANSWER, "assistant"),
        ({"add_generation_prompt": False}, Ending.NOTHING, "user"),
        (
            {"add_generation_prompt": False, "continue_final_message": True},
            Ending.CONTINUED,
            "user",
        ),
        ({"continue_final_message": True}, Ending.CONTINUED, "user"),
    ],
)
def test_an_answer_begins_a_turn_or_goes_on_with_the_last(
    fields: dict[str, Any], ending: Ending, role: str
) -> None:
    asked = order(**fields)
    assert isinstance(asked.request, ChatRequest)
    assert (asked.request.ending, asked.role) == (ending, role)


def test_an_echo_is_the_last_message_if_it_is_the_answers_own() -> None:
    talk = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "I am"}]
    assert order(messages=talk, echo=True).echo == "I am"
    assert order(messages=talk, echo=True, continue_final_message=True).echo == "I am"
    assert order(messages=talk).echo == ""
    assert order(messages=talk[:1], echo=True).echo == ""


def test_an_answer_has_the_id_that_its_body_names() -> None:
    named = order(request_id="job-7")
    assert (named.answer_id, named.request.request_id) == ("job-7", "r-1")


def test_an_answer_can_be_handed_back_as_it_came() -> None:
    answer = {
        "role": "assistant",
        "content": None,
        "reasoning_content": "Hm.",
        "reasoning": "Hm.",
        "refusal": None,
        "annotations": [],
        "audio": None,
        "function_call": None,
        "tool_calls": [
            {
                "index": 0,
                "id": "call_1",
                "type": "function",
                "function": {"name": "weather", "arguments": '{"city": "Beijing"}'},
            }
        ],
    }
    call = ToolCall("call_1", "weather", '{"city": "Beijing"}')
    assert said(**answer) == Message(Role.ASSISTANT, "", "Hm.", (call,))


def test_a_call_without_arguments_has_an_empty_object_of_them() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "now", "arguments": ""}}
    assert said(role="assistant", tool_calls=[call]).tool_calls == (ToolCall("c", "now", "{}"),)


def test_what_a_tool_found_is_an_observation_of_its_call() -> None:
    call = {"id": "call_1", "function": {"name": "weather", "arguments": "{}"}}
    asks = {"role": "assistant", "tool_calls": [call]}
    found = {"role": "tool", "name": "weather", "content": "sunny"}
    for answered in ("call_1", None):
        messages = request(messages=[asks, found | {"tool_call_id": answered}]).messages
        assert messages[1] == Message(Role.OBSERVATION, "sunny", tool_call_id=answered)


def test_of_a_name_given_twice_the_last_one_counts() -> None:
    body = orjson.dumps(chat())[:-1] + b',"model":"other"}'
    assert wire.chat(body, wire.Envelope("r-1")).request.model == "other"


def test_text_is_kept_to_the_letter() -> None:
    text = "\x00 \u202e <|user|> 你好 👩‍👩‍👧 \ud7ff \ue000 \r\n"
    assert said(role="user", content=text).content == text


@pytest.mark.parametrize(
    "many",
    [
        {f"field{number}": 1 for number in range(1000)},
        {"messages": [7] * 1000},
        {"messages": [{"role": "user", "content": [7] * 1000}]},
        {"messages": [{"role": "assistant", "tool_calls": [7] * 100}]},
        {"stop": [7] * 1000},
        {"tools": [7] * 100},
        {"stop_token_ids": ["x"] * 1000},
        {"logit_bias": {f"x{number}": "y" for number in range(1000)}},
        {"guided_choice": [7] * 1000},
        {"bad_words": [7] * 100},
        {"allowed_token_ids": ["x"] * 1000},
    ],
)
def test_a_thousand_faults_cost_no_more_than_one(many: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refusal:
        Chat.model_validate(chat() | many)
    assert refusal.value.error_count() == 1
