"""Pods follow the roles of versions: warm, asleep, gone; awake again before users go back."""

import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from typing import Annotated

import typer

from ci.release import charts, retention
from ci.release.candidate import Timeout, warm
from ci.release.retention import Pods
from k8s import wishes
from k8s.cli import act
from k8s.cli.options import Output
from k8s.cli.place import asker, find, read
from k8s.cli.write import MANAGER, go_home
from k8s.cluster import Cluster
from k8s.errors import Refused, Unreachable
from k8s.road import Road, Role
from k8s.road.wire import seconds_of

_ASLEEP = "did not wake"


def keep(*, timeout: Timeout = "20m") -> None:
    """Make pods follow roles: warm ones stay, cold ones are suspended, retired ones go.

    Warm ones hold as many replicas as the policy says, or more by their own values. One that
    cannot keeps none of the others from following.
    """
    cluster, road = find(None, None, None)
    pods = _pods(each.name for each in road.spec.versions)
    plan = retention.plan(road, pods)

    def still(kind: str) -> Iterator[tuple[str, int]]:
        """Those of the plan whom no rollback has chosen meanwhile, and their replicas."""
        for version in getattr(plan, kind):
            now = read(cluster, road.name)
            if version in getattr(retention.plan(now, pods), kind):
                yield version, retention.replicas_of(now, version)

    for version, _ in still("remove"):
        charts.uninstall(version)
    for version, _ in still("suspend"):
        charts.suspend(version)
    _forget(plan.forget)
    broken = []
    # Last, for Helm waits for their pods.
    for kind, fault in (("wake", _ASLEEP), ("resize", "does not hold its replicas")):
        for version, replicas in still(kind):
            try:
                _hold(cluster, version, timeout, replicas, fault)
            except Refused as error:
                broken.append(error.message)
    typer.echo(f"{road.name}: {plan}")
    if broken:
        raise Refused(f"Pods do not follow there: {', and '.join(broken)}.")


def verify(
    *, url: Annotated[str, typer.Option(envvar="GATEWAY_URL")], timeout: Timeout = "20m"
) -> None:
    """Prove that cold versions would come back: wake each in turn, ask it, let it sleep again."""
    cluster, road = find(None, None, None)
    pods = _pods(each.name for each in road.spec.versions)
    broken = []

    def sleeps(version: str) -> bool:
        """Still: a rollback may have come between."""
        return version in retention.asleep(read(cluster, road.name), pods)

    for version in filter(sleeps, retention.asleep(road, pods)):
        try:
            _hold(cluster, version, timeout)
            warm(version, url=url, timeout=timeout)
        except (Refused, Unreachable) as error:
            broken.append(error.message)
        finally:
            if sleeps(version):
                charts.suspend(version)
    if broken:
        raise Refused(f"Nobody could go back there: {', and '.join(broken)}.")


def rollback(version: Annotated[str, typer.Argument()] = "", *, timeout: Timeout = "20m") -> None:
    """Lead users back; one that sleeps is woken first, and they stay where they are until then."""
    cluster, road = find(None, None, None)
    wish = wishes.rollback(road, version or None, asker())
    home, patience_s, asked = wish["rollbackTo"], 10.0, time.monotonic()
    if not any(each.ready for each in road.status.versions if each.name == home):
        cluster.wish(road.name, dict(wish), MANAGER)  # from now on retention leaves it its pods
        pods = _pods([home]).get(home)
        if pods and (pods.suspended or not pods.done):
            _hold(cluster, home, timeout)
        _still_asked(read(cluster, road.name), home)
        patience_s = seconds_of(timeout)
    go_home(cluster, road, wish, patience_s, Output.TEXT, waited_s=time.monotonic() - asked)


def _pods(versions: Iterable[str]) -> dict[str, Pods]:
    """Of those that Helm knows."""
    there = charts.installed()
    return {each: charts.pods(each, done=there[each]) for each in versions if each in there}


def _forget(retired: Collection[str]) -> None:
    """Those that are gone, and retired still."""
    _, road = find(None, None, None)
    roles = {each.name: each.role for each in road.status.versions}
    gone = [each for each in retired if roles.get(each) is Role.RETIRED]
    if gone:
        act.forget(versions=gone)


def _hold(
    cluster: Cluster, version: str, timeout: str, kept: int = 0, fault: str = _ASLEEP
) -> None:
    """Raises Refused with what its pods say: Helm's own words are in the log, and tell little."""
    try:
        charts.hold(version, timeout, kept)
    except typer.Exit:
        told = [f"{version} {fault}"]
        with suppress(Unreachable, Refused):
            told += cluster.troubles(version)
        raise Refused("; ".join(told)) from None


def _still_asked(road: Road, home: str) -> None:
    """To wake takes long: whoever has wished otherwise since is not overruled."""
    if road.spec.rollback_to != home:
        raise Refused(f"{home} is awake, but meanwhile somebody asked for {road.spec.target}.")
