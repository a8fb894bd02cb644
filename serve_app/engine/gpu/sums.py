"""The residual stream of a step: what attentions and MLPs add to it, and its norms."""

from torch import Tensor

from serve_app.engine.gpu.kernels.gemv import gemv
from serve_app.engine.gpu.kernels.many_rows import partial_products
from serve_app.engine.gpu.kernels.meet import meet_add, meet_add_norm
from serve_app.engine.gpu.kernels.norm import add_norm
from serve_app.engine.gpu.packed import Weight
from serve_app.engine.gpu.products import beats_cublas, product, suits_many_rows, unpacked
from serve_app.engine.ranks import ALONE, Near, Ranks

_SPLITS = 2  # parts of a product with many rows, which the norm adds up


class Sums:
    """Products with weights of which each rank has a part; their sum over the ranks is added."""

    def __init__(
        self, ranks: Ranks, stream: Tensor, epsilon: float, *, decodes_alone: bool = False
    ) -> None:
        """`stream` [T, K] is the same on all ranks, and changed in place.

        `decodes_alone`: whether single tokens are computed on one card, so that the step is
        recorded and it does not matter how long a launch takes.
        """
        self._decodes_alone = decodes_alone
        self._ranks = ranks
        self._stream = stream
        self._epsilon = epsilon
        near = ranks.near
        self._near = near if near is not None and len(stream) <= near.rows else None
        self._turn = 0
        self._delta: Tensor | None = None
        self._post: Tensor | None = None

    def add_one(self, x: Tensor, weight: Tensor) -> Tensor:
        """Add the product of one row at once; return the stream."""
        if self._near is None:
            own = self._stream if self._ranks.leads else None  # so that it is in the sum once
            self._stream = self._ranks.total(gemv(x, weight, stream=own))
        else:
            gemv(x, weight, into=self._next(self._near))
            meet_add(self._near, self._turn, self._stream)
        return self._stream

    def add(self, x: Tensor, weight: Weight, post: Tensor | None) -> None:
        """Add x @ weight.T, with the next norm at the latest; normalised itself by a `post`."""
        self._delta, self._post = None, post
        if self._decodes_alone and suits_many_rows(weight, x, splits=_SPLITS):
            self._delta = partial_products(x, weight, _SPLITS)
        elif self._ranks is ALONE and post is None and not beats_cublas(weight, x):
            # As it is written: nothing is read again for it.
            self._stream.addmm_(x, unpacked(weight, x).t())
        elif self._near is None:
            self._delta = self._ranks.total(product(x, weight))
        else:
            self._delta = product(x, weight, into=self._next(self._near))

    def norm(self, weight: Tensor) -> Tensor:
        """Return the stream's norm [T, K]."""
        stream, delta, near = self._stream, self._delta, self._near
        if near is not None and delta is not None:
            return meet_add_norm(near, self._turn, stream, weight, self._epsilon, self._post)
        return add_norm(stream, delta, weight, self._epsilon, self._post)

    def keep(self, rows: Tensor) -> None:
        """Go on with some rows alone; nothing may be left to be added."""
        self._stream = self._stream.index_select(0, rows)

    def _next(self, near: Near) -> Tensor:
        self._turn = 1 - self._turn
        return near.parts[self._turn].own[: len(self._stream)]
