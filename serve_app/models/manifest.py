"""The manifest: every file of a model with size and SHA-256, so that a model is the bytes it names.

```json
{"context_tokens": 8192, "created": 1763700000, "format": 1, "name": "glm-nano",
 "files": {"model.safetensors": {"bytes": 5421328, "sha256": "9f86..."}}}
```

It lists every file of the folder but itself.  The digest of a model is the SHA-256 of
manifest.json's bytes, so it covers all of them.  Listed names are compared with the folder's
and never opened as paths: a name such as `../x` is merely missing.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from serve_app.errors import BadModel

MANIFEST = "manifest.json"
FORMAT: Literal[1] = 1

# Formats that can run code when they are read, and code itself.
REFUSED_SUFFIXES = frozenset({".bin", ".ckpt", ".gguf", ".pickle", ".pkl", ".pt", ".pth", ".py"})

_READ_AGAIN = "Fetch or build the model again; do not serve it as it is."

Natural = Annotated[int, Field(ge=0)]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class FileEntry(_Entry):
    """One file: `sha256` in lower-case hex."""

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    bytes: Natural


class Manifest(_Entry):
    """What a model folder holds; `created` is Unix seconds, `files` by relative POSIX path."""

    name: Annotated[str, Field(min_length=1)]
    format: Literal[1] = FORMAT
    created: Natural
    context_tokens: Annotated[int, Field(ge=1)]
    files: Mapping[str, FileEntry]


def write(folder: Path, name: str, context_tokens: int, created: int) -> Manifest:
    """Describe the folder as it is.

    Raises BadModel if it holds a file that must not be served.
    """
    names = list(_names(folder))
    _raise_if_any(folder, _refusals(folder, names))
    manifest = Manifest(
        name=name,
        created=created,
        context_tokens=context_tokens,
        files=_measure(folder, [n for n in names if n != MANIFEST]),
    )
    text = json.dumps(manifest.model_dump(), sort_keys=True, indent=2, ensure_ascii=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8", newline="\n")
    return manifest


def read(folder: Path) -> Manifest:
    """Read the manifest without looking at the files it lists."""
    return _parse(folder, _manifest_bytes(folder))


def digest(folder: Path) -> str:
    """SHA-256 of the manifest's bytes, in hex."""
    return hashlib.sha256(_manifest_bytes(folder)).hexdigest()


def verify(folder: Path) -> Manifest:
    """Compare every byte with the manifest; raise BadModel naming each file at fault."""
    manifest = read(folder)
    names = list(_names(folder))
    _raise_if_any(folder, _refusals(folder, names))
    _raise_if_any(folder, _differences(manifest, folder, names))
    return manifest


def _manifest_bytes(folder: Path) -> bytes:
    try:
        return (folder / MANIFEST).read_bytes()
    except OSError as error:
        raise BadModel(f"{folder} has no readable {MANIFEST}. {_READ_AGAIN}") from error


def _parse(folder: Path, data: bytes) -> Manifest:
    try:
        return Manifest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise BadModel(
            f"{folder / MANIFEST} is not a manifest: {where}: {first['msg']}. {_READ_AGAIN}"
        ) from error


def _names(folder: Path) -> Iterator[str]:
    """Everything in the folder but real sub-folders, as relative POSIX paths in order."""
    for parent, folders, files in os.walk(folder):
        folders.sort()
        links = [name for name in folders if Path(parent, name).is_symlink()]
        for name in sorted(files + links):
            yield Path(parent, name).relative_to(folder).as_posix()


def _refusals(folder: Path, names: list[str]) -> list[str]:
    reasons = ((name, _refusal(folder, name)) for name in names)
    return [f"{name} {reason}" for name, reason in reasons if reason]


def _refusal(folder: Path, name: str) -> str | None:
    path = folder / name
    if path.suffix.lower() in REFUSED_SUFFIXES:
        return "may run code when read; only safetensors are served"
    if not path.is_file():  # first, because resolving a loop of links fails
        return "is not a plain file"
    if not path.resolve().is_relative_to(folder.resolve()):
        return "is a link that leaves the folder"
    return None


def _measure(folder: Path, names: list[str]) -> dict[str, FileEntry]:
    with ThreadPoolExecutor() as pool:  # hashing frees the interpreter's lock
        return dict(zip(names, pool.map(lambda name: _entry(folder / name), names), strict=True))


def _entry(path: Path) -> FileEntry:
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            return FileEntry(sha256=sha256, bytes=file.tell())
    except OSError as error:
        raise BadModel(f"{path} cannot be read: {error.strerror}.") from error


def _differences(manifest: Manifest, folder: Path, names: list[str]) -> list[str]:
    present = [name for name in names if name != MANIFEST]
    found = _measure(folder, [name for name in present if name in manifest.files])
    return [
        *(f"{name} is missing" for name in sorted(manifest.files.keys() - found.keys())),
        *(f"{name} is not listed" for name in present if name not in manifest.files),
        *(f"{name} was altered" for name in found if found[name] != manifest.files[name]),
    ]


def _raise_if_any(folder: Path, faults: list[str]) -> None:
    if faults:
        raise BadModel(f"The model in {folder} is not intact: {'; '.join(faults)}. {_READ_AGAIN}")
