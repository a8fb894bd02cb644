"""Which runner computes: own kernels where model and card allow, else transformers' modules."""

from importlib.util import find_spec
from subprocess import CalledProcessError
from textwrap import shorten
from typing import Any, Protocol

import torch
from torch import Tensor

from serve_app.engine.flight import Runner
from serve_app.engine.model import ModelRunner
from serve_app.engine.nameplate import Nameplate
from serve_app.engine.ranks import ALONE, Ranks
from serve_app.errors import BadSettings
from serve_app.settings import EngineSettings
from serve_app.telemetry import log

_OLDEST = (8, 0)  # compute capability: bfloat16 in tensor cores

# What Triton raises beside its own errors: it finds no C compiler or the driver refuses a kernel,
# the compiler fails or is not where CC says, there is no libcuda, what was made cannot be loaded.
_UNABLE = (RuntimeError, CalledProcessError, OSError, AssertionError, ImportError)
_BROKEN = (torch.OutOfMemoryError, torch.AcceleratorError)  # RuntimeErrors that no runner survives
_LONGEST = 300  # characters of what it says
_OTHERS = "another rank of this replica cannot use them; see its line in the log"


class NamedRunner(Runner, Protocol):
    """One that says what it computes with."""

    @property
    def nameplate(self) -> Nameplate: ...


def runner_for(model: Any, settings: EngineSettings, ranks: Ranks = ALONE) -> NamedRunner:
    """Return the fastest runner for a loaded model, or a rank's share of one, where it lies.

    Raises BadSettings for keys and values in 8 bits on a card that only the modules can use.
    """
    if model.device.type != "cuda":
        if settings.kv_dtype != "auto":
            log().warning("kv_dtype_unused", detail="there is no card")
        return ModelRunner(model, settings, ranks)
    if reason := _common_hindrance(model, ranks):
        if settings.kv_dtype != "auto":  # memory is planned for them
            raise BadSettings(
                f"engine.kv_dtype: {settings.kv_dtype} needs our own kernels, and {reason}."
                " Mend that, or set it to auto."
            )
        log().warning("kernels_unused", detail=reason)
        return ModelRunner(model, settings, ranks)
    from serve_app.engine.gpu.runner import GpuRunner  # noqa: PLC0415 - needs Triton

    return GpuRunner(model, settings, ranks)


def _common_hindrance(model: Any, ranks: Ranks) -> str:
    """Say why not all ranks can use the kernels; those that compute otherwise would never meet."""
    own = _hindrance(model)
    told = model.lm_head.weight.new_full((1, model.config.hidden_size), float(bool(own)))
    return own or (_OTHERS if ranks.total(told)[0, 0] else "")


def _hindrance(model: Any) -> str:
    """Say why the kernels cannot serve a model; empty: they can."""
    if find_spec("triton") is None:
        return "Triton is not installed"
    if torch.cuda.get_device_capability(model.device) < _OLDEST:
        return f"{torch.cuda.get_device_name(model.device)} is older than the kernels need"
    try:
        from serve_app.engine.gpu import runner  # noqa: F401, PLC0415 - of use on a card alone
        from serve_app.engine.gpu.weights import hindrance  # noqa: PLC0415 - likewise
    except ImportError as error:
        return f"this Triton is not one the kernels know: {error}"
    if reason := hindrance(model):
        return f"the kernels do not know this model: {reason}"
    return _failure(model.lm_head.weight.new_ones(1, 2))


def _failure(numbers: Tensor) -> str:
    """Say why Triton can make no kernel for where these lie; empty: it can."""
    from triton.errors import TritonError  # noqa: PLC0415 - of use on a card alone

    from serve_app.engine.gpu.kernels import swiglu  # noqa: PLC0415 - likewise

    try:
        swiglu.swiglu(numbers)
    except _BROKEN:
        raise
    except (*_UNABLE, TritonError) as error:
        cause = shorten(f"{type(error).__name__}: {error}", _LONGEST)
        return f"Triton can make no kernel here{_remedy(error)} ({cause})"
    return ""


def _remedy(error: Exception) -> str:
    if isinstance(error, CalledProcessError | FileNotFoundError) or "C compiler" in str(error):
        return "; it needs gcc and Python's headers"
    if isinstance(error, ImportError):
        return "; what it compiles is loaded from its cache, which must not be mounted noexec"
    return ""
