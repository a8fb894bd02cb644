import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import BPE, WordLevel
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from serve_app.engine.dialects import Piece, Text
from serve_app.engine.tokenizer import ChatTokenizer
from serve_app.errors import BadModel, InvalidRequest
from serve_app.messages import ChatRequest, CompletionRequest, Message, Role, Sampling
from tests.engine.parts import SPECIAL, TEMPLATE

ordinary = st.text(st.characters(exclude_categories=["Cs"]), max_size=30).filter(
    lambda text: not any(word in text for word in SPECIAL)  # hypothesis takes words from the code
)
spelled = st.lists(st.one_of(st.sampled_from(SPECIAL), ordinary), max_size=6).map("".join)
conversations = st.lists(st.builds(Message, st.sampled_from(list(Role)), ordinary), min_size=1)


def chat(*messages: Message, stop: tuple[str, ...] = ()) -> ChatRequest:
    return ChatRequest("r", "glm", messages, Sampling(stop=stop))


def complete(prompt: str | tuple[int, ...]) -> CompletionRequest:
    return CompletionRequest("r", "glm", prompt, Sampling())


def shown(pieces: Iterable[Piece]) -> str:
    return "".join(piece.text for piece in pieces if isinstance(piece, Text))


def plainly(tokenizer: PreTrainedTokenizerFast, messages: list[Message]) -> list[int]:
    """What transformers itself makes of a conversation."""
    conversation = [{"role": each.role.value, "content": each.content} for each in messages]
    text = tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
    return tokenizer(text, add_special_tokens=False)["input_ids"]


@given(messages=conversations)
def test_a_conversation_is_encoded_as_its_own_template_says(
    chat_tokenizer: ChatTokenizer, fast_tokenizer: PreTrainedTokenizerFast, messages: list[Message]
) -> None:
    assert chat_tokenizer.render(chat(*messages)) == plainly(fast_tokenizer, messages)


@given(text=spelled)
def test_text_that_spells_control_tokens_stays_text(
    chat_tokenizer: ChatTokenizer, fast_tokenizer: PreTrainedTokenizerFast, text: str
) -> None:
    control = set(fast_tokenizer.convert_tokens_to_ids(list(SPECIAL)))
    silent = chat_tokenizer.render(chat(Message(Role.USER, "")))
    speaking = chat_tokenizer.render(chat(Message(Role.USER, text)))
    assert [t for t in speaking if t in control] == [t for t in silent if t in control]
    begin = fast_tokenizer.decode(silent)
    assert fast_tokenizer.decode(speaking) == begin.replace("<|user|>\n", "<|user|>\n" + text)


def test_a_slot_mark_in_a_message_is_data(
    chat_tokenizer: ChatTokenizer, fast_tokenizer: PreTrainedTokenizerFast
) -> None:
    messages = [Message(Role.USER, "\ue0001\ue001 \\1"), Message(Role.USER, "secret")]
    assert chat_tokenizer.render(chat(*messages)) == plainly(fast_tokenizer, messages)


def test_the_prefix_stands_once(
    chat_tokenizer: ChatTokenizer, fast_tokenizer: PreTrainedTokenizerFast
) -> None:
    ids = chat_tokenizer.render(chat(Message(Role.USER, "hello")))
    prefix = fast_tokenizer.convert_tokens_to_ids(["[gMASK]", "<sop>", "<|user|>"])
    assert ids[:3] == prefix
    assert ids.count(prefix[0]) == ids.count(prefix[1]) == 1


def test_short_conversations_are_remembered_by_shape_and_long_ones_are_not(
    fast_tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the conversations, what is remembered stays small."""
    tokenizer = ChatTokenizer(fast_tokenizer)
    rendered: list[int] = []
    template = fast_tokenizer.apply_chat_template

    def apply(conversation: list[Any], **options: Any) -> Any:
        rendered.append(len(conversation))
        return template(conversation, **options)

    monkeypatch.setattr(fast_tokenizer, "apply_chat_template", apply)
    for turns in (64, 64, 65, 65):
        tokenizer.render(chat(*[Message(Role.USER, "hi")] * turns))
    assert rendered == [64, 65, 65]


def test_half_a_surrogate_pair_is_refused_by_place(chat_tokenizer: ChatTokenizer) -> None:
    messages = [Message(Role.USER, "fine"), Message(Role.USER, "\ud83d")]
    with pytest.raises(InvalidRequest) as refusal:
        chat_tokenizer.render(chat(*messages))
    assert refusal.value.param == "messages[1].content"


@given(text=ordinary)
def test_text_comes_out_as_it_went_in_and_never_in_halves(
    chat_tokenizer: ChatTokenizer, fast_tokenizer: PreTrainedTokenizerFast, text: str
) -> None:
    transcript = chat_tokenizer.transcript(chat())
    pieces = [shown(transcript.add(token)) for token in fast_tokenizer(text)["input_ids"]]
    assert "".join(pieces) + shown(transcript.close()) == text
    said = ""
    for piece in pieces:
        said += piece
        assert text.startswith(said)


@given(tokens=st.lists(st.integers(0, 262), max_size=40))
def test_any_tokens_become_what_transformers_decodes_but_for_a_cut_off_end(
    chat_tokenizer: ChatTokenizer, fast_tokenizer: PreTrainedTokenizerFast, tokens: list[int]
) -> None:
    transcript = chat_tokenizer.transcript(chat())
    said = "".join(shown(transcript.add(token)) for token in tokens) + shown(transcript.close())
    whole = fast_tokenizer.decode(tokens)
    assert whole.startswith(said)
    assert set(whole[len(said) :]) <= {"\ufffd"}


def test_control_tokens_and_unknown_ids_say_nothing(
    chat_tokenizer: ChatTokenizer, fast_tokenizer: PreTrainedTokenizerFast
) -> None:
    transcript = chat_tokenizer.transcript(chat())
    control = fast_tokenizer.convert_tokens_to_ids(list(SPECIAL))
    assert [transcript.add(token) for token in (*control, 100_000)] == [[]] * 8


def test_a_stop_string_ends_the_text_over_token_borders(
    chat_tokenizer: ChatTokenizer, fast_tokenizer: PreTrainedTokenizerFast
) -> None:
    transcript = chat_tokenizer.transcript(chat(stop=("好 a",)))
    said = [transcript.add(token) for token in fast_tokenizer("你好 all 你好 a!")["input_ids"]]
    assert "".join(map(shown, said)) == "你"
    assert transcript.stopped
    assert transcript.close() == []


def test_an_added_word_that_is_not_special_is_text(
    fast_tokenizer: PreTrainedTokenizerFast,
) -> None:
    backend = Tokenizer.from_str(fast_tokenizer.backend_tokenizer.to_str())
    backend.add_tokens([AddedToken("思考", special=False)])
    tokenizer = ChatTokenizer(
        PreTrainedTokenizerFast(tokenizer_object=backend, chat_template=TEMPLATE)
    )
    ids = tokenizer.render(chat(Message(Role.USER, "思考")))
    assert backend.token_to_id("思考") in ids
    said = tokenizer.transcript(complete("")).add(backend.token_to_id("思考"))
    assert shown(said) == "思考"


def test_a_vocabulary_of_words_is_refused() -> None:
    words = Tokenizer(WordLevel({"你": 0}, "你"))
    with pytest.raises(BadModel, match="byte-level"):
        ChatTokenizer(PreTrainedTokenizerFast(tokenizer_object=words, chat_template=TEMPLATE))


def test_a_control_token_that_users_can_write_is_refused() -> None:
    letters = Tokenizer(BPE({"a": 0, "b": 1}, []))
    letters.add_special_tokens([AddedToken("a", special=True)])
    with pytest.raises(BadModel, match="control tokens"):
        ChatTokenizer(PreTrainedTokenizerFast(tokenizer_object=letters, chat_template=TEMPLATE))


def test_a_text_prompt_is_encoded_without_a_template(
    chat_tokenizer: ChatTokenizer, fast_tokenizer: PreTrainedTokenizerFast
) -> None:
    ids = chat_tokenizer.render(complete("hello 你好"))
    assert ids == fast_tokenizer("hello 你好")["input_ids"]
    assert chat_tokenizer.spell(ids) == "hello 你好"


def test_a_text_prompt_begins_as_the_tokenizer_begins_every_text(
    fast_tokenizer: PreTrainedTokenizerFast,
) -> None:
    backend = Tokenizer.from_str(fast_tokenizer.backend_tokenizer.to_str())
    prefix = [(token, backend.token_to_id(token)) for token in ("[gMASK]", "<sop>")]
    backend.post_processor = TemplateProcessing(single="[gMASK] <sop> $A", special_tokens=prefix)
    tokenizer = ChatTokenizer(PreTrainedTokenizerFast(tokenizer_object=backend))
    ids = tokenizer.render(complete("hello"))
    assert ids == backend.encode("hello").ids
    assert ids[:2] == [number for _, number in prefix]
    assert tokenizer.spell(ids) == "hello"


@given(text=spelled)
def test_a_text_prompt_holds_no_control_tokens(
    chat_tokenizer: ChatTokenizer, fast_tokenizer: PreTrainedTokenizerFast, text: str
) -> None:
    ids = chat_tokenizer.render(complete(text))
    assert not set(ids) & set(fast_tokenizer.convert_tokens_to_ids(list(SPECIAL)))
    assert chat_tokenizer.spell(ids) == text


def test_token_ids_are_taken_as_they_are_if_the_vocabulary_has_them(
    chat_tokenizer: ChatTokenizer, fast_tokenizer: PreTrainedTokenizerFast
) -> None:
    ids = (*fast_tokenizer("hi")["input_ids"], *fast_tokenizer.convert_tokens_to_ids(list(SPECIAL)))
    assert chat_tokenizer.render(complete(ids)) == list(ids)
    for unknown in (-1, 270, 10**9):
        with pytest.raises(InvalidRequest, match=f"no token {unknown}") as refusal:
            chat_tokenizer.render(complete((0, unknown)))
        assert refusal.value.param == "prompt"


def test_a_token_has_bytes_of_its_own(
    chat_tokenizer: ChatTokenizer, fast_tokenizer: PreTrainedTokenizerFast
) -> None:
    ids = fast_tokenizer("你 all")["input_ids"]
    assert b"".join(map(chat_tokenizer.token_bytes, ids)).decode() == "你 all"
    assert chat_tokenizer.token_bytes(fast_tokenizer.convert_tokens_to_ids("<sop>")) == b""


def test_an_answer_says_how_many_of_its_tokens_each_piece_is(
    chat_tokenizer: ChatTokenizer, fast_tokenizer: PreTrainedTokenizerFast
) -> None:
    """What is held back as a stop string might keeps its tokens with it."""
    transcript = chat_tokenizer.transcript(chat(stop=("hex",)))
    ids = fast_tokenizer.convert_tokens_to_ids(["h", "e", "l", "<sop>", "l", "h"])
    pieces = [piece for token in ids for piece in transcript.add(token)] + transcript.close()
    assert [(piece.text, piece.places) for piece in pieces if isinstance(piece, Text)] == [
        ("hel", (0, 1, 2)),
        ("l", (4,)),
        ("h", (5,)),
    ]


def test_what_clients_need_to_write_prompts_is_told(
    chat_tokenizer: ChatTokenizer, fast_tokenizer: PreTrainedTokenizerFast
) -> None:
    told = chat_tokenizer.about()
    assert json.loads(json.dumps(told)) == told
    assert told["chat_template"] == fast_tokenizer.chat_template
    assert told["tokenizer_class"] == type(fast_tokenizer).__name__
    added = {int(token): AddedToken(**each) for token, each in told["added_tokens_decoder"].items()}
    own = fast_tokenizer.backend_tokenizer.get_added_tokens_decoder()
    assert {token: repr(each) for token, each in added.items()} == {
        token: repr(each) for token, each in own.items()
    }
    assert not [each for each in told if "path" in each or "file" in each]


def test_an_added_token_is_told_with_its_traits(fast_tokenizer: PreTrainedTokenizerFast) -> None:
    backend = Tokenizer.from_str(fast_tokenizer.backend_tokenizer.to_str())
    backend.add_tokens([AddedToken("<think>", special=False, lstrip=True, normalized=False)])
    told = ChatTokenizer(
        PreTrainedTokenizerFast(tokenizer_object=backend, chat_template=TEMPLATE)
    ).about()
    assert told["added_tokens_decoder"][str(backend.token_to_id("<think>"))] == {
        "content": "<think>",
        "lstrip": True,
        "normalized": False,
        "rstrip": False,
        "single_word": False,
        "special": False,
    }


def test_tokens_are_written_as_in_the_vocabulary(
    chat_tokenizer: ChatTokenizer, fast_tokenizer: PreTrainedTokenizerFast
) -> None:
    ids = fast_tokenizer("hello 你好 <|user|>")["input_ids"]
    assert chat_tokenizer.pieces(ids) == fast_tokenizer.convert_ids_to_tokens(ids)
