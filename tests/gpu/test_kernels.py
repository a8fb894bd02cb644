"""Each kernel against its plain twin, in float32, with fresh numbers."""

import json
import math
from dataclasses import astuple
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from serve_app.engine.gpu import far, looks
from serve_app.engine.gpu.backends import BackEnd, plain_attend
from serve_app.engine.gpu.far import GRAIN, Chunk, borders, look_far
from serve_app.engine.gpu.kernels import chunks as chunks_kernel
from serve_app.engine.gpu.kernels import decode as decode_kernel
from serve_app.engine.gpu.kernels import few_rows
from serve_app.engine.gpu.kernels.chunks import (
    ROWS,
    Chunks,
    look_with_chunks,
    plain_look_with_chunks,
)
from serve_app.engine.gpu.kernels.decode import decode, plain_decode
from serve_app.engine.gpu.kernels.decode_shape import shape_for
from serve_app.engine.gpu.kernels.deferred_norm import defer_norm
from serve_app.engine.gpu.kernels.entry import embed, plain_embed
from serve_app.engine.gpu.kernels.gemv import gemv
from serve_app.engine.gpu.kernels.norm import Norm, add_norm, plain_add_norm
from serve_app.engine.gpu.kernels.nucleus import Cuts, floors, plain_floors
from serve_app.engine.gpu.kernels.product import plain_product
from serve_app.engine.gpu.kernels.race import UNSOUND, Odds, plain_race, race
from serve_app.engine.gpu.kernels.rotary import plain_rotate_and_store, rotate_and_store
from serve_app.engine.gpu.kernels.swiglu import plain_swiglu, swiglu
from serve_app.engine.gpu.layout import ON_CARD
from serve_app.engine.gpu.looks import share_out
from serve_app.engine.gpu.step import Heads, Kept, Lines, Turns

HEADS = [Heads(4, 2, 16), Heads(6, 1, 64)]
PAGES = [4, 64]
WORDS = 5000


@pytest.fixture(autouse=True)
def _fresh_numbers() -> None:
    torch.manual_seed(torch.seed() % 2**31)


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def lines(heads: Heads, places: list[int], page: int, seats: list[int] | None = None) -> Lines:
    """Tokens at these places, each seat with pages of its own in no order."""
    seats = list(range(len(places))) if seats is None else seats
    each = max(places) // page + 1
    table = torch.randperm((max(seats) + 1) * each).view(-1, each)
    angles = torch.randn(max(places) + 1, heads.width // 4)
    turns = Turns(angles.cos(), angles.sin())
    return Lines(torch.tensor(seats).int(), torch.tensor(places).int(), table.int(), turns)


def kept_for(line: Lines, heads: Heads, page: int, *, scaled: bool = False) -> Kept:
    """Full of numbers; what lies behind a row's place must not matter."""
    numbers = torch.randn(line.table.numel() + 1, 2, heads.keys, page, heads.width)
    if not scaled:
        return Kept(numbers)
    numbers *= 10 * torch.rand(numbers.shape[:-1])[..., None]
    kept = Kept(torch.empty_like(numbers, dtype=torch.float8_e4m3fn), numbers[..., 0].clone())
    kept.write((slice(None),), numbers)
    return kept


def twin_of(kept: Kept) -> Kept:
    return Kept(kept.pages.clone(), None if kept.scales is None else kept.scales.clone())


def same(found: Kept, wanted: Kept) -> None:
    """Triton's interpreter loses a carry when it rounds to 8 bits, once in fifty numbers."""
    if wanted.scales is None or found.scales is None:
        close(found.pages, wanted.pages)
        return
    close(found.scales, wanted.scales)
    every = torch.arange(len(found.pages))
    apart = found.read(every, torch.float32) != wanted.read(every, torch.float32)
    assert apart.float().mean() < 0.04


def qkv(tokens: int, heads: Heads) -> Tensor:
    return torch.randn(tokens, (heads.queries + 2 * heads.keys) * heads.width)


def test_tokens_that_the_host_has_not_seen_are_read_from_their_seats() -> None:
    line = lines(HEADS[0], [0, 3, 1], 4)
    last, table = torch.tensor([5, 6, 7]).int(), torch.randn(10, 33)
    tokens = torch.tensor([2, ON_CARD, 9]).int()
    close(embed(tokens, line, last, table), plain_embed(tokens, line, last, table))
    close(embed(tokens, line, last, table)[1], table[6])


@pytest.mark.parametrize("post", [False, True])
@pytest.mark.parametrize("adds", [False, True])
def test_a_layers_output_is_added_and_the_sum_normalised(adds: bool, post: bool) -> None:
    stream, delta = torch.randn(2, 3, 100)
    gains = torch.randn(2, 100)
    given = (delta if adds else None, gains[0], 1e-5, gains[1] if post and adds else None)
    twin = stream.clone()
    close(add_norm(stream, *given), plain_add_norm(twin, *given))
    close(stream, twin)


@pytest.mark.parametrize("post", [False, True])
def test_a_layers_output_may_come_in_parts(post: bool) -> None:
    stream, parts = torch.randn(3, 100), torch.randn(2, 3, 100)
    gains = torch.randn(2, 100)
    given = (gains[0], 1e-5, gains[1] if post else None)
    twin = stream.clone()
    close(add_norm(stream, parts, *given), plain_add_norm(twin, parts.sum(0), *given))
    close(stream, twin)


def test_the_gate_of_the_mlp() -> None:
    both = torch.randn(3, 5000)
    close(swiglu(both), plain_swiglu(both))


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("heads", HEADS)
def test_keys_and_values_go_to_their_pages(heads: Heads, page: int, scaled: bool) -> None:
    line = lines(heads, [0, 1, 2, 70], page, seats=[0, 0, 0, 1])
    numbers, kept = qkv(4, heads), kept_for(line, heads, page, scaled=scaled)
    twin = twin_of(kept)
    close(
        rotate_and_store(numbers, line, heads, kept),
        plain_rotate_and_store(numbers, line, heads, twin),
    )
    same(kept, twin)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("heads", HEADS)
@pytest.mark.parametrize("rows", [1, 3])
def test_single_tokens_see_their_past_and_themselves(heads: Heads, page: int, rows: int) -> None:
    line = lines(heads, [200, 0, 64][:rows], page)
    numbers, kept = qkv(rows, heads), kept_for(line, heads, page)
    twin = twin_of(kept)
    out = torch.full((rows, heads.queries * heads.width), math.nan)
    decode(numbers, line, heads, kept, out)
    close(out, plain_decode(numbers, line, heads, twin))
    same(kept, twin)


@pytest.mark.parametrize("heads", HEADS)
def test_the_last_split_of_a_row_merges_all_of_it_step_after_step(
    heads: Heads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode_kernel, "splits_for", lambda _rows, _heads: 4)
    line = lines(heads, [200, 0, 64], 64)
    for _ in range(2):
        numbers, kept = qkv(3, heads), kept_for(line, heads, 64)
        twin = twin_of(kept)
        out = torch.full((3, heads.queries * heads.width), math.nan)
        decode(numbers, line, heads, kept, out)
        close(out, plain_decode(numbers, line, heads, twin))


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("heads", HEADS)
def test_single_tokens_see_a_past_in_8_bits(heads: Heads, page: int) -> None:
    """The new token itself is seen as it is; half precision is what the rest is computed in."""
    line = lines(heads, [200, 0, 64], page)
    numbers, kept = qkv(3, heads), kept_for(line, heads, page, scaled=True)
    exact = Kept(kept.read(torch.arange(len(kept.pages)), torch.float32))
    out = torch.full((3, heads.queries * heads.width), math.nan)
    decode(numbers, line, heads, kept, out)
    near(out, plain_decode(numbers, line, heads, exact))


def test_every_number_of_8_bits_is_seen_as_it_is() -> None:
    """Who asks for nothing sees as much of its one past token as of the new one, which is 0."""
    heads = HEADS[1]
    line = lines(heads, [1, 1, 1, 1], 4)
    stored = torch.randperm(256).to(torch.uint8).view(4, 64)
    stored[stored & 0x7F == 0x7F] = 0  # these are no numbers
    kept = kept_for(line, heads, 4, scaled=True)
    assert kept.scales is not None
    kept.scales.fill_(1.0)
    kept.pages.view(torch.uint8)[line.table[:, 0], 1, 0, 0] = stored
    out = torch.full((4, heads.queries, heads.width), math.nan)
    decode(torch.zeros_like(qkv(4, heads)), line, heads, kept, out.view(4, -1))
    wanted = stored.view(torch.float8_e4m3fn).float() / 2
    assert out.equal(wanted[:, None].expand_as(out))


@pytest.mark.parametrize("heads", HEADS)
def test_single_tokens_of_one_sequence_see_each_other(heads: Heads) -> None:
    """As the tokens of a chunk do: each sees those before it."""
    line = lines(heads, [66, 67, 68, 5], 4, seats=[0, 0, 0, 1])
    numbers, kept = qkv(4, heads), kept_for(line, heads, 4)
    twin = twin_of(kept)
    rotate_and_store(numbers, line, heads, kept)
    out = torch.full((4, heads.queries * heads.width), math.nan)
    decode(numbers, line, heads, kept, out, stored=True)
    close(out, plain_decode(numbers, line, heads, twin))


def near(found: Tensor, wanted: Tensor) -> None:
    assert (found - wanted).norm() < 3e-3 * wanted.norm()


@pytest.mark.parametrize("scaled", [False, True])
def test_a_past_that_is_not_a_number_stays_with_its_owner(scaled: bool) -> None:
    heads = HEADS[0]
    line = lines(heads, [5], 64)
    pages = torch.full((2, 2, heads.keys, 64, heads.width), math.nan)
    pages[:, :, :, :5] = 1.0
    kept = Kept(pages.to(torch.float8_e4m3fn), pages[..., 0].clone()) if scaled else Kept(pages)
    out = torch.full((1, heads.queries * heads.width), math.nan)
    decode(qkv(1, heads), line, heads, kept, out)
    assert out.isfinite().all()


def planned(heads: Heads, table: Tensor, *chunks: Chunk) -> Chunks:
    near = share_out(enumerate(chunks), ROWS, heads.queries)
    rows = torch.tensor([astuple(chunk) for chunk in chunks]).int()
    cut = torch.from_numpy(near.looks), torch.from_numpy(near.merges)
    return Chunks(rows, *cut, near.parts, table)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("heads", HEADS)
@pytest.mark.parametrize("cut", [False, True])
def test_chunks_see_their_past_and_no_token_after_them(
    heads: Heads, page: int, scaled: bool, cut: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut at 128, the third one's first tokens see nothing in the last part."""
    monkeypatch.setattr(looks, "LEAST", 64 if cut else 1024)
    counts, starts = [3, 140, 70], [0, 0, 100]
    line = lines(heads, [139, 139, 169], page)
    kept = kept_for(line, heads, page, scaled=scaled)
    chunks = map(Chunk, [0, 3, 143], starts, counts, range(3))
    plan = planned(heads, line.table, *chunks)
    assert bool(plan.parts) is cut
    query = torch.randn(sum(counts), heads.queries, heads.width)
    out = torch.full((sum(counts), heads.queries * heads.width), math.nan)
    look_with_chunks(query, plan, heads, kept, out)
    (near if scaled else close)(out, plain_look_with_chunks(query, plan, heads, kept))


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("start", [0, 37, 48])
@pytest.mark.parametrize("at_once", [False, True])
def test_a_long_chunk_is_looked_with_as_any_other(
    at_once: bool, start: int, scaled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(far, "GRAIN", 8)
    heads, count = HEADS[0], 20
    line = lines(heads, [start + count - 1], 4)
    kept = kept_for(line, heads, 4, scaled=scaled)
    chunk = Chunk(0, start, count, 0)
    plan = planned(heads, line.table, chunk)
    query = torch.randn(count, heads.queries, heads.width)
    out = torch.full((count, heads.queries * heads.width), math.nan)
    by = BackEnd("plain", "torch", plain_attend, 1, at_once=at_once)
    look_far(query, chunk, line.table, heads, kept, out=out, by=by)
    close(out, plain_look_with_chunks(query, plan, heads, kept))


@pytest.mark.parametrize(
    ("at_once", "start", "count", "is_far"),
    [
        (True, 4000, 512, True),
        (True, 4000, 511, False),
        (True, 3000, 512, False),  # sees little
        (False, 4000, 257, True),  # 512 in whole grains, which are computed anyhow
        (False, 4000, 256, False),
    ],
)
def test_keys_and_values_are_gathered_for_long_chunks_that_see_much(
    *, at_once: bool, start: int, count: int, is_far: bool
) -> None:
    by = BackEnd("plain", "torch", plain_attend, 512, at_once=at_once)
    assert Chunk(0, start, count, 0).is_far(by) == is_far
    assert not Chunk(0, start, count, 0).is_far(None)


def test_a_past_of_any_length_is_cut_into_pieces_of_a_few_lengths() -> None:
    cuts = [borders(grains * GRAIN) for grains in range(513)]
    assert [cut[-1] for cut in cuts] == [grains * GRAIN for grains in range(513)]
    assert len({end - begin for cut in cuts for begin, end in pairwise(cut)}) == 10


@pytest.mark.parametrize("what", ["plain", "norm and bias", "gated", "stream"])
def test_products_of_one_row(what: str) -> None:
    x, weight = torch.randn(1, 320), torch.randn(90, 320) / 18
    extras = {
        "plain": {},
        "norm and bias": {"norm": Norm(torch.randn(320), 1e-5), "bias": torch.randn(90)},
        "gated": {"norm": Norm(torch.randn(320), 1e-5), "gated": True},
        "stream": {"stream": torch.randn(1, 90)},
    }[what]
    twins = {name: value.clone() if name == "stream" else value for name, value in extras.items()}
    close(gemv(x, weight, **extras), plain_product(x, weight, **twins))


FEW_ROWS = [2, 16, 17, 32]


@pytest.mark.parametrize("rows", FEW_ROWS)
@pytest.mark.parametrize("what", ["plain", "bias", "gated"])
def test_products_of_few_rows(rows: int, what: str) -> None:
    x, weight = torch.randn(rows, 320), torch.randn(90, 320) / 18
    bias = torch.randn(90) if what == "bias" else None
    extras: dict[str, Any] = {"bias": bias, "gated": what == "gated"}
    wanted = plain_product(x, weight, **extras)
    close(few_rows.multiply(x, weight, **extras), wanted)
    into = torch.full_like(wanted, math.nan)
    assert few_rows.multiply(x, weight, **extras, into=into) is into
    close(into, wanted)


@pytest.mark.parametrize("rows", FEW_ROWS)
@pytest.mark.parametrize("width", [80, 320, 1300])
def test_few_rows_are_added_to_the_stream_and_scaled_for_the_next_product(
    rows: int, width: int
) -> None:
    stream, norm = torch.randn(rows, 200), Norm(torch.randn(200), 1e-5)
    weight, then = torch.randn(200, width) / width**0.5, torch.randn(300, 200) / 14
    twin = stream.clone()
    close(few_rows.multiply(defer_norm(stream, norm), then), plain_product(stream, then, norm=norm))
    for _ in range(2):  # the second time after the first's parts
        x = torch.randn(rows, width)
        scaled = few_rows.add(x, weight, stream, norm)
        plain_product(x, weight, stream=twin)
        close(stream, twin)
        close(
            few_rows.multiply(scaled, then, gated=True),
            plain_product(twin, then, norm=norm, gated=True),
        )


def run(logits: Tensor, odds: Odds | None) -> list[int]:
    """Race, and see that the tokens were left where the next step looks."""
    rows = len(logits)
    seats, last = torch.randperm(rows).int(), torch.full((rows,), -7).int()
    winners = race(logits, odds, seats, last)
    assert last[seats.long()].tolist() == winners.clamp(min=0).tolist()
    return winners.tolist()


def test_the_likeliest_token_wins_a_race_without_chance() -> None:
    logits = torch.randn(4, WORDS)
    assert run(logits, None) == logits.argmax(-1).tolist()


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_a_row_that_is_not_numbers_has_no_winner_and_spoils_no_other(broken: float) -> None:
    logits = torch.randn(3, WORDS)
    logits[1] = broken
    found = run(logits, None)
    assert found == plain_race(logits, None).tolist()
    assert found[1] == UNSOUND
    assert UNSOUND not in (found[0], found[2])


def odds(rows: int, temperature: float, seed: int = 0, floor: float = -math.inf) -> Odds:
    return Odds(
        torch.full((rows,), temperature),
        torch.full((rows,), seed),
        torch.arange(rows).int(),
        torch.full((rows,), floor),
    )


def test_a_draw_depends_on_seed_and_place_alone() -> None:
    logits = torch.randn(1, WORDS).expand(6, -1).contiguous()
    first = run(logits, odds(6, 1.0, seed=7))
    assert run(logits[:3].clone(), odds(3, 1.0, seed=7)) == first[:3]
    assert len(set(first)) > 1
    assert run(logits, odds(6, 1.0, seed=8)) != first


def test_draws_follow_the_chances() -> None:
    chances = torch.tensor([0.5, 0.3, 0.15, 0.05])
    logits = chances.log().expand(120, -1).contiguous()
    found = torch.tensor(run(logits, odds(120, 1.0))).bincount(minlength=4) / 120
    torch.testing.assert_close(found, chances, rtol=0, atol=0.23)  # five deviations


def test_what_is_below_the_floor_is_never_drawn() -> None:
    logits = torch.tensor([[0.0, 1.0, -1.0, 0.5]]).repeat(50, 1)
    assert set(run(logits, odds(50, 2.0, floor=0.5))) <= {1, 3}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_floor_is_where_a_sorted_row_would_be_cut(dtype: torch.dtype) -> None:
    logits = torch.stack([torch.randperm(250) / 32 for _ in range(4)]).to(dtype)  # no ties
    cuts = Cuts(
        torch.tensor([1.0, 0.7, 1.5, 1.0]),
        torch.tensor([0, 40, 5, 0]).int(),
        torch.tensor([0.0, 0.05, 0.3, 0.0]),
        torch.tensor([0.9, 0.5, 1.0, 1.0]),
    )
    found = floors(logits, cuts)
    close(found[:3], plain_floors(logits, cuts)[:3])
    assert found[3] == -math.inf


def test_hooks_of_triton_are_told_in_json_what_attention_is_compiled_for() -> None:
    heads, known = HEADS[0], {"stored": False, "scaled": True, "card": True}
    shapes = [
        shape_for(heads, 8, 16, 4, **known),
        chunks_kernel._shape(heads, 16, scaled=True),
    ]

    assert json.loads(json.dumps(shapes)) == [list(each) for each in shapes]
