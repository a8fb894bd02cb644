"""Brings weights from disk into a skeleton, one at a time, straight to their device and format."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from serve_app.errors import BadModel
from serve_app.models.blueprint import Source, refuse_difference
from serve_app.models.precision import Precision
from serve_app.models.skeleton import DTYPES
from serve_app.models.tensors import FLOATS

_READ_ERRORS = (OSError, SafetensorError, ValueError, KeyError, AssertionError)


@dataclass(frozen=True, slots=True)
class _Weight:
    """One parameter of the model; `stats` by name below it, if it is stored quantised."""

    name: str
    source: Source
    stats: Mapping[str, Source]


def fill(
    model: Any, sources: Mapping[str, Source], precision: Precision, device: torch.device
) -> None:
    """Give every parameter its weight; raises BadModel naming what does not fit.

    The largest come first: what is held beside a weight while it is converted is then less than
    what is still to come, so loading needs no more memory than the loaded model.
    """
    folder = next(iter(sources.values())).stored.file.parent
    wanted = _wanted(model)
    weights = [_weight(name, sources) for name in wanted if name in sources]
    beside = {stat.stored.name for weight in weights for stat in weight.stats.values()}
    refuse_difference(folder, set(wanted), set(sources) - beside - _tied(model))
    with ExitStack() as opened:
        filling = _Filling(model, precision, device, opened)
        for weight in sorted(weights, key=lambda weight: -weight.source.bytes):
            filling.place(weight)
    model.model.rotary_emb = type(model.model.rotary_emb)(config=model.config).to(device)
    model.tie_weights()


class _Filling:
    """Reads and converts; holds no weight longer than it takes to place it."""

    def __init__(
        self, model: Any, precision: Precision, device: torch.device, opened: ExitStack
    ) -> None:
        self._model = model
        self._precision = precision
        self._dtype = DTYPES[precision.dtype]
        self._device = device
        self._opened = opened
        self._files: dict[Path, Any] = {}

    def place(self, weight: _Weight) -> None:
        """Put a weight into its module; raises BadModel with its name."""
        module_name, _, last = weight.name.rpartition(".")
        module = self._model.get_submodule(module_name)
        try:
            setattr(module, last, self._parameter(module, getattr(module, last), weight))
        except _READ_ERRORS as error:
            raise BadModel(f"{weight.name} of the model cannot be loaded: {error}") from error

    def _parameter(self, module: Any, empty: Tensor, weight: _Weight) -> nn.Parameter:
        if weight.source.stored.dtype not in FLOATS:
            return self._unpacked(module, weight)
        if weight.source.shape != tuple(empty.shape):
            raise ValueError(f"it is of shape {weight.source.shape}, not {tuple(empty.shape)}")
        values = self._read(weight.source)
        if self._precision.quantises(weight.name):
            from serve_app.models.quantised import PACK  # noqa: PLC0415 -- slow, seldom wanted

            return PACK[self._precision.quantization](module, values.to(self._dtype), self._device)
        return nn.Parameter(values.to(self._device, self._dtype), requires_grad=False)

    def _unpacked(self, module: Any, weight: _Weight) -> nn.Parameter:
        from serve_app.models.quantised import UNPACK  # noqa: PLC0415 -- slow, seldom wanted

        if not self._precision.stored:
            raise ValueError(f"it is stored as {weight.source.stored.dtype}")
        values = self._read(weight.source)
        stats = {name: self._read(source) for name, source in weight.stats.items()}
        return UNPACK[self._precision.quantization](module, values, stats, self._device)

    def _read(self, source: Source) -> Tensor:
        stored = source.stored
        file = self._files.get(stored.file) or self._open(stored.file)
        if not source.rows and not source.columns:
            values: Tensor = file.get_tensor(stored.name)
            return values
        whole = file.get_slice(stored.name)
        columns = (slice(*source.columns),) if source.columns else ()
        rows = [slice(*span) for span in source.rows] or [slice(None)]
        parts = [whole[each, *columns] for each in rows]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _open(self, path: Path) -> Any:
        """On a CPU read into memory of its own: a mapped file would change under a served model."""
        backend = "pread" if self._device.type == "cpu" else "mmap"
        file = safe_open(path, "pt", device="cpu", backend=backend)
        self._files[path] = self._opened.enter_context(file)
        return self._files[path]


def _wanted(model: Any) -> list[str]:
    return [name for name, _ in model.named_parameters() if name not in _tied(model)]


def _tied(model: Any) -> set[str]:
    """The head of a model that reads its embedding backwards needs no weight of its own."""
    return {"lm_head.weight"} if model.config.tie_word_embeddings else set()


def _weight(name: str, sources: Mapping[str, Source]) -> _Weight:
    source = sources[name]
    if source.stored.dtype in FLOATS:
        return _Weight(name, source, {})
    below = f"{name}."  # as 4 bits are stored
    stats = {key.removeprefix(below): its for key, its in sources.items() if key.startswith(below)}
    beside = name.removesuffix("weight")  # as 8 bits are
    for last in ("SCB", "weight_format"):
        if f"{beside}{last}" in sources:
            stats[last] = sources[f"{beside}{last}"]
    return _Weight(name, source, stats)
