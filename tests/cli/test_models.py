"""`glm-serve models` knows what there is and whether it is intact."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from serve_app.models import manifest

Run = Callable[..., Any]


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """Two models of six numbers each."""
    for name in ("one", "two"):
        folder = tmp_path / "shelf" / name
        folder.mkdir(parents=True)
        save_file({"w": np.zeros((2, 3), np.float32)}, folder / "model.safetensors")
        manifest.write(folder, name, context_tokens=64, created=0)
    return tmp_path / "shelf"


def test_the_list_gives_size_context_and_digest(glm_serve: Run, shelf: Path) -> None:
    rows = json.loads(glm_serve("models", "list", "--json", GLM_MODEL__FOLDER=str(shelf)).stdout)

    assert [row["name"] for row in rows] == ["one", "two"]
    assert rows[0] == {
        "name": "one",
        "parameters": 6,
        "bytes": (shelf / "one" / "model.safetensors").stat().st_size,
        "context_tokens": 64,
        "digest": manifest.digest(shelf / "one"),
    }


def test_the_list_is_a_table_for_people(glm_serve: Run, shelf: Path) -> None:
    text = glm_serve("models", "list", GLM_MODEL__FOLDER=str(shelf)).stdout

    assert "64 tokens" in text
    assert manifest.digest(shelf / "two")[:12] in text


def test_intact_models_are_verified_with_their_digests(glm_serve: Run, shelf: Path) -> None:
    done = glm_serve("models", "verify", GLM_MODEL__FOLDER=str(shelf))

    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        f"{name}: intact, {manifest.digest(shelf / name)}" for name in ("one", "two")
    ]


def test_an_altered_model_fails_and_the_others_are_still_looked_at(
    glm_serve: Run, shelf: Path
) -> None:
    (shelf / "one" / "model.safetensors").write_bytes(b"")

    done = glm_serve("models", "verify", GLM_MODEL__FOLDER=str(shelf))

    assert done.returncode == 1
    assert "model.safetensors was altered" in done.stderr
    assert done.stdout.startswith("two: intact")


@pytest.mark.parametrize("command", [("verify",), ("list", "--json")])
def test_a_broken_manifest_does_not_hide_the_other_models(
    glm_serve: Run, shelf: Path, command: tuple[str, ...]
) -> None:
    (shelf / "one" / "manifest.json").write_text("{")

    done = glm_serve("models", *command, GLM_MODEL__FOLDER=str(shelf))

    assert done.returncode == 1
    assert done.stderr.startswith("one: ")
    assert manifest.digest(shelf / "two") in done.stdout


def test_only_the_named_models_are_verified(glm_serve: Run, shelf: Path) -> None:
    (shelf / "one" / "model.safetensors").write_bytes(b"")

    done = glm_serve("models", "verify", "two", GLM_MODEL__FOLDER=str(shelf))

    assert done.returncode == 0


def test_an_unknown_name_is_told_with_the_known_ones(glm_serve: Run, shelf: Path) -> None:
    done = glm_serve("models", "verify", "three", GLM_MODEL__FOLDER=str(shelf))

    assert (done.returncode, done.stderr) == (1, "No model three; there is one, two.\n")


def test_an_empty_folder_is_said_to_be_empty(glm_serve: Run, tmp_path: Path) -> None:
    done = glm_serve("models", "list", GLM_MODEL__FOLDER=str(tmp_path))

    assert done.returncode == 1
    assert done.stderr.startswith(f"There is no model in {tmp_path};")


def test_verify_refuses_a_model_of_another_digest_than_the_settings_pin(
    glm_serve: Run, shelf: Path
) -> None:
    pin = {"GLM_MODEL__NAME": "one", "GLM_MODEL__DIGEST": "0" * 64}

    done = glm_serve("models", "verify", "one", GLM_MODEL__FOLDER=str(shelf), **pin)

    assert done.returncode == 1
    assert f"model.digest wants {'0' * 64}" in done.stderr
