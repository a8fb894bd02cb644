"""Batches of equal cost: dialogues of like length side by side, about the same tokens in each."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch

from serve_app.models.nano.encoding import Encoded

LENGTHS = (48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192)


@dataclass(frozen=True, slots=True)
class Batch:
    """`ids` is [rows, length]; the target of flat position `at[i]` is the token `targets[i]`."""

    ids: torch.Tensor
    at: torch.Tensor
    targets: torch.Tensor

    def to(self, device: torch.device) -> "Batch":
        moved = (each.to(device, non_blocking=True) for each in (self.ids, self.at, self.targets))
        return Batch(*moved)


def batches(stream: Iterable[Encoded], tokens: int, longest: int) -> Iterator[Batch]:
    """Fill one bucket a length and hand out whichever is full; longer dialogues are dropped."""
    lengths = [length for length in LENGTHS if length < longest] + [longest]
    buckets: dict[int, list[Encoded]] = {length: [] for length in lengths}
    for encoded in stream:
        if len(encoded.ids) > longest:
            continue
        length = lengths[bisect_left(lengths, len(encoded.ids))]
        buckets[length].append(encoded)
        if len(buckets[length]) >= max(1, tokens // length):
            yield collate(buckets[length], length)
            buckets[length] = []


def collate(rows: list[Encoded], length: int) -> Batch:
    """Pad on the right: causal attention keeps padding out of sight of what stands before."""
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    said = torch.zeros(len(rows), length, dtype=torch.bool)
    for index, row in enumerate(rows):
        ids[index, : len(row.ids)] = torch.tensor(row.ids)
        said[index, : len(row.ids)] = torch.tensor(row.said)
    targets = said.flatten().nonzero().squeeze(1)
    return Batch(ids, targets - 1, ids.flatten()[targets])
