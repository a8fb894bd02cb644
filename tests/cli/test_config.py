"""`glm-serve config` shows what holds and why."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[..., Any]


def test_every_setting_is_shown_with_where_it_came_from(glm_serve: Run, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("log:\n  level: debug\n")

    lines = glm_serve("config", GLM_SERVER__PORT="9000").stdout.splitlines()

    def row(path: str) -> list[str]:
        return next(
            [cell.strip() for cell in line.split("│")[1:-1]] for line in lines if path in line
        )

    assert row("server.port") == ["server.port", "9000", "the environment, GLM_SERVER__PORT"]
    assert row("log.level") == ["log.level", "debug", "config.yaml, line 2"]
    assert row("model.folder") == ["model.folder", "null", "default"]


def test_json_holds_the_same_for_programs(glm_serve: Run, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("safety: {word_lists: [a.txt]}")

    shown = json.loads(glm_serve("config", "--json", "--config", str(other)).stdout)

    assert shown["safety.word_lists"] == {"value": ["a.txt"], "from": "other.yaml, line 1"}
    assert shown["server.port"] == {"value": 8000, "from": "default"}


def test_a_file_that_was_asked_for_must_be_there(glm_serve: Run) -> None:
    done = glm_serve("config", "--config", "nowhere.yaml")

    assert done.returncode == 1
    assert done.stderr == "nowhere.yaml: cannot be read: No such file or directory.\n"
