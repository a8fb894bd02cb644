"""One forward pass over a batch, and the draw of its tokens. Device and dtype are the model's."""

from collections.abc import Sequence
from itertools import accumulate, chain
from typing import Any

import torch
from torch import Tensor

from serve_app.engine.attention import Chunk, PagedBatch, PagedCache, register
from serve_app.engine.sampler import choose
from serve_app.engine.scheduler import Batch, Limits, Row
from serve_app.settings import EngineSettings


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
            [row.start + row.count for row in drawing],
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
        """Lay all rows side by side: T tokens in one line, the last of B rows draw."""
        rows = batch.rows
        ends = list(accumulate(row.count for row in rows))
        tokens = chain.from_iterable(_tokens(row) for row in rows)
        positions = chain.from_iterable(_positions(row) for row in rows)
        slots = chain.from_iterable(self._slots(row) for row in rows)
        lines = self._tensor([list(tokens), list(positions), list(slots)])  # [3, T]
        return {
            "input_ids": lines[0:1],
            "position_ids": lines[1:2],
            "logits_to_keep": self._tensor(
                [end - 1 for row, end in zip(rows, ends, strict=True) if row.draws]
            ),
            "paged": PagedBatch(
                cache=self._cache,
                slots=lines[2],
                table=(table := self._table(batch.decodes)),
                mask=self._mask(batch.decodes, table),
                chunks=tuple(
                    self._chunk(row, end)
                    for row, end in zip(rows, ends, strict=True)
                    if row.count > 1
                ),
            ),
        }

    def _table(self, decodes: Sequence[Row]) -> Tensor:
        """[D, M]: as many pages as the longest needs; the others are padded."""
        pages = [self._pages(row) for row in decodes]
        longest = max(map(len, pages), default=0)
        pad = self._cache.pad_page
        padded = [its + [pad] * (longest - len(its)) for its in pages]
        return self._tensor(padded).view(len(decodes), longest)

    def _mask(self, decodes: Sequence[Row], table: Tensor) -> Tensor:
        """[D, 1, 1, M * P]: a token sees itself and all before it."""
        places = torch.arange(table.shape[1] * self._cache.page_tokens, device=table.device)
        last = self._tensor([row.start for row in decodes])
        return self._hide(places > last[:, None])[:, None, None]

    def _chunk(self, row: Row, end: int) -> Chunk:
        pages = self._tensor(self._pages(row))
        hidden = None
        if row.start:
            ones = torch.ones(row.count, row.start + row.count, device=pages.device)
            hidden = self._hide(ones.triu(row.start + 1).bool())
        return Chunk(end - row.count, end, row.start, pages, hidden)

    def _hide(self, hidden: Tensor) -> Tensor:
        """Turn True into -inf and False into 0."""
        return self._like.new_zeros(hidden.shape).masked_fill_(hidden, float("-inf"))

    def _pages(self, row: Row) -> list[int]:
        """Pages up to the row's last token; later ones may be held already."""
        return row.pages[: (row.start + row.count - 1) // self._cache.page_tokens + 1]

    def _slots(self, row: Row) -> list[int]:
        size = self._cache.page_tokens
        return [row.pages[place // size] * size + place % size for place in _positions(row)]

    def _tensor(self, values: Sequence[Any]) -> Tensor:
        return torch.tensor(values, dtype=torch.long, device=self._like.device)


def _tokens(row: Row) -> list[int]:
    return row.sequence.tokens[row.start : row.start + row.count]


def _positions(row: Row) -> range:
    return range(row.start, row.start + row.count)
