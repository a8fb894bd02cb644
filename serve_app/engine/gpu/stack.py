"""The forward pass of a GLM on one card: from tokens to logits, layer after layer."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from serve_app.engine.gpu.backends import BackEnd
from serve_app.engine.gpu.far import Chunk, look_far
from serve_app.engine.gpu.kernels import few_rows
from serve_app.engine.gpu.kernels.chunks import Chunks, look_with_chunks
from serve_app.engine.gpu.kernels.decode import decode
from serve_app.engine.gpu.kernels.deferred_norm import defer_norm
from serve_app.engine.gpu.kernels.entry import embed
from serve_app.engine.gpu.kernels.gemv import gemv
from serve_app.engine.gpu.kernels.norm import Norm
from serve_app.engine.gpu.kernels.rotary import rotate_and_store
from serve_app.engine.gpu.products import decode_product, product
from serve_app.engine.gpu.step import Kept, Lines
from serve_app.engine.gpu.sums import Sums
from serve_app.engine.gpu.weights import Layer, Weights, can_fuse
from serve_app.engine.ranks import ALONE, Ranks


@dataclass(frozen=True, slots=True)
class Step:
    """T tokens: first single ones, then chunks of prompts."""

    tokens: Tensor  # [T] int32
    lines: Lines
    singles: int
    chunks: Chunks | None = None
    far: tuple[Chunk, ...] = ()  # chunks that are not among those
    drawing: Tensor | None = None  # [B] int64: tokens whose logits are wanted; None: all
    checks: bool = False  # whether single tokens may be of one sequence

    @property
    def is_decode(self) -> bool:
        """Whether every token is a single one."""
        return self.singles == len(self.tokens)


class Stack:
    """Owns nothing: weights, pages and last tokens are lent to it."""

    def __init__(
        self,
        weights: Weights,
        kept: Sequence[Kept],
        last: Tensor,
        ranks: Ranks,
        by: BackEnd,
    ) -> None:
        """`kept` by each layer; `last` [S]: each seat's last token; `by` looks with far chunks."""
        self._ranks = ranks
        self._by = by
        self._weights = weights
        self._kept = kept
        self._last = last

    @property
    def words(self) -> int:
        return len(self._weights.head)

    def logits(self, step: Step) -> Tensor:
        """Compute a step; return the logits [B, V] of the tokens that draw."""
        own = embed(step.tokens, step.lines, self._last, self._weights.embedding)
        stream = self._ranks.share(own)  # only the first rank knows every seat's last token
        return self._ranks.gather(self._own_logits(step, stream))

    def _own_logits(self, step: Step, stream: Tensor) -> Tensor:
        layers = self._weights.layers
        if step.is_decode and can_fuse(layers):
            if len(stream) == 1:
                return self._one_row(step, stream, layers)
            if self._ranks is ALONE and few_rows.suits(stream, self._weights.head):
                return self._few_rows(step, stream, layers)
        return self._any_rows(step, stream)

    def _one_row(self, step: Step, stream: Tensor, layers: Sequence[Layer[Tensor]]) -> Tensor:
        """One row: norms, gate and residual stream ride along with the products."""
        weights = self._weights
        sums = Sums(self._ranks, stream, weights.epsilon)
        for layer, kept in zip(layers, self._kept, strict=True):
            norm = Norm(layer.attention_norm, weights.epsilon)
            qkv = gemv(stream, layer.qkv, norm=norm, bias=layer.qkv_bias)
            stream = sums.add_one(self._look(step, qkv, kept), layer.out)
            norm = Norm(layer.mlp_norm, weights.epsilon)
            gated = gemv(stream, layer.gate_up, norm=norm, gated=True)
            stream = sums.add_one(gated, layer.down)
        norm = Norm(weights.norm, weights.epsilon)
        return _drawn(step, gemv(stream, weights.head, norm=norm))

    def _few_rows(self, step: Step, stream: Tensor, layers: Sequence[Layer[Tensor]]) -> Tensor:
        """A few rows: likewise, and who writes the stream prepares its next norm."""
        weights = self._weights
        norms = [Norm(layer.attention_norm, weights.epsilon) for layer in layers]
        norms.append(Norm(weights.norm, weights.epsilon))
        x = defer_norm(stream, norms[0])
        for layer, kept, norm in zip(layers, self._kept, norms[1:], strict=True):
            qkv = few_rows.multiply(x, layer.qkv, bias=layer.qkv_bias)
            mlp_norm = Norm(layer.mlp_norm, weights.epsilon)
            seen = self._look(step, qkv, kept)
            x = few_rows.add(seen, layer.out, stream, mlp_norm)
            gated = few_rows.multiply(x, layer.gate_up, gated=True)
            x = few_rows.add(gated, layer.down, stream, norm)
        return _drawn(step, few_rows.multiply(x, weights.head))

    def _any_rows(self, step: Step, stream: Tensor) -> Tensor:
        """Any number of rows: products by cuBLAS where there are many."""
        weights, drawing = self._weights, step.drawing
        decodes_alone = self._ranks is ALONE and step.is_decode
        multiply = decode_product if decodes_alone else product
        sums = Sums(self._ranks, stream, weights.epsilon, decodes_alone=decodes_alone)
        for layer, kept in zip(weights.layers, self._kept, strict=True):
            qkv = multiply(sums.norm(layer.attention_norm), layer.qkv, bias=layer.qkv_bias)
            is_last = layer is weights.layers[-1]
            if is_last and drawing is not None and not len(drawing):
                rotate_and_store(qkv, step.lines, weights.heads, kept)
                return qkv.new_empty(0, self.words)
            seen = self._look(step, qkv, kept)
            if is_last and drawing is not None:
                sums.keep(drawing)
                seen = seen.index_select(0, drawing)
            sums.add(seen, layer.out, layer.after_attention)
            gated = multiply(sums.norm(layer.mlp_norm), layer.gate_up, gated=True)
            sums.add(gated, layer.down, layer.after_mlp)
        return product(sums.norm(weights.norm), weights.head)

    def _look(self, step: Step, qkv: Tensor, kept: Kept) -> Tensor:
        heads, singles = self._weights.heads, step.singles
        seen = qkv.new_empty(len(qkv), heads.queries * heads.width)
        if singles:
            alone, lines = qkv[:singles], step.lines[:singles]
            if step.checks:
                rotate_and_store(alone, lines, heads, kept)
            decode(alone, lines, heads, kept, seen[:singles], stored=step.checks)
        if singles < len(qkv):
            query = rotate_and_store(qkv[singles:], step.lines[singles:], heads, kept)
            self._look_with(query, step, kept, seen[singles:])
        return seen

    def _look_with(self, query: Tensor, step: Step, kept: Kept, seen: Tensor) -> None:
        heads = self._weights.heads
        if step.chunks is not None:
            look_with_chunks(query, step.chunks, heads, kept, seen)
        for chunk in step.far:
            look_far(query, chunk, step.lines.table, heads, kept, out=seen, by=self._by)


def _drawn(step: Step, logits: Tensor) -> Tensor:
    return logits if step.drawing is None else logits.index_select(0, step.drawing)
