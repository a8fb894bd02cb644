"""What models and engines say about themselves."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What is served: `digest` is the SHA-256 of the manifest, `created` Unix seconds."""

    name: str
    digest: str
    context_tokens: int
    created: int


@dataclass(frozen=True, slots=True)
class Serving:
    """What a server serves; it answers to the names of its `former` models too."""

    card: ModelCard
    former: tuple[str, ...] = ()

    def switched(self, card: ModelCard) -> "Serving":
        """What is served after a switch to that model."""
        names = dict.fromkeys((*self.former, self.card.name))
        names.pop(card.name, None)
        return Serving(card, tuple(names))

    @staticmethod
    def of(config: Mapping[str, Any]) -> "Serving":
        """From what `asdict` made of it, also by way of JSON."""
        return Serving(ModelCard(**config["card"]), tuple(config["former"]))


@dataclass(frozen=True, slots=True)
class LaneStats:
    """The requests of one class of tenants in one lane of an engine."""

    lane: str
    tenant_class: str  # tenants of one weight
    running: int
    waiting: int


@dataclass(frozen=True, slots=True)
class EngineStats:
    """What one engine knows about itself; tokens, preemptions, steps: totals since its start."""

    running: int = 0
    waiting: int = 0
    free_pages: int = 0  # of the KV cache; cached ones count, for they may be evicted
    total_pages: int = 0
    prefix_cache_queried_tokens: int = 0
    prefix_cache_hit_tokens: int = 0
    host_queried_tokens: int = 0  # of prompts, looked up in the host's memory
    host_hit_tokens: int = 0  # found there, to be brought back
    host_stored_tokens: int = 0  # put there
    host_used_pages: int = 0
    host_pages: int = 0  # there is room for
    prompt_tokens: int = 0
    generation_tokens: int = 0
    preemptions: int = 0
    steps: int = 0  # forward passes
    step_tokens: int = 0  # computed in them
    steps_by_size: tuple[tuple[int, int], ...] = ()  # n, and steps of up to 2**n tokens, no fewer
    lanes: tuple[LaneStats, ...] = ()
    waiting_tokens: int = 0  # of prompts, to be computed yet
    expired: int = 0  # not begun by their deadline, in all
    kernels_unused: bool = False  # on a GPU, which is slower for it

    @property
    def kv_usage(self) -> float:
        """Share of pages held by running sequences, 0 to 1."""
        return 1.0 - self.free_pages / self.total_pages if self.total_pages else 0.0

    @property
    def host_usage(self) -> float:
        """Share of the host's pages that hold something, 0 to 1."""
        return self.host_used_pages / self.host_pages if self.host_pages else 0.0
