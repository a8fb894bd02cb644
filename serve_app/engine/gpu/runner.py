"""Steps on one CUDA card: begun one after the other, read when their tokens are wanted.

A step's tokens stay on the card, where the next step finds them; so the next may begin before the
host has seen them, and the card never waits for Python.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from serve_app.engine.batch import Batch, Row
from serve_app.engine.draws import Chances, Draws
from serve_app.engine.flight import checked
from serve_app.engine.gpu.backends import WRITTEN_OUT, back_end
from serve_app.engine.gpu.cache import Cache, dtype_of
from serve_app.engine.gpu.drawing import Drawer
from serve_app.engine.gpu.ferry import Ferry, Letter, Numbers
from serve_app.engine.gpu.graphs import Graphs, ladder
from serve_app.engine.gpu.kernels.chunks import ROWS, Chunks
from serve_app.engine.gpu.kernels.packed_rows import MOST_ROWS as PACKED_ROWS
from serve_app.engine.gpu.layout import Layout, drafted, lay_out, singles
from serve_app.engine.gpu.looks import LEAST
from serve_app.engine.gpu.offload import SideOffload, beside
from serve_app.engine.gpu.seats import Change, Seats
from serve_app.engine.gpu.stack import Stack, Step
from serve_app.engine.gpu.step import Lines
from serve_app.engine.gpu.weights import prepare
from serve_app.engine.limits import Limits
from serve_app.engine.nameplate import OWN_KERNELS, Nameplate, name_of
from serve_app.engine.offload import Offload
from serve_app.engine.ranks import ALONE, Ranks
from serve_app.engine.sampling.chances import prompt_chances
from serve_app.engine.sequence import Sequence as Tokens
from serve_app.settings import EngineSettings

_CHECKS = (4, 8, 16, 32, 64)  # tokens of recorded steps that check drafts
_WARMED = (2, 17, 33, PACKED_ROWS + 1)  # tokens of chunks: each takes other kernels
_ALIGNED = 16  # entries: a page table whose rows begin at whole cache lines


@dataclass(frozen=True, slots=True)
class Flight:
    """A step under way."""

    letter: Letter
    chances: Mapping[int, Chances]
    prompt_chances: Mapping[Tokens, list[Chances]]
    landed: bool = False  # the host drew some of its tokens, and needs them to draw the next
    drafted: Sequence[Row] = ()  # rows that draw, if any of them had a draft

    @property
    def is_over(self) -> bool:
        return self.letter.is_here

    def draws(self) -> Draws:
        """Wait for the step's tokens."""
        tokens = [None if token < 0 else token for token in self.letter.read()]
        if self.drafted:
            return checked(self.drafted, tokens)
        return Draws(tokens, self.chances, self.prompt_chances)


class GpuRunner:
    """Owns the KV cache, the page table and the recordings; one thread may use it."""

    @torch.inference_mode()
    def __init__(self, model: Any, settings: EngineSettings, ranks: Ranks = ALONE) -> None:
        """Take a model in which `weights.hindrance` finds nothing; compile and record: seconds."""
        limits, weights = Limits.of(settings), prepare(model)
        device, heads = model.device, weights.heads
        places = min(limits.pages * limits.page_tokens, model.config.max_position_embeddings)
        like = torch.empty(0, dtype=dtype_of(settings.kv_dtype, model.dtype), device=device)
        self._cache = Cache(len(weights.layers), limits, heads, like)
        self._offload = _offload(self._cache, limits, device)
        seats = 2 * limits.max_running  # so that nobody leaves while his token is only on the card
        width = -(-limits.pages_for(places) // _ALIGNED) * _ALIGNED
        self._table = torch.full((seats + 1, width), limits.pages, dtype=torch.int32, device=device)
        self._last = torch.zeros(seats + 1, dtype=torch.int32, device=device)
        nobody = self._last[:0]
        self._lines = Lines(nobody, nobody, self._table, weights.turns(places))
        self._heads = heads.queries
        self._by = back_end(device, model.dtype, heads)
        layers = self._cache.layers
        self._stack = Stack(weights, layers, self._last, ranks, self._by or WRITTEN_OUT)
        self._draws = ranks.leads
        self._seats = Seats(seats)
        self._ferry = Ferry(device)
        self._drawer = Drawer(self._last)
        self._graphs: Graphs | None = None
        self._checks: Graphs | None = None
        if device.type == "cuda":
            self._record(limits)
            self._warm()

    def _record(self, limits: Limits) -> None:
        parts = self._stack, self._lines, self._last
        self._graphs = Graphs(*parts, ladder(limits.max_running))
        if limits.draft_tokens:
            self._checks = Graphs(*parts, _CHECKS, checks=True)

    @property
    def nameplate(self) -> Nameplate:
        return {
            "runner": OWN_KERNELS,
            "kv_dtype": name_of(self._cache.dtype),
            "long_chunks": self._by.name if self._by else "own kernel",
            "recordings": len(self._graphs or ()) + len(self._checks or ()),
        }

    def run(self, batch: Batch) -> Draws:
        """Compute a step and wait for it."""
        return self.begin(batch).draws()

    @torch.inference_mode()
    def begin(self, batch: Batch) -> Flight:
        """Queue a step behind those already begun.

        A row may start at the token that the step begun last draws for its sequence, even if
        `sequence.tokens` does not hold it yet.
        """
        seats, changes = self._seats.seat(batch.rows)
        try:
            self._write(changes)
        except BaseException:
            self._seats = Seats(len(self._table) - 1)  # nobody's pages are known to be on the card
            raise
        self._offload.move(batch.moves)
        self._copy(batch.copies)
        if not batch.rows:
            return Flight(Letter(self._last[:0]), {}, {})
        if batch.is_drafted:
            return self._check(batch, seats)
        if self._graphs is not None and not batch.chunks and len(seats) <= self._graphs.most:
            return self._replay(self._graphs, batch, seats)
        return self._compute(batch, seats)

    def _check(self, batch: Batch, seats: Sequence[int]) -> Flight:
        """Let every row draw behind each token of its draft too."""
        numbers, owners = drafted(batch.decodes, seats)
        if self._checks is None:
            logits, likeliest = self._plain(numbers), None
        else:
            logits, likeliest = self._checks.run(numbers)
        lines = [line for line, place in enumerate(owners) if batch.decodes[place].draws]
        if len(lines) < len(owners):
            index = self._ferry.send(np.array(lines, np.int64))
            logits, likeliest = logits[index], None
        rows = [batch.decodes[owners[line]] for line in lines]
        flight = self._draw(rows, [seats[owners[line]] for line in lines], logits, likeliest)
        return replace(flight, drafted=batch.drawing)

    def _plain(self, numbers: Numbers) -> Tensor:
        tokens, places, seated = self._ferry.send(numbers)
        lines = replace(self._lines, seats=seated, places=places)
        return self._stack.logits(Step(tokens, lines, len(tokens), checks=True))

    def _replay(self, graphs: Graphs, batch: Batch, seats: Sequence[int]) -> Flight:
        logits, likeliest = graphs.run(singles(batch.decodes, seats))
        places = [place for place, row in enumerate(batch.decodes) if row.draws]
        if len(places) < len(seats):  # the last token of a prompt's share of this step
            index = self._ferry.send(np.array(places, np.int64))
            logits, likeliest = logits[index], likeliest[index]
        own = [seats[place] for place in places]
        return self._draw(batch.drawing, own, logits, likeliest)

    def _compute(self, batch: Batch, seats: Sequence[int]) -> Flight:
        layout = lay_out(batch, seats, ROWS, self._heads, self._by)
        tokens, places, seated = self._ferry.send(layout.lines)
        step = Step(
            tokens=tokens,
            lines=replace(self._lines, seats=seated, places=places),
            singles=len(batch.decodes),
            chunks=self._chunks(layout),
            far=layout.far,
            drawing=self._ferry.send(layout.drawing),
        )
        logits, drawing = self._stack.logits(step), batch.drawing
        flight = self._draw(drawing, layout.drawing_seats, logits[: len(drawing)], None)
        if len(logits) == len(drawing) or not self._draws:
            return flight
        asked = prompt_chances(logits[len(drawing) :], batch.rows)
        return replace(flight, prompt_chances=asked)

    def _chunks(self, layout: Layout) -> Chunks | None:
        near = layout.near
        if not len(near.looks):
            return None
        return Chunks(
            chunks=self._ferry.send(layout.chunks),
            looks=self._ferry.send(near.looks),
            merges=self._ferry.send(near.merges),
            parts=near.parts,
            table=self._table,
        )

    def _draw(
        self, rows: Sequence[Row], seats: Any, logits: Tensor, likeliest: Tensor | None
    ) -> Flight:
        if not rows or not self._draws:
            return Flight(Letter(self._last[:0]), {}, {})
        sent = self._ferry.send(np.asarray(seats, np.int32))
        drawn = self._drawer.draw(logits, rows, sent, likeliest)
        return Flight(Letter(drawn.tokens), drawn.chances, {}, drawn.by_host)

    def _write(self, changes: Sequence[Change]) -> None:
        """Bring new pages into the page table, all at once."""
        if not changes:
            return
        width = self._table.shape[1]
        places = [change.seat * width + change.begin for change in changes]
        counts = [len(change.pages) for change in changes]
        index = np.repeat(places, counts) + np.concatenate([np.arange(n) for n in counts])
        pages = np.concatenate([np.array(change.pages, np.int64) for change in changes])
        index, pages = self._ferry.send(np.stack([index, pages]))
        self._table.view(-1)[index] = pages.int()

    def _copy(self, copies: Sequence[tuple[int, int]]) -> None:
        """Give forks their own copies of pages they will write to."""
        if copies:
            self._cache.copy(*self._ferry.send(np.array(copies, np.int64).T))

    def _warm(self) -> None:
        """Compile what a step with chunks needs: on the trash page, so that nothing is spoiled."""
        places = len(self._lines.turns.cos)
        behind = max(0, min(2 * LEAST, places - 2))  # where a look is cut into parts
        spans = [(behind, 2), *((0, count) for count in _WARMED)]
        nobody = Tokens([0] * (places + 1), 1)
        trash, spare = [self._cache.trash], len(self._table) - 1
        single = Row(nobody, 0, 1, True, trash)
        chunks = [Row(nobody, *span, True, trash) for span in spans if sum(span) <= places]
        alone = [Batch((), (chunk,)) for chunk in chunks]
        for batch in (Batch((single,), tuple(chunks[:1])), *alone):
            self._compute(batch, [spare] * len(batch.rows)).draws()


def _offload(cache: Cache, limits: Limits, device: torch.device) -> Offload | SideOffload:
    if device.type != "cuda" or not limits.host_pages:
        return Offload(cache.parts, limits.host_pages)
    return beside(cache.parts, limits.host_pages, limits.recalled, device)
