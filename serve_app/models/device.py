"""What this machine's devices offer a model."""

import torch

from serve_app.models.catalogue import ModelFolder
from serve_app.models.memory import free_on_host
from serve_app.models.plan import ITEM_BYTES, Device, MemoryPlan, Placement


def gpu_names() -> tuple[str, ...]:
    """GPUs that torch can use."""
    return tuple(map(torch.cuda.get_device_name, range(torch.cuda.device_count())))


def plan_memory(folder: ModelFolder, placement: Placement, kv_tokens: int) -> MemoryPlan:
    """Gather what the plan is made of, from headers and counters alone."""
    return MemoryPlan(
        weights_bytes=folder.parameters() * ITEM_BYTES[placement.dtype],
        kv_bytes_per_token=folder.kv_shape().bytes_per_token(placement.dtype),
        kv_tokens=kv_tokens,
        free_bytes=_free_bytes(placement.device),
    )


def _free_bytes(device: Device) -> int:
    return torch.cuda.mem_get_info()[0] if device == "cuda" else free_on_host()
