"""Each dialect's prompts, written out as the models' publishers spell them."""

import json

import pytest

from serve_app.engine.tokenizer import ChatTokenizer
from serve_app.errors import InvalidRequest
from serve_app.messages import ChatRequest, Ending, Message, Role, Tool, ToolChoice, ToolMode
from tests.engine.dialects.spoken import (
    GLM_4,
    GLM_4_0414,
    GLM_4_5,
    GLM_Z1,
    SEARCH,
    WEATHER,
    assistant,
    chat,
    checkpoint,
    observation,
    user,
    written,
)

FUNCTION = {
    "name": "get_weather",
    "description": "天气",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
TALK = (
    Message(Role.SYSTEM, "Be kind."),
    user("Weather?"),
    assistant("Let me see.", ("get_weather", '{"city": "北京", "days": 2}'), reasoning="Hm."),
    observation('{"t": 22}'),
)


def prompt(template: str | None, request: ChatRequest) -> str:
    fast = checkpoint(template)
    return written(fast, ChatTokenizer(fast).render(request))


def listed(rule: str = "RULE") -> str:
    described = json.dumps(FUNCTION, indent=4, ensure_ascii=False)
    return f"TITLE\n\n## get_weather\n\n{described}\n{rule}"


def test_glm_4_lists_tools_in_a_system_turn_and_calls_by_metadata() -> None:
    assert prompt(GLM_4, chat(*TALK, tools=(WEATHER,))) == (
        f"[gMASK]<sop><|system|>\n{listed()}<|system|>\nBe kind.<|user|>\nWeather?"
        "<|assistant|>\nLet me see."
        '<|assistant|>get_weather\n{"city": "北京", "days": 2}'
        '<|observation|>\n{"t": 22}<|assistant|>'
    )


def test_glm_4_0414_gets_tools_by_the_template_s_variable() -> None:
    assert prompt(GLM_4_0414, chat(*TALK, tools=(WEATHER,))) == (
        f"[gMASK]<sop><|system|>\n{listed()}<|system|>\nBe kind.<|user|>\nWeather?"
        "<|assistant|>\nLet me see."
        '<|assistant|>get_weather\n{"city": "北京", "days": 2}'
        '<|observation|>\n{"t": 22}<|assistant|>'
    )


def test_glm_z1_begins_to_think_and_forgets_earlier_thoughts() -> None:
    assert prompt(GLM_Z1, chat(user(" Hi \n"), assistant("Ho", reasoning="Hm."), user("?"))) == (
        "[gMASK]<sop><|user|>\nHi<|assistant|>\nHo<|user|>\n?<|assistant|>\n<think>"
    )


def test_glm_4_5_spells_calls_by_tags_and_keeps_the_last_thoughts() -> None:
    described = json.dumps({"type": "function", "function": FUNCTION}, ensure_ascii=False)
    assert prompt(GLM_4_5, chat(*TALK, tools=(WEATHER,))) == (
        f"[gMASK]<sop><|system|>\nTITLE\n<tools>\n{described}\n</tools>\n"
        "RULE <tool_call>{name}\n<arg_key>{key}</arg_key>\n<arg_value>{value}</arg_value>\n"
        "</tool_call><|system|>\nBe kind.<|user|>\nWeather?"
        "<|assistant|>\n<think>Hm.</think>\nLet me see.\n<tool_call>get_weather\n"
        "<arg_key>city</arg_key>\n<arg_value>北京</arg_value>\n"
        "<arg_key>days</arg_key>\n<arg_value>2</arg_value>\n</tool_call>"
        '<|observation|>\n<tool_response>\n{"t": 22}\n</tool_response><|assistant|>'
    )


@pytest.mark.parametrize(
    ("thinking", "said"),
    [
        (None, "<|user|>\nHi<|assistant|>"),
        (True, "<|user|>\nHi<|assistant|>"),
        (False, "<|user|>\nHi/nothink<|assistant|>\n<think></think>"),
    ],
)
def test_thinking_is_switched_as_the_template_does(thinking: bool | None, said: str) -> None:
    assert prompt(GLM_4_5, chat(user("Hi"), thinking=thinking)) == f"[gMASK]<sop>{said}"


def test_glm_4_5_strips_what_its_template_strips() -> None:
    assert prompt(GLM_4_5, chat(user(" a "), assistant("\n b \n"), user("c"))) == (
        "[gMASK]<sop><|user|>\n a <|assistant|>\n<think></think>\nb<|user|>\nc<|assistant|>"
    )


@pytest.mark.parametrize("template", [GLM_4, GLM_4_0414, GLM_Z1, GLM_4_5])
def test_tools_that_may_not_be_called_are_left_out(template: str) -> None:
    silent = ToolChoice(ToolMode.NONE)
    without = prompt(template, chat(user("Hi")))
    assert prompt(template, chat(user("Hi"), tools=(WEATHER,), tool_choice=silent)) == without


@pytest.mark.parametrize("template", [GLM_4, GLM_4_0414])
def test_several_calls_are_several_turns(template: str) -> None:
    talk = chat(user("?"), assistant("", ("a", "{}"), ("b", '{"c": 1}')), observation("1"))
    assert prompt(template, talk).endswith(
        '<|user|>\n?<|assistant|>a\n{}<|assistant|>b\n{"c": 1}<|observation|>\n1<|assistant|>'
    )


def test_a_tool_is_described_by_what_its_caller_said_and_no_more() -> None:
    assert '\n{\n    "name": "search"\n}\n' in prompt(GLM_4, chat(user("Hi"), tools=(SEARCH,)))


def test_a_model_without_a_template_says_that_it_does_not_chat() -> None:
    with pytest.raises(InvalidRequest, match="no chat template"):
        prompt(None, chat(user("Hi")))


def test_a_conversation_that_the_template_refuses_is_the_caller_s_to_mend() -> None:
    with pytest.raises(InvalidRequest) as refusal:
        prompt("{{ raise_exception('Roles must alternate.') }}", chat(user("Hi")))
    assert refusal.value.param == "messages"


@pytest.mark.parametrize("arguments", ["", "[1]", '{"a": ', "[" * 100_000])
def test_arguments_that_are_no_object_are_refused_by_place(arguments: str) -> None:
    talk = chat(user("?"), assistant("", ("a", "{}"), ("b", arguments)))
    with pytest.raises(InvalidRequest) as refusal:
        prompt(GLM_4_5, talk)
    assert refusal.value.param == "messages[1].tool_calls[1].function.arguments"


@pytest.mark.parametrize("parameters", ["7", "{", '{"a": "\\ud800"}'])
def test_a_tool_that_cannot_be_spelt_is_refused_by_place(parameters: str) -> None:
    tools = (WEATHER, Tool("search", "", parameters))
    with pytest.raises(InvalidRequest) as refusal:
        prompt(GLM_4_5, chat(user("?"), tools=tools))
    assert refusal.value.param
    assert refusal.value.param.startswith("tools[1].function")


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (user("\ud83d"), "content"),
        (assistant("", reasoning="\ud83d"), "reasoning_content"),
        (assistant("", ("a", '{"a": "\\ud83d"}')), "tool_calls[0].function.arguments"),
        (assistant("", ("\ud83d", "{}")), "tool_calls[0].function.name"),
    ],
)
def test_half_a_surrogate_pair_is_refused_wherever_it_stands(message: Message, field: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        prompt(GLM_4_5, chat(user("?"), message))
    assert refusal.value.param == f"messages[1].{field}"


TEMPLATED = [GLM_4, GLM_4_0414, GLM_Z1, GLM_4_5]


@pytest.mark.parametrize("template", TEMPLATED)
def test_without_an_opening_the_prompt_ends_with_the_last_message(template: str) -> None:
    whole = prompt(template, chat(user("Hi"), assistant("Ho")))
    ended = prompt(template, chat(user("Hi"), assistant("Ho"), ending=Ending.NOTHING))
    assert whole.startswith(ended)
    assert ended.endswith("Ho")


@pytest.mark.parametrize("template", TEMPLATED)
@pytest.mark.parametrize("said", ["Ho", "Ho ", "Ho\n", " Ho", "Ho <|user|> Ho"])
def test_a_message_is_continued_as_transformers_does(template: str, said: str) -> None:
    conversation = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": said}]
    expected = checkpoint(template).apply_chat_template(
        conversation, tokenize=False, continue_final_message=True
    )
    request = chat(user("Hi"), assistant(said), ending=Ending.CONTINUED)
    assert prompt(template, request) == expected


@pytest.mark.parametrize("last", [assistant(""), assistant("Ho", ("a", "{}")), assistant(" ")])
def test_only_a_text_can_be_continued(last: Message) -> None:
    with pytest.raises(InvalidRequest, match="text alone") as refusal:
        prompt(GLM_4_5, chat(user("Hi"), last, ending=Ending.CONTINUED))
    assert refusal.value.param == "messages[1]"
