"""7. The shell: three thin Ray Serve classes that hold the rooms and pass values between them."""

import asyncio
import itertools
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any, TypeVar

from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.applications import Starlette

from serve_app import scaling, telemetry
from serve_app.errors import EngineFailed, ServeAppError
from serve_app.ingress import http
from serve_app.ingress.cards import Cards
from serve_app.messages import Event, ModelCard, Request, Serving, Verdict
from serve_app.pipeline import Doors, probe
from serve_app.remote import RemoteGenerator, RemoteGuard
from serve_app.safety.policy import LexiconGuard
from serve_app.settings import Settings
from serve_app.versions import Engine, Versions, ping

T = TypeVar("T")

EngineFactory = Callable[[Settings], Engine]
Exposition = tuple[str, bytes]  # the replica's name and its Prometheus text


class SafetyFilter:
    """Judges whole conversations before they reach a model."""

    def __init__(self, settings: Settings) -> None:
        telemetry.configure(settings.log)
        self._guard = LexiconGuard(settings.safety)

    async def check(self, request: Request) -> Verdict:
        return await self._guard.check(request)


class ModelReplica:
    """One engine on one device, and during a switch those beside it.

    What is asked of it answers with errors as values: raised, they would lose their class at the
    process border.
    """

    async def __init__(  # type: ignore[misc]  # Serve awaits an asynchronous constructor
        self, settings: Settings, serving: Serving, factory: EngineFactory
    ) -> None:
        telemetry.configure(settings.log)
        self._settings = settings
        self._factory = factory
        self._metrics = telemetry.Metrics()
        self._metrics.watch_gpus(partial(_gpu_memory, settings.engine.tensor_parallel))
        self._versions = Versions(self._load, self._unload)
        await self._versions.become(serving.card)

    async def generate(self, request: Request) -> AsyncGenerator[Event | ServeAppError | None]:
        """First None, so that the caller knows a replica has the request and can cancel it."""
        yield None
        try:
            with self._versions.lease(request.model) as engine:
                async with aclosing(engine.generate(request)) as events:
                    async for event in events:
                        yield event
        except ServeAppError as error:
            yield error

    async def spell(self, model: str, tokens: tuple[int, ...]) -> str | ServeAppError:
        return await self._asked(model, lambda engine: engine.spell(tokens))

    async def tokens(self, request: Request) -> tuple[int, ...] | ServeAppError:
        return await self._asked(request.model, lambda engine: engine.tokens(request))

    async def pieces(self, model: str, tokens: tuple[int, ...]) -> tuple[str, ...] | ServeAppError:
        return await self._asked(model, lambda engine: engine.pieces(tokens))

    async def about_tokens(self, model: str) -> Mapping[str, Any] | ServeAppError:
        return await self._asked(model, lambda engine: engine.about_tokens())

    async def _asked(
        self, model: str, question: Callable[[Engine], Awaitable[T]]
    ) -> T | ServeAppError:
        try:
            with self._versions.lease(model) as engine:
                return await question(engine)
        except ServeAppError as error:
            return error

    async def prepare(self, card: ModelCard) -> ServeAppError | None:
        """The first half of a switch; the second is `reconfigure`."""
        try:
            await self._versions.prepare(card)
        except ServeAppError as error:
            return error
        except Exception:  # noqa: BLE001 - whatever it was, the current engine goes on
            telemetry.log().error("version_failed", model=card.name, exc_info=True)
            return EngineFailed(f"{card.name} could not be loaded; see the log of the server.")
        return None

    async def discard(self) -> None:
        """Give back what `prepare` took, also where it failed."""
        from serve_app.models import device

        await self._versions.discard()
        await asyncio.to_thread(device.reclaim)

    async def reconfigure(self, config: dict[str, Any]) -> None:
        """Serve asks it of every replica at its start, and again when the application changes."""
        await self._versions.become(Serving.of(config).card)

    async def check_health(self) -> None:
        """Serve replaces a replica whose engine has died."""
        self._versions.check()

    async def metrics(self) -> Exposition:
        return replica_name(), self._metrics.exposition()

    async def record_autoscaling_stats(self) -> dict[str, int]:
        """Serve hands it to the policy that says how many replicas there should be."""
        with self._versions.lease() as engine:
            return scaling.told(engine.stats())

    def _load(self, card: ModelCard) -> Engine:
        engine = self._factory(self._settings.of_model(card.name))
        self._metrics.watch(card.name, engine.stats)
        return engine

    def _unload(self, card: ModelCard) -> None:
        from serve_app.models import device

        self._metrics.unwatch(card.name)
        device.reclaim()


def _gpu_memory(ranks: int) -> list[tuple[int, int]]:
    """Who has not loaded torch computes on no GPU."""
    if "torch" not in sys.modules:
        return []
    from serve_app.models import device

    return device.gpu_memory(ranks)


@serve.ingress()
class Ingress:
    """The front door and the corridor; Serve asks it for the ASGI app on the replica."""

    def __init__(
        self,
        settings: Settings,
        serving: Serving,
        safety: DeploymentHandle,
        model: DeploymentHandle,
    ) -> None:
        telemetry.configure(settings.log)
        self._settings = settings
        self._cards = Cards(serving, settings.model.aliases)
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

    async def turn(self, serving: Serving) -> None:
        """Send new requests to another model, which every model replica has ready."""
        self._cards.turn(serving)

    async def reconfigure(self, config: dict[str, Any]) -> None:
        """As that of a model replica."""
        self._cards.turn(Serving.of(config))

    async def drain(self) -> None:
        """Return when no answer is under way; none is admitted any more."""
        await self._doors.gate.drain()

    async def _probe(self) -> None:
        await probe(ping(self._cards.current.name), self._doors)

    async def metrics(self) -> Exposition:
        return replica_name(), self._metrics.exposition()

    async def _all_metrics(self) -> bytes:
        """Prometheus text of every ingress and model replica that answers."""
        ingress = serve.get_deployment_handle(serve.get_replica_context().deployment)
        broadcasts = [handle.broadcast("metrics") for handle in (ingress, self._model)]
        answers = await asyncio.gather(
            *(every.results_async(return_exceptions=True) for every in broadcasts)
        )
        every = itertools.chain.from_iterable(answers)
        return telemetry.merge(dict(each for each in every if not isinstance(each, Exception)))


def replica_name() -> str:
    """The name of the replica this process is, unique over restarts."""
    context = serve.get_replica_context()
    return f"{context.deployment}-{context.replica_id.unique_id}"
