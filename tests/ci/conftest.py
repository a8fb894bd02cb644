"""Programs that the steps start, as scripts that write down how they were called."""

import json
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Calls = Callable[[], list[list[str]]]

_SCRIPT = """#!{python}
import json, os, pathlib, sys
config = os.environ.get("DOCKER_CONFIG")
if config:
    pathlib.Path({log!r} + ".auth").write_text(pathlib.Path(config, "config.json").read_text())
with open({log!r}, "a") as log:
    log.write(json.dumps([{name!r}, *sys.argv[1:]]) + "\\n")
for word in sys.argv:
    if word.startswith("--metadata-file="):
        told = json.dumps({{"containerimage.digest": "sha256:" + "a" * 64}})
        pathlib.Path(word.partition("=")[2]).write_text(told)
for words, answer in {answers!r}.items():
    if words in " ".join(sys.argv[1:]):
        print(answer)
        break
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Calls]:
    """`programs(helm={"list": "[]"})`: what each answers to commands that hold those words."""
    folder, log = tmp_path / "bin", tmp_path / "calls"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def make(**answers: dict[str, str]) -> Calls:
        for name, said in answers.items():
            script = folder / name
            text = _SCRIPT.format(python=sys.executable, log=str(log), name=name, answers=said)
            script.write_text(text, encoding="utf-8")
            script.chmod(script.stat().st_mode | stat.S_IXUSR)
        return lambda: [json.loads(line) for line in log.read_text().splitlines()]

    return make
