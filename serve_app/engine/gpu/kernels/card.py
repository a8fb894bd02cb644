"""What kernels know of the card they run on; asked once, as it is on the way of every launch."""

from functools import cache

import torch

HOPPER = 9
FULL = 256  # programs at which the card is full: about two for each multiprocessor of an H200


@cache
def generation(device: torch.device) -> int:
    """Return the major part of the compute capability."""
    return torch.cuda.get_device_capability(device)[0]


@cache
def multiprocessors(device: torch.device) -> int:
    """Return how many programs run at once where each fills a multiprocessor."""
    return torch.cuda.get_device_properties(device).multi_processor_count
