"""A model replica as the ingress asks it, without Ray between them."""

from collections.abc import Awaitable, Callable
from typing import Any

from serve_app.messages import Serving
from serve_app.settings import Settings
from serve_app.versions import Engine
from tests.fakes.shell import ModelReplica, RemoteGenerator
from tests.versions.test_versions import NEW, OLD, FakeEngine


class NearHandle:
    """A handle whose replica is in this process."""

    def __init__(self, replica: ModelReplica) -> None:
        self._replica = replica
        self.remote: Callable[..., Awaitable[Any]]

    def options(self, *, method_name: str, **_: object) -> "NearHandle":
        bound = NearHandle(self._replica)
        bound.remote = getattr(self._replica, method_name)
        return bound


def fake_engine(settings: Settings) -> Engine:
    return FakeEngine(settings.model.name)


async def test_during_a_switch_each_model_spells_its_own_tokens() -> None:
    replica = ModelReplica.__new__(ModelReplica)
    await replica.__init__(Settings(), Serving(OLD), fake_engine)  # type: ignore[misc]  # as Serve does
    handle: Any = NearHandle(replica)
    generator = RemoteGenerator(handle)
    assert await replica.prepare(NEW) is None
    assert await generator.spell("new", ()) == "new"
    assert await generator.spell("old", ()) == "old"
    assert await generator.pieces("new", ()) == ("new",)
    assert await generator.about_tokens("old") == {"name": "old"}
