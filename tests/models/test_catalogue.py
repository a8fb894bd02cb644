"""Models are found by the name they give themselves."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from serve_app.errors import BadModel
from serve_app.messages import ModelCard
from serve_app.models import catalogue, manifest
from serve_app.settings import ModelSettings, Settings

Shelf = Callable[..., Path]


def test_a_model_is_found_by_its_name_with_card_and_size(shelf: Shelf) -> None:
    folder = shelf("tiny")

    found = catalogue.find(ModelSettings(name="tiny", folder=folder.parent))

    assert found.card == ModelCard("tiny", manifest.digest(folder), 64, 1_763_700_000)
    assert found.total_bytes == sum(
        path.stat().st_size for path in folder.iterdir() if path.name != manifest.MANIFEST
    )
    assert found.work_shape().bytes_per_token("float32") == 2 * 2 * 1 * 8 * 4


def test_parameters_are_counted_from_the_headers(shelf: Shelf) -> None:
    found = catalogue.find(ModelSettings(name="tiny", folder=shelf("tiny").parent))

    embeddings = 4 * 16 * 2
    attention = 16 * 16 + 16 + 2 * (16 * 8 + 8) + 16 * 16
    assert found.parameters() == embeddings + 2 * (attention + 3 * 16 * 16 + 2 * 16) + 16


def test_an_unknown_name_is_answered_with_the_names_there_are(shelf: Shelf) -> None:
    shelf("one")
    folder = shelf("two").parent

    with pytest.raises(BadModel, match=r"^No model 'three' in .*: there is one, two\. "):
        catalogue.find(ModelSettings(name="three", folder=folder))


def test_a_name_is_never_a_path(shelf: Shelf) -> None:
    folder = shelf("tiny")

    with pytest.raises(BadModel, match="No model"):
        catalogue.find(ModelSettings(name="../shelf/tiny", folder=folder.parent))


def test_an_empty_or_missing_folder_says_that_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="there is none at all"):
        catalogue.find(ModelSettings(name="tiny", folder=tmp_path / "nowhere"))


def test_a_renamed_folder_is_told_apart_from_the_model_it_claims_to_be(shelf: Shelf) -> None:
    folder = shelf("tiny")
    folder.rename(folder.with_name("big"))

    with pytest.raises(BadModel, match="calls itself 'tiny'"):
        catalogue.find(ModelSettings(name="big", folder=folder.parent))


def test_all_models_of_a_folder_are_listed_in_order(shelf: Shelf) -> None:
    shelf("b")
    folder = shelf("a").parent
    (folder / "notes").mkdir()

    assert [path.name for path in catalogue.folders(folder)] == ["a", "b"]


def test_weights_that_are_not_safetensors_inside_are_refused(shelf: Shelf) -> None:
    folder = shelf("tiny")
    (folder / "model.safetensors").write_bytes(b"\xff" * 64)
    found = catalogue.find(ModelSettings(name="tiny", folder=folder.parent))

    with pytest.raises(BadModel, match="not a readable safetensors file"):
        found.parameters()


def test_a_model_without_weights_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    folder = tmp_path / "other" / "empty"
    shutil.copytree(shelf("tiny"), folder)
    (folder / "model.safetensors").unlink()
    manifest.write(folder, "empty", 64, created=0)

    with pytest.raises(BadModel, match="holds no safetensors file"):
        catalogue.find(ModelSettings(name="empty", folder=folder.parent)).parameters()


def test_a_config_that_leaves_the_cache_open_is_refused(shelf: Shelf) -> None:
    folder = shelf("tiny", config='{"model_type": "glm", "head_dim": 8}')

    with pytest.raises(BadModel, match="must give num_hidden_layers, num_key_value_heads"):
        catalogue.find(ModelSettings(name="tiny", folder=folder.parent)).work_shape()


def test_a_model_of_another_digest_than_wanted_is_refused(shelf: Shelf) -> None:
    folder = shelf("tiny")
    true, other = manifest.digest(folder), "0" * 64
    wanted = ModelSettings(name="tiny", folder=folder.parent, digest=true)

    assert catalogue.find(wanted).digest == true
    with pytest.raises(BadModel, match=f"has the digest {true}, and model.digest wants {other}"):
        catalogue.find(wanted.model_copy(update={"digest": other}))


def test_the_digest_is_that_of_one_model_alone() -> None:
    settings = Settings(model=ModelSettings(name="one", digest="1" * 64))

    assert settings.of_model("one").model.digest == "1" * 64
    assert settings.of_model("two").model.digest is None
