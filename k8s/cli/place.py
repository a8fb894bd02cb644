"""The road that a command speaks of, and who speaks."""

import functools
import getpass
import inspect
import os
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

from k8s.cli.options import Context, Name, Namespace
from k8s.errors import Refused

if TYPE_CHECKING:
    from k8s.cluster import Cluster
    from k8s.road import Road

Own = ParamSpec("Own")


def on_road(
    command: "Callable[Concatenate[Cluster, Road, Own], None]",
) -> Callable[..., None]:
    """Give a command --road, --namespace and --context, and call it with what they name."""

    @functools.wraps(command, assigned=("__module__", "__name__", "__doc__"))
    def named(
        *, road: Name = None, namespace: Namespace = None, context: Context = None, **own: Any
    ) -> None:
        command(*find(road, namespace, context), **own)  # type: ignore[call-arg]  # all by name

    theirs = inspect.signature(command)
    own = [*theirs.parameters.values()][2:]
    shared = [*inspect.signature(named, follow_wrapped=False).parameters.values()]
    whole = (*own, *shared[:-1])  # all but **own
    named.__signature__ = theirs.replace(parameters=whole)  # type: ignore[attr-defined]  # for typer
    named.__annotations__ = {each.name: each.annotation for each in whole}
    return named


def find(name: str | None, namespace: str | None, context: str | None) -> "tuple[Cluster, Road]":
    """The road and its cluster; raises Refused where it is not clear which."""
    from k8s.cluster import Cluster, connect

    cluster = Cluster(connect(context, namespace))
    names = [name] if name else cluster.road_names(unknown_ok=True)
    if not names:
        raise Refused(_nowhere(cluster))
    if len(names) > 1:
        there = " and ".join(names)
        raise Refused(f"In {cluster.namespace} there is {there}; name one with --road.")
    return cluster, read(cluster, names[0])


def _nowhere(cluster: "Cluster") -> str:
    """Where a road may be instead, as far as one may ask."""
    here = cluster.namespace
    with suppress(Refused):
        if not cluster.has_namespace():
            return f"There is no namespace {here}{_elsewhere(cluster)}"
    return f"There is no ModelRoad in the namespace {here}{_elsewhere(cluster)}"


def _elsewhere(cluster: "Cluster") -> str:
    try:
        roads = cluster.roads_elsewhere()
    except Refused:
        return "; name another with --namespace."
    if roads is None:
        return ", and this cluster knows no ModelRoad: install helm/glm-platform first."
    if not roads:
        return ", nor in any other: helm install glm-road helm/glm-road makes one."
    named = ", ".join(f"{namespace} ({name})" for namespace, name in roads)
    return f"; there is one in {named}: name it with --namespace."


def read(cluster: "Cluster", name: str) -> "Road":
    """As it is now."""
    road = cluster.road(name)
    if road is None:
        names = cluster.road_names(unknown_ok=True)
        if not names:
            raise Refused(_nowhere(cluster))
        there = ", ".join(names)
        raise Refused(f"No road {name} in the namespace {cluster.namespace}; there is {there}.")
    return road


def asker() -> str:
    """Who asks, as the ledger shall name them: a pipeline with its address, or a user."""
    user = os.environ.get("GITLAB_USER_LOGIN")
    pipeline = os.environ.get("CI_PIPELINE_URL")
    return " ".join(filter(None, (user, pipeline))) or getpass.getuser()
