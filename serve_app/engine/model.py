"""One forward pass over a batch, and the draw of its tokens. Device and dtype are the model's."""

from collections.abc import Iterator, Sequence
from itertools import accumulate, groupby
from typing import Any

import torch
from torch import Tensor

from serve_app.engine.attention import Chunk, Group, PagedBatch, PagedCache, Past, register
from serve_app.engine.sampler import choose
from serve_app.engine.scheduler import Batch, Limits, Row
from serve_app.settings import EngineSettings

SHORT = 256  # tokens up to which padding is cheaper than one more look


class ModelRunner:
    """Owns the KV cache and drives an unmodified GlmForCausalLM or Glm4ForCausalLM."""

    def __init__(self, model: Any, settings: EngineSettings) -> None:
        torch.set_num_threads(settings.threads)
        limits = Limits.of(settings)
        config = model.config
        shape = (limits.pages, limits.page_tokens, config.num_key_value_heads, config.head_dim)
        like = torch.empty(0, dtype=model.dtype, device=model.device)
        self._model = model.eval()
        self._model.set_attn_implementation(register())
        store_by_column(model)
        self._cache = PagedCache(config.num_hidden_layers, shape, like)
        self._packer = Packer(self._cache, like)

    @torch.inference_mode()
    def run(self, batch: Batch) -> list[int | None]:
        """Return a token for each row of `batch.drawing`; None: its logits were not numbers."""
        drawing = batch.drawing
        logits = self._model(**self._packer.inputs(batch), use_cache=False).logits[0]  # [B, V]
        tokens = choose(
            logits,
            [row.sequence.choice for row in drawing],
            [_length(row) for row in drawing],
        )
        for row, token in zip(drawing, tokens, strict=True):
            if token is None:
                self._cache.heal(row.pages)
        return tokens


class Packer:
    """Builds every tensor of a batch, in one place."""

    def __init__(self, cache: PagedCache, like: Tensor) -> None:
        self._cache = cache
        self._like = like

    def inputs(self, batch: Batch) -> dict[str, Any]:
        """Lay all rows side by side: T tokens in one line, of which B draw."""
        rows = [*sorted(batch.decodes, key=_length), *batch.chunks]
        ends = list(accumulate(row.count for row in rows))
        tokens = [token for row in rows for token in _tokens(row)]
        places = [place for row in rows for place in _places(row)]
        slots = [slot for row in rows for slot in self._slots(row)]
        lines = self._tensor([tokens, places, slots])  # [3, T]
        last = {row.sequence: end - 1 for row, end in zip(rows, ends, strict=True)}
        return {
            "input_ids": lines[0:1],
            "position_ids": lines[1:2],
            "logits_to_keep": self._tensor([last[row.sequence] for row in batch.drawing]),
            "paged": PagedBatch(
                cache=self._cache,
                slots=lines[2],
                groups=tuple(self._groups(rows[: len(batch.decodes)])),
                chunks=tuple(map(self._chunk, batch.chunks, ends[len(batch.decodes) :])),
            ),
        }

    def _groups(self, singles: Sequence[Row]) -> Iterator[Group]:
        """Cut rows, shortest first, where their length doubles, so that padding stays cheap."""
        begin = 0
        for _, its in groupby(singles, key=lambda row: (_length(row) // SHORT).bit_length()):
            rows = list(its)
            yield self._group(rows, begin)
            begin += len(rows)

    def _group(self, rows: Sequence[Row], begin: int) -> Group:
        size = self._cache.page_tokens
        longest = -(-_length(rows[-1]) // size)
        pad = [self._cache.pad_page] * longest
        pages = self._tensor([page for row in rows for page in (self._pages(row) + pad)[:longest]])
        places = torch.arange(longest * size, device=self._like.device)
        hidden = places >= self._tensor([_length(row) for row in rows])[:, None]
        return Group(begin, begin + len(rows), pages, self._hide(hidden)[:, None, None])

    def _chunk(self, row: Row, end: int) -> Chunk:
        begin = end - row.count
        if not row.start:
            return Chunk(begin, end, None)
        square = torch.ones(row.count, _length(row), device=self._like.device)
        mask = self._hide(square.triu(row.start + 1).bool())
        return Chunk(begin, end, Past(self._tensor(self._pages(row)), mask))

    def _hide(self, hidden: Tensor) -> Tensor:
        """Turn True into -inf and False into 0."""
        return self._like.new_zeros(hidden.shape).masked_fill_(hidden, float("-inf"))

    def _pages(self, row: Row) -> list[int]:
        """Pages up to the row's last token; later ones may be held already."""
        return row.pages[: -(-_length(row) // self._cache.page_tokens)]

    def _slots(self, row: Row) -> list[int]:
        size = self._cache.page_tokens
        return [row.pages[place // size] * size + place % size for place in _places(row)]

    def _tensor(self, values: Sequence[Any]) -> Tensor:
        return torch.tensor(values, dtype=torch.long, device=self._like.device)


@torch.no_grad()
def store_by_column(model: Any) -> None:
    """Lay weights out anew on a CPU: same values, and products with few rows cost a third less.

    A weight that is also the embedding stays: it is read by row.
    """
    embedding = model.get_input_embeddings().weight
    linears = (module for module in model.modules() if isinstance(module, torch.nn.Linear))
    for weight in (linear.weight for linear in linears):
        plain = weight.device.type == "cpu" and weight.dtype == torch.float32
        if plain and weight is not embedding:
            weight.data = weight.t().contiguous().t()


def _length(row: Row) -> int:
    """Tokens the row's last one may see, itself included."""
    return row.start + row.count


def _tokens(row: Row) -> list[int]:
    return row.sequence.tokens[row.start : _length(row)]


def _places(row: Row) -> range:
    return range(row.start, _length(row))
