"""What this machine's devices offer a model."""

import gc

import torch

from serve_app.errors import BadSettings
from serve_app.models import blueprint
from serve_app.models.catalogue import ModelFolder
from serve_app.models.memory import free_on_host
from serve_app.models.plan import Device, MemoryPlan, Placement
from serve_app.models.precision import precision
from serve_app.models.shares import Share
from serve_app.models.workspace import RECALLED_TOKENS, WINDOW_LIMITS
from serve_app.settings import EngineSettings, Settings

_8_BITS = (8, 9)  # compute capability from which on Triton stores float8_e4m3fn
_KEPT = 2  # weights unpacked at a time: one in a step, one in its recordings


def gpu_names() -> tuple[str, ...]:
    """GPUs that torch can use."""
    return tuple(map(torch.cuda.get_device_name, range(torch.cuda.device_count())))


def gpu_memory(ranks: int) -> list[tuple[int, int]]:
    """Bytes in use, by whomever, and bytes in all of each rank's GPU; none without one."""
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # the library's omission
        return []
    cards = range(min(ranks, torch.cuda.device_count()))
    return [(total - free, total) for free, total in map(torch.cuda.mem_get_info, cards)]


def refuse_unless_there(ranks: int, placement: Placement) -> None:
    """Raise BadSettings if there are fewer GPUs than ranks."""
    if placement.device == "cuda" and torch.cuda.device_count() < ranks:
        raise BadSettings(
            f"engine.tensor_parallel: expected at most {torch.cuda.device_count()}, "
            "the GPUs that torch can use here."
        )


def refuse_unless_stored(engine: EngineSettings, placement: Placement) -> None:
    """Raise BadSettings if a GPU cannot keep what it computes in 8 bits, as is wanted of it."""
    if engine.kv_dtype != "fp8" or placement.device != "cuda":
        return
    for card in range(min(engine.tensor_parallel, torch.cuda.device_count())):
        capability = torch.cuda.get_device_capability(card)
        if capability < _8_BITS:
            raise BadSettings(
                f"engine.kv_dtype: expected auto, for {torch.cuda.get_device_name(card)} (compute "
                f"capability {_dotted(capability)}) has no 8-bit floats; fp8 needs "
                f"{_dotted(_8_BITS)}, such as L4, H100 or H200."
            )


def _dotted(capability: tuple[int, int]) -> str:
    return ".".join(map(str, capability))


def plan_memory(folder: ModelFolder, placement: Placement, settings: Settings) -> MemoryPlan:
    """Gather what the plan of one rank is made of, from headers and counters alone.

    Raises BadModel, or BadSettings for what the device cannot do.
    """
    refuse_unless_stored(settings.engine, placement)
    built = blueprint.architecture(folder.path)
    held = precision(placement.dtype, settings.model.quantization, built.fields)
    share, engine = Share(ranks=settings.engine.tensor_parallel), settings.engine
    shape = folder.work_shape(share)
    sources = share.sources(blueprint.sources(folder.path, built), built)
    weights = [held.bytes(name, source) for name, source in sources.items()]
    scaled = engine.kv_dtype == "fp8" and placement.device == "cuda"
    plain, in_8_bits = shape.bytes_per_token(placement.dtype), shape.scaled_bytes_per_token
    token_bytes = in_8_bits if scaled else plain
    on_gpu = placement.device == "cuda"
    unpacked = max(held.unpacked_bytes(name, source) for name, source in sources.items())
    under_way = 2 * RECALLED_TOKENS * token_bytes if on_gpu and engine.host_kv_tokens else 0
    return MemoryPlan(
        weights_bytes=sum(weights),
        kv_bytes_per_token=token_bytes,
        kv_tokens=engine.kv_tokens,
        free_bytes=_free_bytes(placement.device, share.ranks),
        work_bytes=shape.work_bytes(engine, placement) + under_way + _KEPT * unpacked,
        window_limit=WINDOW_LIMITS[placement.device],
        largest_bytes=max(weights),
        ranks=share.ranks,
        host_tokens=engine.host_kv_tokens,
        host_free_bytes=free_on_host() // share.ranks if on_gpu else None,
    )


def reclaim() -> None:
    """Give back what an unloaded model held.

    Ray Serve has frozen what a replica held after its start: the collector passes over it.
    """
    was_frozen = gc.get_freeze_count()
    gc.unfreeze()
    gc.collect()
    if was_frozen:
        gc.freeze()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _free_bytes(device: Device, ranks: int) -> int:
    """For each rank: its GPU, or its part of the host."""
    if device == "cuda":
        there = min(ranks, torch.cuda.device_count())
        return min(torch.cuda.mem_get_info(card)[0] for card in range(there))
    return free_on_host() // ranks
