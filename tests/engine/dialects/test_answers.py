"""What each dialect's answers turn into, from the text that the models write."""

import json
from collections.abc import Iterable
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.engine.dialects import Piece, Text
from serve_app.engine.tokenizer import ChatTokenizer
from serve_app.messages import (
    ChatRequest,
    CompletionRequest,
    Ending,
    Request,
    Sampling,
    Tool,
    ToolChoice,
    ToolMode,
)
from tests.engine.dialects.spoken import (
    SEARCH,
    SPECIAL,
    TEMPLATES,
    WEATHER,
    answer,
    assistant,
    call,
    chat,
    checkpoint,
    content,
    joined,
    thought,
    user,
)
from tests.engine.parts import TEMPLATE

TOOLS = (WEATHER, SEARCH)
OFFER = chat(user("?"), tools=TOOLS)
PLAIN = chat(user("?"))


@cache
def spoken(name: str) -> tuple[ChatTokenizer, Any]:
    fast = checkpoint({**TEMPLATES, "nano": TEMPLATE}[name])
    return ChatTokenizer(fast), fast


def heard(name: str, text: str, request: ChatRequest = OFFER) -> list[Piece]:
    """An answer's pieces; marks in the text are tokens, as models write them."""
    tokenizer, fast = spoken(name)
    return answer(tokenizer, request, fast(text, add_special_tokens=False)["input_ids"])


CALL_4 = 'get_weather\n{"city": "北京"}'
CALL_45 = (
    "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>北京</arg_value>\n</tool_call>"
)
CALLED = call(0, "get_weather", '{"city": "北京"}')

SAID: list[tuple[str, str, list[Piece]]] = [
    # GLM-4: the prompt ends with the role, so the answer begins with a line feed
    ("GLM-4", "\n你好👋<|user|>", [content("你好👋")]),
    ("GLM-4", f"{CALL_4}<|observation|>", CALLED),
    ("GLM-4", f"\n{CALL_4}<|observation|>", CALLED),
    ("GLM-4", f"\nI look.<|assistant|>{CALL_4}<|observation|>", [content("I look."), *CALLED]),
    ("GLM-4", f"{CALL_4}<|assistant|>search\n{{}}", [*CALLED, *call(1, "search", "{}")]),
    ("GLM-4", f"{CALL_4}\nsearch\n{{}}", [*CALLED, *call(1, "search", "{}")]),
    ("GLM-4", f"{CALL_4}\nDone.", [*CALLED, content("Done.")]),
    ("GLM-4", "\na<|assistant|>\nb", [content("a\nb")]),
    ("GLM-4-0414", f"{CALL_4}<|observation|>", CALLED),
    # what only looks like a call
    ("GLM-4", '\nhello\n{"a": 1}', [content('hello\n{"a": 1}')]),
    ("GLM-4", "\nsearch\nis a word", [content("search\nis a word")]),
    ("GLM-4", '\nSure: search\n{"a": 1}', [content('Sure: search\n{"a": 1}')]),
    ("GLM-4", "\nget_weather", [content("get_weather")]),
    ("GLM-4", "\nget_weather\n", [content("get_weather\n")]),
    # calls gone wrong
    ("GLM-4", 'search\n{"a": }<|observation|>', call(0, "search", '{"a": }')),
    ("GLM-4", 'search\n{"a": "<|observation|>', call(0, "search", '{"a": "')),
    ("GLM-4", 'search\n{"a": "}\\"', call(0, "search", '{"a": "}\\"')),
    # the small model: its prompt ends with the line feed
    ("nano", "\nHi", [content("\nHi")]),
    ("nano", CALL_4, CALLED),
    # GLM-Z1 thinks first
    ("GLM-Z1", "\nHm.\n</think>\nYes.<|user|>", [thought("Hm."), content("Yes.")]),
    ("GLM-Z1", f"Hm.</think>\n{CALL_4}", [thought("Hm."), *CALLED]),
    ("GLM-Z1", "Hm", [thought("Hm")]),
    # GLM-4.5
    ("GLM-4.5", "\n<think>Hm.</think>\nYes.\n<|user|>", [thought("Hm."), content("Yes.\n")]),
    ("GLM-4.5", "\n<think></think>\nYes.", [content("Yes.")]),
    ("GLM-4.5", f"\n<think>\nHm.\n</think>\nI look.\n{CALL_45}<|observation|>",
     [thought("Hm."), content("I look."), *CALLED]),
    ("GLM-4.5", f"\n{CALL_45}\n{CALL_45}", [*CALLED, *call(1, "get_weather", '{"city": "北京"}')]),
    ("GLM-4.5", f"<think>Hm.{CALL_45}", [thought("Hm."), *CALLED]),
    ("GLM-4.5", f"{CALL_45}\nDone.", [*CALLED, content("Done.")]),
    ("GLM-4.5", "<tool_call>search</tool_call>", call(0, "search", "{}")),
    ("GLM-4.5", "<tool_call>search<arg_key>a</arg_key><arg_value>[1, {}]</arg_value></tool_call>",
     call(0, "search", '{"a": [1, {}]}')),
    # GLM-4.5's calls gone wrong
    ("GLM-4.5", "<tool_call>steal\n<arg_key>a</arg_key>",
     [content("<tool_call>steal\n<arg_key>a</arg_key>")]),
    ("GLM-4.5", "Use <tool_call>!", [content("Use <tool_call>!")]),
    ("GLM-4.5", "<tool_call>search\n{}</tool_call>",
     [content("<tool_call>search\n{}</tool_call>")]),
    ("GLM-4.5", "<tool_call>search", [content("<tool_call>search")]),
    ("GLM-4.5", "<tool_call>search<arg_key>a</arg_key><arg_value>b<|user|>",
     call(0, "search", '{"a": "b"}')),
    ("GLM-4.5", "<tool_call>get_weather<arg_key>city</arg_key><arg_value>b</tool_call>",
     call(0, "get_weather", '{"city": "b"}')),
    ("GLM-4.5", "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Bei",
     call(0, "get_weather", '{"city": "Bei')),
    ("GLM-4.5", "<tool_call>search<arg_key>a</arg_key><arg_value>[1",
     call(0, "search", '{"a": [1')),
    ("GLM-4.5", "<tool_call>search<arg_key>ab", call(0, "search", '{"ab')),
    ("GLM-4.5", "<tool_call>search<arg_key>a</arg_key></tool_call>",
     [*call(0, "search", "")[:1], content("a"), *call(0, "search", "{}")[1:]]),
    ("GLM-4.5", "<tool_call>search<arg_key>a</arg_key> x <arg_value>1</arg_value></tool_call>",
     [*call(0, "search", "")[:1], content(" x "), *call(0, "search", '{"a": 1}')[1:]]),
    ("GLM-4.5", "a</think>b</arg_key>", [content("a</think>b</arg_key>")]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "pieces"), SAID)
def test_an_answer_is(name: str, text: str, pieces: list[Piece]) -> None:
    assert heard(name, text) == pieces


@pytest.mark.parametrize(("name", "text", "pieces"), SAID)
def test_of_what_it_says_nothing_changes_while_it_streams(
    name: str, text: str, pieces: list[Piece]
) -> None:
    """Letter by letter or all at once after it: what was shown once stays."""
    tokenizer, fast = spoken(name)
    transcript = tokenizer.transcript(OFFER)
    so_far: list[Piece] = []
    for token in fast(text, add_special_tokens=False)["input_ids"]:
        so_far += transcript.add(token)
        assert _begins(pieces, joined(so_far))
    assert joined([*so_far, *transcript.close()]) == pieces


def _begins(whole: list[Piece], part: list[Piece]) -> bool:
    if not part:
        return True
    last, there = part[-1], whole[len(part) - 1]
    if part[:-1] != whole[: len(part) - 1] or type(last) is not type(there):
        return False
    return getattr(there, "text", "").startswith(getattr(last, "text", ""))


@pytest.mark.parametrize("name", ["GLM-4", "nano", "GLM-4.5"])
@pytest.mark.parametrize("mode", [None, ToolMode.NONE])
def test_without_an_offer_nothing_is_a_call(name: str, mode: ToolMode | None) -> None:
    request = PLAIN if mode is None else chat(tools=TOOLS, tool_choice=ToolChoice(mode))
    text = CALL_45 if name == "GLM-4.5" else CALL_4
    assert heard(name, text, request) == [content(text)]


def test_a_named_choice_offers_that_tool_alone() -> None:
    named = chat(tools=TOOLS, tool_choice=ToolChoice(ToolMode.REQUIRED, "search"))
    assert heard("GLM-4", CALL_4, named) == [content(CALL_4)]
    assert heard("GLM-4", "search\n{}", named) == call(0, "search", "{}")


@pytest.mark.parametrize(
    ("name", "text"), [("GLM-4", f"{CALL_4}\nsearch\n{{}}"), ("GLM-4.5", CALL_45 * 2)]
)
def test_one_call_ends_the_answer_if_calls_may_not_be_parallel(name: str, text: str) -> None:
    tokenizer, fast = spoken(name)
    single = chat(tools=TOOLS, tool_choice=ToolChoice(parallel=False))
    transcript = tokenizer.transcript(single)
    pieces: list[Piece] = []
    for token in fast(text, add_special_tokens=False)["input_ids"]:
        pieces += [] if transcript.stopped else transcript.add(token)
    assert joined([*pieces, *transcript.close()]) == CALLED
    assert (transcript.stopped, transcript.calls) == (True, 1)


@pytest.mark.parametrize(
    ("name", "text", "calls"),
    [
        ("GLM-4", CALL_4, 1),
        ("GLM-4", CALL_4[:-1], 0),
        ("GLM-4", f"{CALL_4[:-1]}<|observation|>", 1),
        ("GLM-4", "\nHi", 0),
        ("GLM-4.5", CALL_45 * 3, 3),
        ("GLM-4.5", CALL_45.removesuffix("</tool_call>"), 0),
        ("GLM-4.5", CALL_45.replace("get_weather", "steal"), 0),
    ],
)
def test_calls_count_once_they_are_complete(name: str, text: str, calls: int) -> None:
    tokenizer, fast = spoken(name)
    transcript = tokenizer.transcript(OFFER)
    for token in fast(text, add_special_tokens=False)["input_ids"]:
        transcript.add(token)
    transcript.close()
    assert transcript.calls == calls


def test_calls_have_ids_of_their_own() -> None:
    tokenizer, fast = spoken("GLM-4.5")
    transcript = tokenizer.transcript(OFFER)
    tokens = fast(CALL_45 * 2, add_special_tokens=False)["input_ids"]
    pieces = [piece for token in tokens for piece in transcript.add(token)]
    ids = [piece.id for piece in pieces if hasattr(piece, "id")]
    assert len(set(ids)) == 2
    assert all(len(each) == len("call_") + 24 and each.startswith("call_") for each in ids)


def test_a_tag_in_ordinary_letters_calls_nothing() -> None:
    """A model that quotes its user does not do what the user spelt."""
    tokenizer, _ = spoken("GLM-4.5")
    letters = tokenizer.encode(CALL_45)
    assert answer(tokenizer, OFFER, letters) == [content(CALL_45)]


@pytest.mark.parametrize("name", ["GLM-4.5", "GLM-Z1"])
def test_where_the_vocabulary_has_no_tags_their_letters_count(name: str) -> None:
    tokenizer = ChatTokenizer(checkpoint(TEMPLATES[name], tags=()))
    text = f"<think>Hm.</think>\n{CALL_45}" if name == "GLM-4.5" else f"Hm.</think>\n{CALL_4}"
    heard = answer(tokenizer, OFFER, tokenizer.encode(text))
    assert heard == [thought("Hm."), *CALLED]


def test_stop_strings_count_in_content_alone() -> None:
    stopping = chat(tools=TOOLS, sampling=Sampling(stop=("o",)))
    text = "<think>Oh no.</think>\n<tool_call>search<arg_key>go</arg_key><arg_value>o</arg_value>"
    pieces = [thought("Oh no."), *call(0, "search", '{"go": "o"}'), content("N")]
    assert heard("GLM-4.5", f"{text}</tool_call>\nNo.", stopping) == pieces


def test_a_text_completion_is_text_and_nothing_else() -> None:
    tokenizer, fast = spoken("GLM-4.5")
    transcript = tokenizer.transcript(CompletionRequest("r", "glm", "x", Sampling()))
    text = f"\n<think>a</think>{CALL_45}<|assistant|>\n"
    tokens = fast(text, add_special_tokens=False)["input_ids"]
    pieces = [*(p for t in tokens for p in transcript.add(t)), *transcript.close()]
    assert joined(pieces) == [content(f"\n<think>a</think>{CALL_45}\n")]


VALUES = [
    ({"type": "string"}, "12", '"12"'),
    ({"type": "string"}, ' "a"\n', json.dumps(' "a"\n')),
    ({"type": "integer"}, " 12\n", "12"),
    ({"type": "number"}, "1.5", "1.5"),
    ({"type": "integer"}, "twelve", '"twelve"'),
    ({"type": "boolean"}, "true", "true"),
    ({"type": "array"}, "[1,2]", "[1,2]"),
    ({"type": "object"}, '{"a": NaN}', json.dumps('{"a": NaN}')),
    ({"type": ["string", "null"]}, "null", "null"),
    ({"type": ["string", "null"]}, "12", '"12"'),
    ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, "12", "12"),
    ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "true", '"true"'),
    ({"enum": ["1", "2"]}, "1", '"1"'),
    ({"enum": [1, 2]}, "1", "1"),
    ({}, "12", "12"),
    ({}, "", '""'),
    ({"$ref": "#/x"}, "{}", "{}"),
    ({}, "[" * 100_000, json.dumps("[" * 100_000)),
    ({}, "9" * 5000, json.dumps("9" * 5000)),
    (True, "1", "1"),
    ({"type": [[]]}, "1", "1"),
]


@pytest.mark.parametrize(("schema", "value", "text"), VALUES)
def test_a_value_becomes_what_its_schema_says(schema: object, value: str, text: str) -> None:
    tool = Tool("f", "", json.dumps({"properties": {"k": schema}}))
    said = f"<tool_call>f\n<arg_key>k</arg_key>\n<arg_value>{value}</arg_value>\n</tool_call>"
    assert heard("GLM-4.5", said, chat(tools=(tool,))) == call(0, "f", f'{{"k": {text}}}')


@given(
    arguments=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(
            lambda key: key == key.strip()
        ),
        st.text(st.characters(exclude_categories=["Cs"])),
    )
)
def test_strings_come_back_as_they_were(arguments: dict[str, str]) -> None:
    """What GLM-4.5's template writes for a call, its reader makes the same call of."""
    tokenizer, fast = spoken("GLM-4.5")
    properties = {key: {"type": "string"} for key in arguments}
    tool = Tool("f", "", json.dumps({"properties": properties}))
    tokens = [*tags(fast, "<tool_call>"), *tokenizer.encode("f\n")]
    for key, value in arguments.items():
        tokens += [*tags(fast, "<arg_key>"), *tokenizer.encode(key), *tags(fast, "</arg_key>")]
        tokens += [*tags(fast, "<arg_value>"), *tokenizer.encode(value)]
        tokens += tags(fast, "</arg_value>")
    heard = answer(tokenizer, chat(tools=(tool,)), [*tokens, *tags(fast, "</tool_call>")])
    assert json.loads(getattr(heard[-1], "text", "")) == arguments


def tags(fast: Any, *words: str) -> list[int]:
    ids: list[int] = fast.convert_tokens_to_ids(list(words))
    return ids


def test_a_long_value_streams_while_it_is_written() -> None:
    tokenizer, fast = spoken("GLM-4.5")
    transcript = tokenizer.transcript(OFFER)
    begin = "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>"
    for token in fast(begin, add_special_tokens=False)["input_ids"]:
        transcript.add(token)
    assert [p for t in tokenizer.encode('B"') for p in transcript.add(t)] != []
    assert all(map(transcript.add, tokenizer.encode("eijing")))


def shown(pieces: Iterable[Piece]) -> str:
    return "".join(piece.text for piece in pieces if isinstance(piece, Text))


def test_a_character_of_several_tokens_is_shown_whole_and_has_their_places() -> None:
    tokenizer, _ = spoken("GLM-4")
    transcript = tokenizer.transcript(PLAIN)
    pieces = [transcript.add(token) for token in tokenizer.encode("\n你👋!")]
    assert [shown(each) for each in pieces] == ["", "", "", "你", "", "", "", "👋", "!"]
    assert [piece.places for each in pieces for piece in each if isinstance(piece, Text)] == [
        (1, 2, 3), (4, 5, 6, 7), (8,),
    ]  # fmt: skip


def test_hidden_tokens_are_in_no_place() -> None:
    tokenizer, fast = spoken("GLM-4.5")
    text = f"\n<think>a</think>b{CALL_45}"
    tokens = fast(text, add_special_tokens=False)["input_ids"]
    transcript = tokenizer.transcript(OFFER)
    pieces = [*(p for t in tokens for p in transcript.add(t)), *transcript.close()]
    places = [place for piece in pieces for place in getattr(piece, "places", ())]
    assert bytes(b for p in places for b in tokenizer.token_bytes(tokens[p])).decode() == "ab北京"


def test_all_special_tokens_are_hidden() -> None:
    tokenizer, fast = spoken("GLM-4.5")
    transcript = tokenizer.transcript(PLAIN)
    assert [transcript.add(token) for token in tags(fast, *SPECIAL)] == [[]] * len(SPECIAL)
    assert transcript.close() == []


DEMAND = chat(user("?"), tools=TOOLS, tool_choice=ToolChoice(ToolMode.REQUIRED))


@pytest.mark.parametrize(
    ("name", "text", "pieces"),
    [
        ("GLM-4", "get_w", call(0, "get_weather", "")[:1]),
        ("GLM-4", "get_weather", call(0, "get_weather", "")[:1]),
        ("GLM-4", "search\n", call(0, "search", "")[:1]),
        ("GLM-4", "search\n{", call(0, "search", "{")),
        ("GLM-4", f"{CALL_4}<|assistant|>sea", [*CALLED, *call(1, "search", "")[:1]]),
        ("GLM-4.5", "<tool_call>get_w", call(0, "get_weather", "")[:1]),
        ("GLM-4.5", "<tool_call>search\n<arg_key>a", call(0, "search", '{"a')),
        ("GLM-4.5", f"{CALL_45}<tool_call>", [*CALLED]),
    ],
)
def test_a_demanded_call_that_is_cut_off_is_a_call(
    name: str, text: str, pieces: list[Piece]
) -> None:
    assert heard(name, text, DEMAND) == pieces


def test_a_demanded_call_that_is_cut_off_in_its_arguments_is_no_second_call() -> None:
    named = chat(user("?"), tools=TOOLS, tool_choice=ToolChoice(ToolMode.REQUIRED, "get_weather"))
    cut = '{"city": "Bei'
    assert heard("GLM-4", f"get_weather\n{cut}", named) == call(0, "get_weather", cut)
    text = "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Bei"
    assert heard("GLM-4.5", text, named) == call(0, "get_weather", cut)
    assert heard("GLM-4", "", named) == []


def test_of_a_demanded_call_whose_tool_is_not_certain_nothing_is_shown() -> None:
    twins = chat(
        user("?"),
        tools=(Tool("get_time"), Tool("get_date")),
        tool_choice=ToolChoice(ToolMode.REQUIRED),
    )
    assert heard("GLM-4", "get_", twins) == []
    assert heard("GLM-4.5", "<tool_call>get_", twins) == []
    assert heard("GLM-4", "get_t", twins) == call(0, "get_time", "")[:1]


def test_a_demanded_call_has_no_content_where_its_tag_is_cut_off() -> None:
    tokenizer = ChatTokenizer(checkpoint(TEMPLATES["GLM-4.5"], tags=()))
    assert answer(tokenizer, DEMAND, tokenizer.encode("<tool_c")) == []


def test_some_tools_alone_may_be_called() -> None:
    some = chat(user("?"), tools=TOOLS, tool_choice=ToolChoice(allowed=("search",)))
    assert heard("GLM-4", "search\n{}", some) == call(0, "search", "{}")
    assert heard("GLM-4", CALL_4, some) == [content(CALL_4)]


def ending(name: str, text: str, end: str, request: Request = PLAIN) -> list[Piece]:
    """What is shown of an answer whose last token is `end`."""
    tokenizer, fast = spoken(name)
    transcript = tokenizer.transcript(request)
    *tokens, last = fast(text + end, add_special_tokens=False)["input_ids"]
    pieces = [piece for token in tokens for piece in transcript.add(token)]
    return joined([*pieces, *transcript.end(last), *transcript.close()])


@pytest.mark.parametrize(
    ("sampling", "shown"),
    [
        (Sampling(), "Hi"),
        (Sampling(keeps_stop=True), "Hi!"),
        (Sampling(stop=("i",)), "H"),
    ],
)
def test_what_ended_an_answer_is_shown_on_request_alone(sampling: Sampling, shown: str) -> None:
    assert ending("GLM-4", "Hi", "!", chat(user("?"), sampling=sampling)) == [content(shown)]
    completion = CompletionRequest("r", "glm", "x", sampling)
    assert ending("GLM-4", "Hi", "!", completion) == [content(shown)]


@pytest.mark.parametrize(
    ("sampling", "shown"),
    [
        (Sampling(), "ab"),
        (Sampling(hides_special=False), "a[MASK]b"),
        (Sampling(hides_special=False, keeps_stop=True), "a[MASK]b<|user|>"),
        (Sampling(keeps_stop=True), "ab"),
    ],
)
def test_control_tokens_are_shown_on_request_alone(sampling: Sampling, shown: str) -> None:
    completion = CompletionRequest("r", "glm", "x", sampling)
    assert ending("GLM-4.5", "a[MASK]b", "<|user|>", completion) == [content(shown)]
    request = chat(user("?"), sampling=sampling)
    assert ending("GLM-4.5", "a[MASK]b", "<|user|>", request) == [content(shown)]


def test_tags_of_a_completion_are_text_like_any_other_on_request() -> None:
    completion = CompletionRequest("r", "glm", "x", Sampling(hides_special=False))
    text = f"\n<think>a</think>{CALL_45}<|assistant|>\n"
    assert ending("GLM-4.5", text, "!", completion) == [content(text)]


def test_a_continued_message_goes_on_with_its_next_letter() -> None:
    request = chat(user("?"), assistant("I "), ending=Ending.CONTINUED)
    assert heard("GLM-4", "\nam", request) == [content("\nam")]
    assert heard("GLM-Z1", "am</think>", request) == [content("am</think>")]
