"""The whole engine with a real, tiny model: what a caller sees, and what it leaves behind."""

import asyncio
import io
import random
import threading
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest
import structlog
import torch
from transformers import PreTrainedTokenizerFast

from serve_app.engine.answers import Answers
from serve_app.engine.engine import Engine
from serve_app.engine.flight import Flight
from serve_app.engine.model import ModelRunner
from serve_app.engine.scheduler import Batch
from serve_app.engine.tokenizer import ChatTokenizer, Transcript
from serve_app.errors import DeadlineExceeded, EngineFailed, InvalidRequest, NotReady, Overloaded
from serve_app.messages import (
    Caller,
    ChatRequest,
    CompletionRequest,
    Delta,
    Echo,
    Event,
    Finish,
    FinishReason,
    Queued,
    Sampling,
    Structure,
    StructureKind,
    Urgency,
    Usage,
)
from serve_app.settings import LogSettings
from serve_app.telemetry import configure
from tests.engine.parts import (
    CONTEXT,
    Start,
    Turnstile,
    Twins,
    ask,
    build,
    grammars_of,
    is_idle,
    read,
    settings,
    text_of,
    until,
)

HELLO_TOKENS = 8


@pytest.fixture(scope="module")
def model() -> Any:
    return build("glm", torch.float32)


async def test_the_answer_is_what_generate_says(
    twins: Twins, start: Start, fast_tokenizer: PreTrainedTokenizerFast, chat_tokenizer: Any
) -> None:
    chosen = settings(max_running=3)
    requests = [ask(f"hello {n}" * n, max_tokens=20 + n) for n in range(1, 7)]
    async with start(ModelRunner(twins.served, chosen), chosen) as engine:
        answers = await asyncio.gather(*(read(engine, request) for request in requests))
    for request, events in zip(requests, answers, strict=True):
        prompt = chat_tokenizer.render(request)
        count = request.sampling.max_tokens or 0
        whole = fast_tokenizer.decode(twins.generate(prompt, count), skip_special_tokens=True)
        assert whole.startswith(text_of(events))
        assert set(whole[len(text_of(events)) :]) <= {"\ufffd"}
        assert events[-1] == Finish(FinishReason.LENGTH, Usage(len(prompt), count))
        assert sum(isinstance(event, Finish) for event in events) == 1


async def test_usage_grows_with_the_text(model: Any, start: Start) -> None:
    chosen = settings()
    async with start(ModelRunner(model, chosen), chosen) as engine:
        events = await read(engine, ask(max_tokens=40))
    counts = [event.usage.completion_tokens for event in events]
    assert counts == sorted(counts)
    assert counts[-1] == 40


async def test_without_max_tokens_the_answer_fills_the_context(model: Any, start: Start) -> None:
    chosen = settings()
    async with start(ModelRunner(model, chosen), chosen) as engine:
        events = await read(engine, ask())
    assert events[-1] == Finish(FinishReason.LENGTH, Usage(HELLO_TOKENS, CONTEXT - HELLO_TOKENS))


async def test_an_end_token_and_a_stop_string_both_end_with_stop(
    model: Any, start: Start, chat_tokenizer: ChatTokenizer
) -> None:
    chosen = settings()
    async with start(ModelRunner(model, chosen), chosen) as engine:
        whole = text_of(await read(engine, ask(max_tokens=60)))
        stop = whole[5:7]
        events = await read(engine, ask(max_tokens=60, stop=(stop,)))
    assert text_of(events) == whole[: whole.index(stop)]
    assert isinstance(events[-1], Finish)
    assert events[-1].reason is FinishReason.STOP
    everything = tuple(range(512))
    async with start(ModelRunner(model, chosen), chosen, eos_ids=everything) as engine:
        events = await read(engine, ask(max_tokens=60))
    assert events[-1] == Finish(FinishReason.STOP, Usage(HELLO_TOKENS, 1))


async def test_a_question_asked_again_finds_its_pages(model: Any, start: Start) -> None:
    chosen = settings(page_tokens=4)
    async with start(ModelRunner(model, chosen), chosen) as engine:
        first = await read(engine, ask("hello " * 10, max_tokens=5))
        again = await read(engine, ask("hello " * 10, max_tokens=5))
        stats = engine.stats()
    assert text_of(first) == text_of(again)
    assert (first[-1].usage.cached_tokens, again[-1].usage.cached_tokens > 20) == (0, True)
    assert stats.prefix_cache_hit_tokens == again[-1].usage.cached_tokens
    assert stats.generation_tokens == 10


async def test_tenants_share_no_pages(model: Any, start: Start) -> None:
    chosen = settings(page_tokens=4)
    question = ask("hello " * 10, max_tokens=5)
    async with start(ModelRunner(model, chosen), chosen) as engine:
        cached = [
            (await read(engine, replace(question, caller=Caller(tenant))))[-1].usage.cached_tokens
            for tenant in ("acme", "globex", "acme")
        ]
    assert cached[:2] == [0, 0]
    assert cached[2] > 20


async def test_a_seeded_answer_is_the_same_in_company(model: Any, start: Start) -> None:
    def seeded(seed: int) -> ChatRequest:
        return ask(max_tokens=40, temperature=1.0, top_p=0.9, seed=seed)

    chosen = settings()
    async with start(ModelRunner(model, chosen), chosen) as engine:
        alone = text_of(await read(engine, seeded(1)))
        company = [ask("x" * n, max_tokens=30, temperature=1.5) for n in range(1, 8)]
        among, other, *_ = await asyncio.gather(
            *(read(engine, request) for request in (seeded(1), seeded(2), *company))
        )
    assert alone == text_of(among) != text_of(other)


@pytest.mark.parametrize("steps", [0, 1, 3, 4, 9])
@pytest.mark.parametrize("inside", [False, True], ids=["between", "inside"])
async def test_a_closed_generator_gives_its_pages_back_at_once(
    model: Any, start: Start, steps: int, inside: bool
) -> None:
    """Five steps of prefill, then decodes; the reader hangs up before, inside or after a step."""
    chosen = settings(step_tokens=4)
    turnstile = Turnstile(ModelRunner(model, chosen))
    async with start(turnstile, chosen) as engine:
        reader = asyncio.create_task(read(engine, ask("hello " * 3, max_tokens=30)))
        for _ in range(steps):
            await turnstile.arrival()
            turnstile.allow(1)
        if inside:
            await turnstile.arrival()
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert is_idle(engine.stats())
        turnstile.allow(10**6)
        assert isinstance((await read(engine, ask(max_tokens=1)))[-1], Finish)


async def test_who_waits_can_hang_up_too(model: Any, start: Start) -> None:
    chosen = settings(max_running=1)
    turnstile = Turnstile(ModelRunner(model, chosen))
    async with start(turnstile, chosen) as engine:
        first = asyncio.create_task(read(engine, ask(max_tokens=3)))
        await turnstile.arrival()
        second = asyncio.create_task(read(engine, ask(max_tokens=3)))
        await until(lambda: engine.stats().waiting == 1)
        second.cancel()
        await asyncio.wait([second])
        assert engine.stats().waiting == 0
        turnstile.allow(10**6)
        assert isinstance((await first)[-1], Finish)


async def test_a_full_line_refuses_and_goes_on(model: Any, start: Start) -> None:
    chosen = settings(max_running=1, max_waiting=2)
    turnstile = Turnstile(ModelRunner(model, chosen))
    async with start(turnstile, chosen) as engine:
        first = asyncio.create_task(read(engine, ask(max_tokens=2)))
        await turnstile.arrival()
        line = [asyncio.create_task(read(engine, ask(max_tokens=2))) for _ in range(2)]
        await until(lambda: engine.stats().waiting == 2)
        with pytest.raises(Overloaded):
            await read(engine, ask(max_tokens=2))
        turnstile.allow(10**6)
        answers = await asyncio.gather(first, *line)
    assert all(isinstance(events[-1], Finish) for events in answers)


class Hasty(dict[Any, Any]):
    """Streams under way, one of which loses its reader as soon as the lock allows."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self.is_armed = False

    def __contains__(self, sequence: object) -> bool:
        found = super().__contains__(sequence)
        if found and self.is_armed:
            reader = threading.Thread(target=self._hang_up, args=(self[sequence],))
            reader.start()
            reader.join()
        return found

    def _hang_up(self, stream: Any) -> None:
        if self._answers._changed.acquire(blocking=False):
            self._answers._changed.release()
            self._answers.leave(stream[0])


async def test_a_hang_up_at_any_moment_leaves_the_engine_running(model: Any, start: Start) -> None:
    chosen = settings()
    turnstile = Turnstile(ModelRunner(model, chosen))
    async with start(turnstile, chosen) as engine:
        engine._answers._known = hasty = Hasty(engine._answers)
        reader = asyncio.create_task(read(engine, ask(max_tokens=3)))
        await turnstile.arrival()
        hasty.is_armed = True
        turnstile.allow(10**6)
        assert isinstance((await reader)[-1], Finish)
        hasty.is_armed = False
        assert isinstance((await read(engine, ask(max_tokens=3)))[-1], Finish)


async def test_a_text_that_cannot_be_made_fails_the_step_not_the_engine(
    model: Any, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = settings()
    async with start(ModelRunner(model, chosen), chosen) as engine:
        with monkeypatch.context() as patch:
            patch.setattr(Transcript, "add", lambda *_: 1 / 0)
            with pytest.raises(EngineFailed):
                await read(engine, ask(max_tokens=3))
        assert isinstance((await read(engine, ask(max_tokens=3)))[-1], Finish)


async def test_broken_books_end_the_engine_and_leave_nobody_waiting(
    model: Any, chat_tokenizer: ChatTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step fails, and so does letting go of what it held."""
    chosen = settings()
    turnstile = Turnstile(Stumbling(ModelRunner(model, chosen)))
    engine = Engine(
        runner=turnstile,
        tokenizer=chat_tokenizer,
        grammars=grammars_of(chat_tokenizer, chosen),
        settings=chosen,
        context_tokens=CONTEXT,
        eos_ids=(),
    )
    finishes = iter([ZeroDivisionError, None, None])

    def finish(*_: Any) -> None:
        if (error := next(finishes)) is not None:
            raise error

    monkeypatch.setattr(engine._scheduler, "finish", finish)
    lines = io.StringIO()
    configure(LogSettings(), lines)
    engine.start()
    engine.check()
    readers = [asyncio.create_task(read(engine, ask(max_tokens=3))) for _ in range(2)]
    await turnstile.arrival()
    await until(lambda: len(engine._answers) == 2)
    turnstile.allow(10**6)
    ends = await asyncio.gather(*readers, return_exceptions=True)
    await asyncio.to_thread(engine._loop.join)
    structlog.reset_defaults()
    assert [type(end) for end in ends] == [EngineFailed, EngineFailed]
    with pytest.raises(EngineFailed, match="anew"):
        engine.check()
    assert "engine_ended" in lines.getvalue()
    assert "ZeroDivisionError" in lines.getvalue()


class Stumbling:
    """Raises in its first step, then works."""

    def __init__(self, runner: ModelRunner) -> None:
        self._runner = runner
        self._fell = False

    def begin(self, batch: Batch) -> Flight:
        if not self._fell:
            self._fell = True
            raise RuntimeError("out of memory")
        return self._runner.begin(batch)


async def test_a_step_that_raises_fails_its_requests_and_no_others(
    model: Any, start: Start
) -> None:
    chosen = settings(max_running=1)
    lines = io.StringIO()
    configure(LogSettings(), lines)
    async with start(Stumbling(ModelRunner(model, chosen)), chosen) as engine:
        touched, spared = await asyncio.gather(
            read(engine, ask("secret", max_tokens=3)),
            read(engine, ask(max_tokens=3)),
            return_exceptions=True,
        )
    assert isinstance(touched, EngineFailed)
    assert "memory" not in str(touched)
    assert not isinstance(spared, BaseException)
    assert isinstance(spared[-1], Finish)
    structlog.reset_defaults()
    assert "out of memory" in lines.getvalue()
    assert "secret" not in lines.getvalue()


async def test_logits_that_are_not_numbers_fail_their_row_alone(
    start: Start, chat_tokenizer: ChatTokenizer
) -> None:
    """Pages are few, so that the next requests get the poisoned ones."""
    model = build("glm", torch.float32)
    poison = chat_tokenizer.render(ask("~"))[4]
    healthy = ask("hello", max_tokens=20)
    chosen = settings(page_tokens=4, kv_tokens=72)
    async with start(ModelRunner(model, chosen), chosen) as engine:
        expected = text_of(await read(engine, healthy))
        with torch.no_grad():
            model.model.embed_tokens.weight[poison] = torch.nan
        sick, well = await asyncio.gather(
            read(engine, ask("~" * 20, max_tokens=20)),
            read(engine, healthy),
            return_exceptions=True,
        )
        after = [await read(engine, ask("bcd"[n], max_tokens=50)) for n in range(3)]
        again = await read(engine, healthy)
    assert isinstance(sick, EngineFailed)
    assert not isinstance(well, BaseException)
    assert text_of(well) == text_of(again) == expected
    assert all(isinstance(events[-1], Finish) for events in after)


async def test_two_hundred_readers_hang_up_anywhere_and_leave_nothing(
    model: Any, start: Start
) -> None:
    chance = random.Random(17)
    chosen = settings(kv_tokens=1024, step_tokens=64, max_running=16)

    async def hang_up(engine: Engine, number: int) -> None:
        request = ask("hello " * chance.randrange(1, 12), f"r{number}", max_tokens=24)
        patience = chance.randrange(12)
        events = engine.generate(request)
        if number % 3:
            async with aclosing(events):
                for _ in range(patience):
                    await anext(events, None)
        else:
            task = asyncio.create_task(read(engine, request))
            for _ in range(patience * 20):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            await events.aclose()

    async with start(ModelRunner(model, chosen), chosen) as engine:
        await asyncio.gather(*(hang_up(engine, number) for number in range(200)))
        assert is_idle(engine.stats())
        assert not engine._answers
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_refusals_leave_nothing_behind(model: Any, start: Start) -> None:
    chosen = settings()
    async with start(ModelRunner(model, chosen), chosen) as engine:
        with pytest.raises(InvalidRequest):
            await read(engine, ask("\ud83d"))
        assert engine.stats().waiting == 0


async def test_a_reader_whose_loop_has_closed_is_forgotten(model: Any, start: Start) -> None:
    chosen = settings()
    turnstile = Turnstile(ModelRunner(model, chosen))

    def lose_a_reader(engine: Engine) -> None:
        """Close a loop under its reader without the courtesy of closing generators."""
        loop = asyncio.new_event_loop()
        events = engine.generate(ask(max_tokens=400))
        lost.append((events, loop.create_task(anext(events))))
        loop.run_until_complete(turnstile.arrival())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    lost: list[Any] = []
    async with start(turnstile, chosen) as engine:
        await asyncio.to_thread(lose_a_reader, engine)
        turnstile.allow(10**6)
        assert isinstance((await read(engine, ask(max_tokens=400)))[-1], Finish)
        assert engine.stats().running == 0


async def test_stop_fails_who_is_left_and_admits_nobody(model: Any, start: Start) -> None:
    chosen = settings(max_running=1)
    turnstile = Turnstile(ModelRunner(model, chosen))
    async with start(turnstile, chosen) as engine:
        readers = [asyncio.create_task(read(engine, ask(max_tokens=400))) for _ in range(2)]
        await turnstile.arrival()
        stopping = asyncio.create_task(engine.stop())
        await until(lambda: engine._answers.is_closed)
        with pytest.raises(NotReady):
            await read(engine, ask())
        turnstile.allow(1)
        await stopping
        ends = await asyncio.gather(*readers, return_exceptions=True)
    assert [type(end) for end in ends] == [EngineFailed, EngineFailed]


async def test_an_engine_that_was_not_started_is_not_ready(
    model: Any, chat_tokenizer: ChatTokenizer
) -> None:
    chosen = settings()
    engine = Engine(
        runner=ModelRunner(model, chosen),
        tokenizer=chat_tokenizer,
        grammars=grammars_of(chat_tokenizer, chosen),
        settings=chosen,
        context_tokens=CONTEXT,
        eos_ids=(),
    )
    with pytest.raises(NotReady):
        await read(engine, ask())
    await engine.stop()


async def test_a_choice_of_several_is_told_as_if_it_were_alone(model: Any, start: Start) -> None:
    chosen = settings()
    wishes = {"max_tokens": 20, "temperature": 1.0}
    async with start(ModelRunner(model, chosen), chosen) as engine:
        several = await read(engine, ask("hello " * 5, n=3, seed=7, **wishes))
        alone = [
            text_of(await read(engine, ask("hello " * 5, seed=seed, **wishes)))
            for seed in (7, 8, 9)
        ]
    assert [text_of(choice_of(several, number)) for number in range(3)] == alone
    ends = [event for event in several if isinstance(event, Finish)]
    assert sorted(end.choice for end in ends) == [0, 1, 2]
    assert ends[-1].usage.completion_tokens == 60


@pytest.mark.parametrize("page_tokens", [1, 4, 16, 64])
async def test_greedy_choices_are_all_alike(model: Any, start: Start, page_tokens: int) -> None:
    """Whoever writes to a shared page first writes to a copy that holds what the page held."""
    chosen = settings(page_tokens=page_tokens)
    async with start(ModelRunner(model, chosen), chosen) as engine:
        events = await read(engine, ask("hello " * 5, n=4, max_tokens=30))
        alone = text_of(await read(engine, ask("hello " * 5, max_tokens=30)))
    assert [text_of(choice_of(events, number)) for number in range(4)] == [alone] * 4


def choice_of(events: Sequence[Event], number: int) -> list[Event]:
    return [event for event in events if isinstance(event, Delta) and event.choice == number]


async def test_a_request_past_its_deadline_is_never_begun(model: Any, start: Start) -> None:
    chosen = settings(max_running=1)
    turnstile = Turnstile(ModelRunner(model, chosen))
    late = replace(ask(max_tokens=3), urgency=Urgency(deadline_s=0.0))
    async with start(turnstile, chosen) as engine:
        first = asyncio.create_task(read(engine, ask(max_tokens=3)))
        await turnstile.arrival()
        second = asyncio.create_task(read(engine, late))
        await until(lambda: engine.stats().waiting == 1)
        turnstile.allow(10**6)
        with pytest.raises(DeadlineExceeded):
            await second
        assert isinstance((await first)[-1], Finish)


async def test_who_waits_is_told_the_place(model: Any, start: Start) -> None:
    chosen = settings(max_running=1)
    turnstile = Turnstile(ModelRunner(model, chosen))
    async with start(turnstile, chosen) as engine:
        readers = [asyncio.create_task(read(engine, ask(max_tokens=2)))]
        await turnstile.arrival()
        for waiting in (1, 2):
            readers.append(asyncio.create_task(read(engine, ask(max_tokens=2))))
            await until(lambda waiting=waiting: engine.stats().waiting == waiting)
        turnstile.allow(10**6)
        answers = await asyncio.gather(*readers)
    places = [[e.position for e in events if isinstance(e, Queued)] for events in answers]
    assert places == [[], [], [1]]


async def test_a_prompt_goes_back_with_its_chances(
    twins: Twins, start: Start, chat_tokenizer: ChatTokenizer
) -> None:
    """Whatever the chunks, each token has the probability that transformers gives it."""
    text = "hello, what a day; hello again"
    sampling = Sampling(temperature=0.0, max_tokens=2, logprobs=1, prompt_logprobs=1)
    request = CompletionRequest("r", "glm", text, sampling, echo=True)
    tokens = torch.tensor([chat_tokenizer.encode(text)])
    with torch.inference_mode():
        known = twins.reference(tokens).logits[0, :-1].log_softmax(-1)
    expected = known.gather(-1, tokens[0, 1:, None])[:, 0].tolist()
    for step_tokens in (2, 5, 512):
        chosen = settings(step_tokens=step_tokens)
        async with start(ModelRunner(twins.served, chosen), chosen) as engine:
            echo, *rest = await read(engine, request)
        assert isinstance(echo, Echo)
        assert echo.text == text
        first, *others = echo.chances
        assert first is None
        assert [each.drawn.logprob for each in others if each] == pytest.approx(expected, abs=1e-4)
        drawn = [chance for event in rest if isinstance(event, Delta) for chance in event.chances]
        assert all(chance.drawn == chance.top[0] for chance in drawn)


class Touchy:
    """Raises whenever a sequence with a certain first token is in the batch."""

    def __init__(self, runner: ModelRunner, poison: int) -> None:
        self._runner = runner
        self._poison = poison

    def begin(self, batch: Batch) -> Flight:
        if any(row.sequence.choice.seed == self._poison for row in batch.rows):
            raise MemoryError
        return self._runner.begin(batch)


async def test_only_who_breaks_a_step_fails(model: Any, start: Start) -> None:
    chosen = settings()
    async with start(Touchy(ModelRunner(model, chosen), 13), chosen) as engine:
        alone = [text_of(await read(engine, ask("x" * n, max_tokens=12))) for n in range(1, 8)]
        ends = await asyncio.gather(
            *(read(engine, ask("x" * n, max_tokens=12)) for n in range(1, 8)),
            read(engine, ask("poison", max_tokens=12, seed=13)),
            return_exceptions=True,
        )
    assert isinstance(ends[-1], EngineFailed)
    assert [text_of(events) for events in ends[:-1]] == alone


async def test_a_step_that_never_ends_is_noticed(model: Any, chat_tokenizer: ChatTokenizer) -> None:
    now = [0.0]
    chosen = settings(step_deadline_s=30)
    turnstile = Turnstile(ModelRunner(model, chosen))
    engine = Engine(
        runner=turnstile,
        tokenizer=chat_tokenizer,
        grammars=grammars_of(chat_tokenizer, chosen),
        settings=chosen,
        context_tokens=CONTEXT,
        eos_ids=(),
        clock=lambda: now[0],
    )
    engine.start()
    reader = asyncio.create_task(read(engine, ask(max_tokens=1)))
    await turnstile.arrival()
    now[0] = 29.0
    engine.check()
    now[0] = 31.0
    with pytest.raises(EngineFailed, match="stuck"):
        engine.check()
    with pytest.raises(NotReady):
        await read(engine, ask(max_tokens=1))
    turnstile.allow(10**6)
    assert isinstance((await reader)[-1], Finish)
    engine.check()
    await engine.stop()


async def test_an_answer_is_held_to_its_structure(model: Any, start: Start) -> None:
    """A random model says whatever it may, and no more."""
    chosen = settings()
    either = Structure(StructureKind.CHOICE, '["yes", "no", "perhaps"]')
    request = replace(ask(max_tokens=20, temperature=1.0, n=4), structure=either)
    async with start(ModelRunner(model, chosen), chosen) as engine:
        events = await read(engine, request)
    said = [text_of(choice_of(events, number)) for number in range(4)]
    assert set(said) <= {"yes", "no", "perhaps"}
    ends = [event.reason for event in events if isinstance(event, Finish)]
    assert ends == [FinishReason.STOP] * 4


class Counting:
    """A runner that counts the tokens it computes: the time that an answer takes."""

    def __init__(self, runner: ModelRunner) -> None:
        self._runner = runner
        self.tokens = 0

    def begin(self, batch: Batch) -> Flight:
        self.tokens += sum(row.count for row in batch.rows)
        return self._runner.begin(batch)


async def test_no_tenant_learns_by_time_what_another_asked(model: Any, start: Start) -> None:
    """A stranger's question takes the same work whether somebody else has asked it or not."""
    chosen = settings(page_tokens=4)
    counting = Counting(ModelRunner(model, chosen))

    async def cost(tenant: str, text: str) -> int:
        before = counting.tokens
        await read(engine, replace(ask(text, max_tokens=3), caller=Caller(tenant)))
        return counting.tokens - before

    async with start(counting, chosen) as engine:
        first = await cost("acme", "secret " * 9)
        again = await cost("acme", "secret " * 9)
        stranger = await cost("globex", "secret " * 9)
        unheard = await cost("initech", "tercse " * 9)
    assert again < first / 2
    assert stranger == first == unheard


class Broken:
    """A device that computes nothing any more."""

    def begin(self, _: Batch) -> Flight:
        raise RuntimeError("illegal memory access")


async def test_an_engine_that_computes_nothing_any_more_says_so(
    chat_tokenizer: ChatTokenizer,
) -> None:
    chosen = settings()
    engine = Engine(
        runner=Broken(),
        tokenizer=chat_tokenizer,
        grammars=grammars_of(chat_tokenizer, chosen),
        settings=chosen,
        context_tokens=CONTEXT,
        eos_ids=(),
    )
    configure(LogSettings(), io.StringIO())
    engine.start()
    questions = [read(engine, ask(max_tokens=3)) for _ in range(20)]
    ends = await asyncio.gather(*questions, return_exceptions=True)
    assert {type(end) for end in ends} <= {EngineFailed, NotReady}
    await asyncio.to_thread(engine._loop.join)
    structlog.reset_defaults()
    with pytest.raises(EngineFailed, match="anew"):
        engine.check()
    await engine.stop()


@pytest.mark.parametrize("wishes", [{"max_tokens": 7}, {"max_tokens": 30, "stop_token_ids": (99,)}])
async def test_every_token_has_its_chances(
    model: Any, start: Start, wishes: dict[str, Any]
) -> None:
    """Also half a character at the end, and the token that ends the answer."""
    chosen = settings()
    async with start(ModelRunner(model, chosen), chosen, eos_ids=tuple(range(40, 90))) as engine:
        for seed in range(9):
            events = await read(engine, ask(temperature=1.0, seed=seed, logprobs=0, **wishes))
            told = [chance for e in events if isinstance(e, Delta) for chance in e.chances]
            assert isinstance(events[-1], Finish)
            assert len(told) == events[-1].usage.completion_tokens


async def test_a_grammar_that_cannot_be_followed_is_the_callers(model: Any, start: Start) -> None:
    chosen = settings()
    pattern = Structure(StructureKind.REGEX, r"(\p{L}{1,500}){1,500}")
    request = replace(ask(max_tokens=200, temperature=1.0, seed=1), structure=pattern)
    async with start(ModelRunner(model, chosen), chosen) as engine:
        with pytest.raises(InvalidRequest, match="too complex"):
            await read(engine, request)
        assert isinstance((await read(engine, ask(max_tokens=3)))[-1], Finish)
