"""7. The switch to another model while answers go on: on all replicas, or on none."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from serve_app import app
from serve_app.control import Say
from serve_app.deployments import EngineFactory
from serve_app.errors import BadModel, CannotStart, ServeAppError, Unable
from serve_app.loading import load_engine
from serve_app.messages import ModelCard, Serving
from serve_app.models import catalogue
from serve_app.settings import Settings
from serve_app.telemetry import log

UNDO_S = 5.0  # a replica that is slower goes on giving back by itself


class Switch:
    """Knows what is served; all calls come from one event loop.

    First every model replica loads the new model beside the one that serves. Only then do the
    ingress replicas send new requests to it, by its name. Last, Serve takes it into the
    application's configuration: model replicas let go of the old model when its answers have
    ended, and replicas that start later begin with the new one.
    """

    def __init__(
        self, settings: Settings, card: ModelCard, factory: EngineFactory = load_engine
    ) -> None:
        self._settings = settings
        self._serving = Serving(card)
        self._factory = factory
        self._handles: dict[str, DeploymentHandle] = {}
        self._busy = False

    async def __call__(self, name: str, say: Say) -> None:
        """Switch to the model of that name; if it raises ServeAppError, the old one goes on alone.

        Replicas that had let go of it load it once more. Only where Serve does not take it back
        either, replicas may be left with different models; the error then says so.
        """
        if self._busy:
            raise CannotStart("Another switch is under way; wait until it has ended.")
        self._busy = True
        try:
            await self._to(self._found(name), say)
        finally:
            self._busy = False

    def _found(self, name: str) -> ModelCard:
        card = catalogue.find(self._settings.of_model(name).model).card
        current = self._serving.card
        if card.name == current.name and card != current:
            raise BadModel(
                f"{name} is served already, with other files; give the new version another name."
            )
        return card

    async def _to(self, card: ModelCard, say: Say) -> None:
        current = self._serving.card
        if card == current:
            say(f"{card.name} is what is served already")
            return
        try:
            say(f"loading {card.name} beside {current.name}, which goes on answering")
            await self._prepare(card)
            say(f"sending new requests to {card.name}")
            await _to_its_end(self._commit(self._serving.switched(card)))
        except BaseException:
            await self._undo()
            raise
        say(f"{card.name} answers; {current.name} ends with its last answer")

    async def _prepare(self, card: ModelCard) -> None:
        """Raises what the first model replica says that could not load it."""
        for answer in await self._every(app.MODEL, "prepare", card):
            if isinstance(answer, ServeAppError):
                raise Unable(f"{answer.message} {self._goes_on}") from answer
            if isinstance(answer, Exception):
                lost = f"A model replica was lost while it loaded {card.name}."
                raise Unable(f"{lost} {self._goes_on}") from answer

    async def _commit(self, serving: Serving) -> None:
        await self._every(app.INGRESS, "turn", serving)
        try:
            await self._run(serving)
        except Exception as error:  # Serve raises anything, bare Exception too
            left = await self._run_old()
            raise Unable(f"Ray Serve did not take the new model; see its logs. {left}") from error
        self._serving = serving

    async def _run_old(self) -> str:
        """Bring the old model back where a replica has let go of it; say what goes on."""
        try:
            await self._run(self._serving)
        except Exception:  # noqa: BLE001 - the first error is the one to raise
            log().error("switch_not_undone", model=self._serving.card.name, exc_info=True)
            return f"Nor did it take {self._serving.card.name} back; start the server again."
        return self._goes_on

    async def _run(self, serving: Serving) -> None:
        application = app.build(self._settings, serving, self._factory)
        await asyncio.to_thread(serve.run, application, name=app.NAME, route_prefix="/")

    @property
    def _goes_on(self) -> str:
        return f"{self._serving.card.name} goes on alone."

    async def _undo(self) -> None:
        with suppress(TimeoutError, RayError, RayServeException):
            await self._every(app.INGRESS, "turn", self._serving, timeout_s=UNDO_S)
        with suppress(TimeoutError, RayError, RayServeException):
            await self._every(app.MODEL, "discard", timeout_s=UNDO_S)

    async def _every(
        self, deployment: str, method: str, *arguments: object, timeout_s: float | None = None
    ) -> list[Any]:
        """What every replica answers, or the error of one that was lost."""
        # Serve's own cache would share them: they belong to the event loop they are made on.
        handle = self._handles.setdefault(deployment, DeploymentHandle(deployment, app.NAME))
        answers = handle.broadcast(method, *arguments)
        every: list[Any] = await answers.results_async(timeout_s=timeout_s, return_exceptions=True)
        return every


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Who is cancelled waits all the same."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    finally:
        await task
