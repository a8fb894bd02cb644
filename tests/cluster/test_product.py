"""Which images of ours stay on the node: enough for other runs, and no more than the disk holds."""

from tests.cluster.node import product


def test_the_newest_builds_stay() -> None:
    builds = [f"build {number}" for number in range(30)]

    assert product.kept(builds, lambda _: "dependencies") == builds[-12:]


def test_builds_with_dependencies_of_long_ago_go() -> None:
    of = {"a": "old", "b": "older", "c": "old", "d": "new", "e": "old"}

    assert product.kept([*of], of.__getitem__) == ["a", "c", "d", "e"]
