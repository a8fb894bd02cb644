"""HAProxy as we have Serve start it: Ray's own template is what it is tried on."""

import os
import runpy
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from serve_app import tuning
from serve_app.settings import ServerSettings

UNKNOWN = "http-request return status {} content-type text/plain lf-string"


def template() -> str:
    """Read where it lies: to import Serve for it would take seconds."""
    ray = find_spec("ray")
    assert ray is not None
    assert ray.origin is not None
    file = Path(ray.origin).with_name("serve") / "_private" / "haproxy_templates.py"
    return str(runpy.run_path(str(file))["HAPROXY_CONFIG_TEMPLATE"])


def started(config: Path, *arguments: str) -> list[str]:
    """What the real program is started with."""
    given = ("-db", "-f", str(config), *arguments)
    environment = os.environ | {tuning.REAL_HAPROXY: shutil.which("echo") or "echo"}
    done = subprocess.run(
        [tuning.HAPROXY, *given], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_until_there_is_an_application_it_says_try_again_and_not_that_there_is_none(
    tmp_path: Path,
) -> None:
    config = tmp_path / "haproxy.cfg"
    before = template()
    config.write_text(before, encoding="utf-8")
    started(config)
    assert before.count(UNKNOWN.format(404)) == 1
    after = before.replace(UNKNOWN.format(404), UNKNOWN.format(503))
    assert config.read_text(encoding="utf-8") == after


def test_it_is_started_as_serve_asks(tmp_path: Path) -> None:
    config = tmp_path / "haproxy.cfg"
    config.touch()
    assert started(config, "-sf", "42") == ["-db", "-f", str(config), "-sf", "42"]


def test_an_environment_that_is_filled_twice_leads_to_the_real_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tuning.one_node(tmp_path, ServerSettings())
    for name, value in first.items():
        monkeypatch.setenv(name, value)
    assert tuning.one_node(tmp_path, ServerSettings()) == first
    assert first[tuning.REAL_HAPROXY] != first["RAY_SERVE_HAPROXY_BINARY_PATH"]


def test_a_node_that_leaves_stays_until_its_kubelet_has_seen_it_red(tmp_path: Path) -> None:
    def drain_s(deadline_s: float) -> str:
        node = tuning.one_node(tmp_path, ServerSettings(ready_deadline_s=deadline_s))
        return node["RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S"]

    assert [drain_s(deadline_s) for deadline_s in (5, 7.5, 15)] == ["15", "18", "25"]
