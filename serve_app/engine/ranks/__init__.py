"""What the ranks that compute a model together tell each other inside a step.

Every layer is dealt out: each rank has some heads and some of the MLP. All compute the same
residual stream, from sums over their parts; logits are wanted on the first rank alone, which draws.
"""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Common:
    """Memory that every rank has, and every other reads and writes."""

    own: Tensor
    addresses: Tensor  # [ranks] int64: where each rank's lies, as seen from here


@dataclass(frozen=True, slots=True)
class Near:
    """What kernels need to sum small parts themselves.

    Two parts take turns: who waits for the one knows that all have read the other.
    """

    rank: int
    ranks: int
    parts: tuple[Common, Common]  # [rows, K]
    flags: Common  # [rows, ranks] int32

    @property
    def rows(self) -> int:
        return len(self.parts[0].own)


class Ranks(Protocol):
    """Every rank makes the same calls with the same shapes in the same order, or all wait for ever.

    What is returned may lie in memory that the next call of that kind uses again.
    """

    @property
    def leads(self) -> bool:
        """Whether this is the first rank."""
        ...

    @property
    def near(self) -> Near | None:
        """What lies so near that kernels can reach it, if anything does."""
        ...

    def share(self, own: Tensor) -> Tensor:
        """Return the first rank's rows [T, K], whatever the others have."""
        ...

    def total(self, part: Tensor) -> Tensor:
        """Return the sum of all ranks' parts [T, K]."""
        ...

    def gather(self, part: Tensor) -> Tensor:
        """On the first rank all columns side by side: [B, V] from [B, V / N]; elsewhere its own."""
        ...


class Alone:
    """The only rank there is."""

    leads = True
    near = None

    def share(self, own: Tensor) -> Tensor:
        return own

    def total(self, part: Tensor) -> Tensor:
        return part

    def gather(self, part: Tensor) -> Tensor:
        return part


ALONE = Alone()
