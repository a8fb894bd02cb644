"""The door: a request comes in, its events go out."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from serve_app.engine.admission import Admission, Grammars, Tokenizer
from serve_app.engine.answer import Answer, prompt_of
from serve_app.engine.answers import Answers
from serve_app.engine.crew import NOBODY, Crew
from serve_app.engine.drafts import Drafts
from serve_app.engine.flight import Runner
from serve_app.engine.limits import Limits
from serve_app.engine.loop import Loop
from serve_app.engine.nameplate import Nameplate, leaves_kernels_unused
from serve_app.engine.outbox import Outbox
from serve_app.engine.scheduler import Scheduler
from serve_app.engine.sequence import Sequence
from serve_app.engine.watch import Watch
from serve_app.errors import EngineFailed, NotReady
from serve_app.messages import EngineStats, Event, Finish, Request, Sampling
from serve_app.settings import EngineSettings
from serve_app.telemetry import log

_GREEDY = Sampling(temperature=0.0)
_BLANK: Nameplate = {}


class Engine:
    """Continuous batching behind one asynchronous door."""

    def __init__(
        self,
        *,
        runner: Runner,
        tokenizer: Tokenizer,
        grammars: Grammars,
        settings: EngineSettings,
        context_tokens: int,
        eos_ids: Collection[int],
        defaults: Sampling = _GREEDY,
        crew: Crew = NOBODY,
        nameplate: Nameplate = _BLANK,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`defaults` hold what the model's generation config says of sampling.

        `crew` computes beside the runner; the engine dismisses it in the end. `nameplate` is for
        whoever tells what computes.
        """
        self.nameplate = nameplate
        limits = Limits.of(settings)
        self._tokenizer = tokenizer
        self._grammars = grammars
        self._admission = Admission(
            tokenizer=tokenizer,
            grammars=grammars,
            room_tokens=min(context_tokens, limits.pages * limits.page_tokens),
            end_ids=eos_ids,
            defaults=defaults,
            weights=settings.tenant_weights,
        )
        self._clock = clock
        self._yields_per_s = settings.yields_per_s
        self._chance = random.Random()
        self._speculation = settings.speculation
        self._scheduler = Scheduler(limits)
        self._answers = Answers(self._scheduler, clock)
        self._watch = Watch(settings.step_deadline_s, clock)
        self._loop = Loop(runner, self._answers, self._watch)
        self._crew = crew

    def start(self) -> None:
        self._crew.watch(self._loop.end)
        self._loop.start()

    def check(self) -> None:
        """Raise EngineFailed once only a new engine helps."""
        if self._answers.is_closed:
            raise EngineFailed("The engine has ended; start its replica anew.")
        if self._watch.is_late:
            log().critical("step_stuck", detail=f"for {self._watch.running_s:.0f} s")
            raise EngineFailed("The engine is stuck in a step; start its replica anew.")

    async def stop(self) -> None:
        """End the thread after its step; whoever is left fails. To drain is the corridor's work."""
        self._answers.close()
        if self._loop.is_alive and not self._crew.is_lost:  # its step would never end
            await asyncio.to_thread(self._loop.join)
        await asyncio.to_thread(self._crew.dismiss)
        await asyncio.to_thread(self._grammars.close)

    async def generate(self, request: Request) -> AsyncGenerator[Event]:
        """Yield events, one finish for each choice; closing the generator cancels the work.

        Raises InvalidRequest, TooLong, Overloaded or NotReady before the first event, EngineFailed
        at any time.
        """
        answer = await self._admit(request)
        left = len(answer.branches)
        try:
            while left:
                event = await answer.outbox.get()
                left -= isinstance(event, Finish)
                yield event
        finally:
            self._answers.leave(answer)

    def stats(self) -> EngineStats:
        unused = leaves_kernels_unused(self.nameplate)
        return replace(self._answers.stats(), kernels_unused=unused)

    async def spell(self, tokens: tuple[int, ...]) -> str:
        """The text that these tokens stand for; raises InvalidRequest if one stands for none."""
        return self._tokenizer.spell(self._tokenizer.check(tokens, "prompt"))

    async def tokens(self, request: Request) -> tuple[int, ...]:
        """The prompt as the model reads it; raises InvalidRequest."""
        return tuple(await self._admission.render(request))

    async def pieces(self, tokens: tuple[int, ...]) -> tuple[str, ...]:
        """How the vocabulary writes these tokens."""
        return tuple(self._tokenizer.pieces(tokens))

    async def about_tokens(self) -> Mapping[str, Any]:
        """What the model's own files say of its tokens and their template; of JSON's types."""
        return self._tokenizer.about()

    async def _admit(self, request: Request) -> Answer:
        self._check_open()
        branches = await self._admission.prepare(request, self._clock())
        if self._speculates(request):
            _let_guess(branch.sequence for branch in branches)
        outbox = Outbox(self._pause_s, self._clock)
        answer = Answer(branches, outbox, self._tokenizer, self._clock, prompt_of(request))
        place = self._answers.open(answer)
        if place and place.position:
            outbox.put(place)
        return answer

    def _speculates(self, request: Request) -> bool:
        wished = request.handling.speculates
        return self._speculation != "off" and (
            self._speculation == "on" if wished is None else wished
        )

    def _check_open(self) -> None:
        """Refuse early: a refusal should cost less than an answer."""
        if self._answers.is_closed or not self._loop.is_alive:
            raise NotReady("The engine is not running.")
        if self._watch.is_late:
            raise NotReady("The engine is stuck; its replica will be started anew.")
        self._answers.check_room()

    def _pause_s(self) -> float:
        """Uneven, so that streams that began together do not go on speaking all at once."""
        return self._chance.uniform(0.5, 1.5) * len(self._answers) / self._yields_per_s


def _let_guess(sequences: Iterable[Sequence]) -> None:
    """A guess can be checked only where the likeliest token is all that is wanted."""
    for sequence in sequences:
        if not (sequence.choice.hot or sequence.by_host):
            sequence.drafts = Drafts()
