import threading
from dataclasses import replace
from typing import Any

import pytest

from serve_app.engine.admission import LONG_TEXT, TURN_LETTERS, Admission
from serve_app.engine.choice import Choice
from serve_app.engine.grammar.form import Form
from serve_app.engine.sequence import Sequence
from serve_app.engine.tokenizer import ChatTokenizer
from serve_app.errors import InvalidRequest, TooLong
from serve_app.messages import (
    Caller,
    ChatRequest,
    CompletionRequest,
    Handling,
    Message,
    Request,
    Role,
    Sampling,
    Urgency,
)
from tests.engine.parts import ask

ROOM = 64
HELLO_TOKENS = 8  # prefix, role, line feed, "hell", "o", role, line feed


@pytest.fixture
def admission(chat_tokenizer: ChatTokenizer) -> Admission:
    return admission_of(chat_tokenizer, Sampling(temperature=0.7, top_p=0.8))


def admission_of(tokenizer: Any, defaults: Sampling, **fields: Any) -> Admission:
    parts = {"end_ids": (1, 2), "weights": {"acme": 2.0}} | fields
    return Admission(
        tokenizer=tokenizer, grammars=Free(), room_tokens=ROOM, defaults=defaults, **parts
    )


class Free:
    """Grammars that bind nothing."""

    async def compile(self, form: Form) -> None: ...

    def close(self) -> None: ...


async def prepare(admission: Admission, request: Request) -> list[Sequence]:
    return [branch.sequence for branch in await admission.prepare(request, now=10.0)]


async def test_an_empty_conversation_is_refused(admission: Admission) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        await prepare(admission, ChatRequest("r", "glm", (), Sampling()))
    assert refusal.value.param == "messages"


async def test_the_answer_may_fill_what_the_prompt_leaves(admission: Admission) -> None:
    (sequence,) = await prepare(admission, ask())
    assert (sequence.prompt_tokens, sequence.max_tokens) == (HELLO_TOKENS, ROOM - HELLO_TOKENS)
    (exact,) = await prepare(admission, ask(max_tokens=ROOM - HELLO_TOKENS))
    assert exact.max_tokens == ROOM - HELLO_TOKENS


async def test_one_token_more_is_too_long(admission: Admission) -> None:
    with pytest.raises(TooLong) as refusal:
        await prepare(admission, ask(max_tokens=ROOM - HELLO_TOKENS + 1))
    assert refusal.value.param == "max_tokens"
    assert str(ROOM - HELLO_TOKENS) in refusal.value.message


@pytest.mark.parametrize("length", [ROOM, LONG_TEXT])
async def test_a_prompt_that_leaves_no_room_is_too_long(admission: Admission, length: int) -> None:
    with pytest.raises(TooLong) as refusal:
        await prepare(admission, ask("x" * length))
    assert refusal.value.param == "messages"


class Witness:
    """A tokenizer that notes on which thread it renders."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []

    def render(self, request: Request) -> list[int]:
        self.threads.append(threading.current_thread())
        return [len(request.request_id)]


@pytest.mark.parametrize(
    ("text", "count", "leaves"),
    [
        ("x", 1, False),
        ("x", LONG_TEXT // TURN_LETTERS, True),
        ("x" * LONG_TEXT, 1, True),
    ],
    ids=["short", "many tiny messages", "one long message"],
)
async def test_what_takes_long_to_encode_leaves_the_event_loop(
    text: str, count: int, leaves: bool
) -> None:
    witness = Witness()
    messages = (Message(Role.USER, text),) * count
    request = ChatRequest("r", "glm", messages, Sampling())
    await admission_of(witness, Sampling()).render(request)
    assert (witness.threads != [threading.current_thread()]) is leaves


@pytest.mark.parametrize(("length", "leaves"), [(1, False), (LONG_TEXT, True)])
async def test_a_long_prompt_of_token_ids_is_looked_up_beside_the_event_loop(
    length: int, leaves: bool
) -> None:
    witness = Witness()
    request = CompletionRequest("r", "glm", (1,) * length, Sampling())
    await admission_of(witness, Sampling()).render(request)
    assert (witness.threads != [threading.current_thread()]) is leaves


async def test_what_is_not_wished_is_as_the_model_says(admission: Admission) -> None:
    (sequence,) = await prepare(admission, ask(temperature=0.0, seed=3))
    assert sequence.choice == Choice(0.0, 0.8, 3)
    (other,) = await prepare(admission, ask(top_p=0.5, seed=3))
    assert other.choice == Choice(0.7, 0.5, 3)


async def test_without_a_seed_answers_differ(admission: Admission) -> None:
    seeds = {(await prepare(admission, ask()))[0].choice.seed for _ in range(9)}
    assert len(seeds) == 9


async def test_every_wish_reaches_the_choice(admission: Admission) -> None:
    wishes = {"temperature": 0.5, "top_p": 0.9, "seed": 7, "top_k": 5, "min_p": 0.1}
    wishes |= {"repetition_penalty": 1.1, "presence_penalty": 0.5, "frequency_penalty": -0.5}
    wishes |= {"logit_bias": ((3, 1.0),), "min_tokens": 2, "logprobs": 4, "prompt_logprobs": 0}
    (sequence,) = await prepare(admission, ask(**wishes))
    assert sequence.choice == Choice(**wishes, held_back=frozenset({1, 2}))


async def test_what_ends_an_answer_is_the_models_and_the_callers(admission: Admission) -> None:
    (plain,) = await prepare(admission, ask())
    (more,) = await prepare(admission, ask(stop_token_ids=(9,)))
    (only,) = await prepare(admission, ask(stop_token_ids=(9,), ignore_eos=True))
    assert (plain.end_ids, more.end_ids, only.end_ids) == ({1, 2}, {1, 2, 9}, {9})


async def test_a_deadline_counts_from_now_and_a_weight_is_the_tenants(
    admission: Admission,
) -> None:
    request = replace(ask(), caller=Caller("acme"), urgency=Urgency(priority=3, deadline_s=5.0))
    (sequence,) = await prepare(admission, request)
    assert (sequence.deadline, sequence.priority, sequence.weight) == (15.0, 3, 2.0)
    (other,) = await prepare(admission, ask())
    assert (other.deadline, other.weight) == (None, 1.0)


async def test_n_answers_share_a_prompt_and_differ_in_seed(admission: Admission) -> None:
    leader, *forks = await prepare(admission, ask(n=3, seed=5))
    assert [fork.leader for fork in forks] == [leader, leader]
    assert [each.choice.seed for each in (leader, *forks)] == [5, 6, 7]
    assert {tuple(each.tokens) for each in (leader, *forks)} == {tuple(leader.tokens)}


def complete(prompt: str | tuple[int, ...], **fields: Any) -> CompletionRequest:
    handling = Handling(**{name: fields.pop(name) for name in list(fields) if name in HANDLING})
    return CompletionRequest("r", "glm", prompt, Sampling(**fields), handling=handling)


HANDLING = ("last_tokens", "cache_salt", "tells_tokens")


@pytest.mark.parametrize(
    ("field", "ids"),
    [
        ("logit_bias", ((3, 1.0), (10**6, 1.0))),
        ("stop_token_ids", (10**6,)),
        ("allowed_token_ids", (3, 10**6)),
    ],
)
async def test_tokens_that_there_are_not_are_refused_by_name(
    admission: Admission, field: str, ids: Any
) -> None:
    with pytest.raises(InvalidRequest, match="1000000") as refusal:
        await prepare(admission, ask(**{field: ids}))
    assert refusal.value.param == field


async def test_if_only_ends_are_allowed_none_may_be_held_back(admission: Admission) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        await prepare(admission, ask(allowed_token_ids=(1, 2), min_tokens=1))
    assert refusal.value.param == "allowed_token_ids"
    (fine,) = await prepare(admission, ask(allowed_token_ids=(1, 2, 3), min_tokens=1))
    assert fine.choice.allowed == (1, 2, 3)


async def test_bad_words_are_banned_as_they_are_spelt(
    admission: Admission, chat_tokenizer: ChatTokenizer
) -> None:
    (sequence,) = await prepare(admission, ask(bad_words=("hell", " a")))
    words = [tuple(chat_tokenizer.encode(word)) for word in ("hell", "a", " a")]
    assert list(sequence.choice.banned) == words
    with pytest.raises(InvalidRequest) as refusal:
        await prepare(admission, ask(bad_words=("\ud800",)))
    assert refusal.value.param == "bad_words"


@pytest.mark.parametrize(
    ("wished", "max_tokens", "left"), [(3, 1, 3), (99, 1, 80), (-1, 10, 54), (-1, None, 63)]
)
async def test_of_a_longer_prompt_only_its_last_tokens_are_read_on_request(
    admission: Admission, wished: int, max_tokens: int | None, left: int
) -> None:
    prompt = tuple(range(80))
    if left > ROOM:
        with pytest.raises(TooLong):
            await prepare(admission, complete(prompt, last_tokens=wished, max_tokens=max_tokens))
        return
    asked = complete(prompt, last_tokens=wished, max_tokens=max_tokens)
    (sequence,) = await prepare(admission, asked)
    assert sequence.tokens == list(prompt[-left:])


async def test_a_prompt_without_an_answer_may_fill_the_context(admission: Admission) -> None:
    (sequence,) = await prepare(admission, complete(tuple(range(ROOM)), max_tokens=0))
    assert (sequence.prompt_tokens, sequence.max_tokens) == (ROOM, 1)
    with pytest.raises(TooLong):
        await prepare(admission, complete(tuple(range(ROOM + 1)), max_tokens=0))


async def test_a_salt_of_ones_own_parts_the_pages_of_a_tenant(admission: Admission) -> None:
    salts = set()
    for tenant in ("acme", "globex"):
        for salt in ("", "a", "b"):
            request = replace(complete("x", cache_salt=salt), caller=Caller(tenant))
            (sequence,) = await prepare(admission, request)
            salts.add(sequence.salt)
    assert len(salts) == 6
    assert {len(salt) for salt in salts} == {16}
