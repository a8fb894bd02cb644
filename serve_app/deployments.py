"""7. The shell: three thin Ray Serve classes that hold the rooms and pass values between them."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Protocol, Self

from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle, DeploymentResponseGenerator
from starlette.applications import Starlette

from serve_app import telemetry
from serve_app.errors import EngineFailed, NotReady, Overloaded, ServeAppError
from serve_app.ingress import http
from serve_app.messages import (
    ChatRequest,
    EngineStats,
    Event,
    Message,
    ModelCard,
    Role,
    Sampling,
    Verdict,
)
from serve_app.pipeline import Doors, Events
from serve_app.safety.policy import LexiconGuard
from serve_app.settings import Settings


class Engine(Protocol):
    """What a model replica asks of its engine."""

    def start(self) -> None: ...

    def generate(self, request: ChatRequest) -> AsyncGenerator[Event]: ...

    def stats(self) -> EngineStats: ...


EngineFactory = Callable[[Settings], Engine]


def load_engine(settings: Settings) -> Engine:
    """Verify and load the model of `settings`; raises BadModel."""
    from serve_app.engine import engine, model, tokenizer
    from serve_app.models.load import load

    loaded = load(settings)
    return engine.Engine(
        runner=model.ModelRunner(loaded.model, settings.engine),
        tokenizer=tokenizer.ChatTokenizer(loaded.tokenizer),
        settings=settings.engine,
        context_tokens=loaded.context_tokens,
        eos_ids=loaded.defaults.eos_ids,
        defaults=Sampling(loaded.defaults.temperature, loaded.defaults.top_p),
    )


def probe(model: str) -> ChatRequest:
    """The smallest real request."""
    sampling = Sampling(temperature=0.0, max_tokens=1)
    return ChatRequest("probe", model, (Message(Role.USER, "ping"),), sampling)


async def exhaust(events: Events) -> None:
    """Run an answer to its end, for its own sake."""
    async with aclosing(events):
        async for _ in events:
            pass


class SafetyFilter:
    """Judges whole conversations before they reach a model."""

    def __init__(self, settings: Settings) -> None:
        telemetry.configure(settings.log)
        self._guard = LexiconGuard(settings.safety)

    async def check(self, request: ChatRequest) -> Verdict:
        return await self._guard.check(request)


class ModelReplica:
    """One engine on one device."""

    async def __init__(  # type: ignore[misc]  # Serve awaits an asynchronous constructor
        self, settings: Settings, factory: EngineFactory
    ) -> None:
        telemetry.configure(settings.log)
        self._engine = factory(settings)
        self._metrics = telemetry.Metrics()
        self._metrics.watch(settings.model.name, self._engine.stats)
        self._engine.start()
        await exhaust(self._engine.generate(probe(settings.model.name)))  # the first one is slow

    async def generate(self, request: ChatRequest) -> AsyncGenerator[Event | ServeAppError]:
        """Errors travel as values: raised, they would lose their class at the process border."""
        try:
            async with aclosing(self._engine.generate(request)) as events:
                async for event in events:
                    yield event
        except ServeAppError as error:
            yield error

    async def metrics(self) -> bytes:
        """Prometheus text of this replica."""
        return self._metrics.exposition()


class RemoteGuard:
    """A pipeline InputGuard behind one hop."""

    def __init__(self, safety: DeploymentHandle) -> None:
        self._check = safety.options(method_name="check")

    async def check(self, request: ChatRequest) -> Verdict:
        verdict: Verdict = await self._check.remote(request)
        return verdict


class RemoteGenerator:
    """A pipeline Generator whose tokens come from whichever replica Serve picks."""

    def __init__(self, model: DeploymentHandle) -> None:
        self._generate = model.options(method_name="generate", stream=True)

    def generate(self, request: ChatRequest) -> "RemoteEvents":
        """The request is on its way when this returns."""
        return RemoteEvents(self._generate.remote(request))


class RemoteEvents:
    """One answer from another process, with its errors raised as our own."""

    def __init__(self, response: DeploymentResponseGenerator[Event | ServeAppError]) -> None:
        self._response = response

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        try:
            event: Event | ServeAppError = await anext(self._response)
        except BackPressureError as error:
            raise Overloaded("All model replicas are full; try again shortly.") from error
        except DeploymentUnavailableError as error:
            raise NotReady("No model replica is up; try again shortly.") from error
        except RayError as error:
            raise EngineFailed("The model replica was lost while it answered.") from error
        if isinstance(event, ServeAppError):
            raise event
        return event

    async def aclose(self) -> None:
        self._response.cancel()


@serve.ingress()
class Ingress:
    """The front door and the corridor; Serve asks it for the ASGI app on the replica."""

    def __init__(
        self,
        settings: Settings,
        cards: tuple[ModelCard, ...],
        safety: DeploymentHandle,
        model: DeploymentHandle,
    ) -> None:
        telemetry.configure(settings.log)
        self._settings = settings
        self._cards = cards
        self._model = model
        self._metrics = telemetry.Metrics()
        self._doors = Doors(
            input_guard=RemoteGuard(safety),
            output_guards=LexiconGuard(settings.safety),
            generator=RemoteGenerator(model),
            records=telemetry.Records(self._metrics),
        )

    def __serve_build_asgi_app__(self) -> Starlette:
        return http.build(
            http.FrontDoor(
                doors=self._doors,
                cards=self._cards,
                probe=self._probe,
                metrics=self._all_metrics,
                settings=self._settings.server,
                exchanges=telemetry.Exchanges(self._metrics),
            )
        )

    async def drain(self) -> None:
        """Return when no answer is under way; none is admitted any more."""
        await self._doors.gate.drain()

    async def _probe(self) -> None:
        """One real token from one replica; not a user's request, so it leaves no record."""
        await exhaust(self._doors.generator.generate(probe(self._cards[0].name)))

    async def _all_metrics(self) -> bytes:
        """Prometheus text of this process and of every model replica."""
        replicas = await self._model.broadcast("metrics").results_async()
        expositions = {f"model-{index}": text for index, text in enumerate(replicas)}
        return telemetry.merge({"ingress": self._metrics.exposition(), **expositions})
