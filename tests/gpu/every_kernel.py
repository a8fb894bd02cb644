"""Every kernel of one card once, with shapes that end within a block: for a tool that watches.

usage: compute-sanitizer python -m tests.gpu.every_kernel
"""

from dataclasses import astuple
from typing import Any

import torch
from torch import Tensor, nn

from serve_app.engine.gpu.far import Chunk
from serve_app.engine.gpu.kernels import few_rows, many_rows, packed_rows
from serve_app.engine.gpu.kernels.chunks import ROWS, Chunks, look_with_chunks
from serve_app.engine.gpu.kernels.decode import decode
from serve_app.engine.gpu.kernels.deferred_norm import defer_norm
from serve_app.engine.gpu.kernels.entry import embed
from serve_app.engine.gpu.kernels.gemv import gemv
from serve_app.engine.gpu.kernels.norm import Norm, add_norm
from serve_app.engine.gpu.kernels.nucleus import Cuts, floors
from serve_app.engine.gpu.kernels.race import Odds, race
from serve_app.engine.gpu.kernels.rotary import rotate_and_store
from serve_app.engine.gpu.kernels.swiglu import swiglu
from serve_app.engine.gpu.kernels.unpacked import unpack
from serve_app.engine.gpu.looks import share_out
from serve_app.engine.gpu.packed import Packed, join
from serve_app.engine.gpu.step import Heads, Kept, Lines, Turns
from serve_app.models.precision import Quantization
from tests.gpu import packing
from tests.gpu.packing import KINDS

HEADS, PAGE, SEATS, HELD = Heads(32, 2, 128), 64, 40, 16
PLACES = (700, 0, 63, 64, 999)
CHUNKS = (Chunk(0, 0, 3, 0), Chunk(3, 0, 200, 1), Chunk(203, 924, 100, 4))
TOKENS = 303
WORDS = 9999


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, device="cuda", dtype=torch.bfloat16)


def whole(values: list[Any]) -> Tensor:
    return torch.tensor(values, device="cuda", dtype=torch.int32)


def kept(*, scaled: bool) -> Kept:
    pages = numbers(SEATS * HELD + 1, 2, HEADS.keys, PAGE, HEADS.width)
    if not scaled:
        return Kept(pages)
    return Kept(pages.to(torch.float8_e4m3fn), pages[..., 0].float().abs())


def lines() -> Lines:
    table = torch.randperm(SEATS * HELD, device="cuda").view(SEATS, HELD).int()
    angles = torch.randn(1024, HEADS.width // 4, device="cuda")
    places = [PLACES[seat % len(PLACES)] for seat in range(SEATS)]
    return Lines(whole(list(range(SEATS))), whole(places), table, Turns(angles.cos(), angles.sin()))


def attention(own: Kept, known: Lines) -> None:
    width = (HEADS.queries + 2 * HEADS.keys) * HEADS.width
    for rows in (1, 5, 20, SEATS):
        qkv, out = numbers(rows, width), numbers(rows, HEADS.queries * HEADS.width)
        decode(qkv, known[:rows], HEADS, own, out)
        rotate_and_store(qkv, known[:rows], HEADS, own)
        decode(qkv, known[:rows], HEADS, own, out, stored=True)
    near = share_out(enumerate(CHUNKS), ROWS, HEADS.queries)
    plan = Chunks(
        whole([astuple(chunk) for chunk in CHUNKS]),
        whole(near.looks.tolist()),
        whole(near.merges.tolist()),
        near.parts,
        known.table,
    )
    query = numbers(TOKENS, HEADS.queries, HEADS.width)
    look_with_chunks(query, plan, HEADS, own, numbers(TOKENS, HEADS.queries * HEADS.width))


def products(rows: int) -> None:
    x, weight, norm = numbers(rows, 1000), numbers(3000, 1000), Norm(numbers(1000), 1e-6)
    if rows == 1:
        gemv(x, weight, norm=norm, bias=numbers(3000))
        gemv(x, weight, norm=norm, gated=True)
        gemv(x, weight, stream=numbers(rows, 3000))
    else:
        few_rows.multiply(defer_norm(x, norm), weight, bias=numbers(3000))
        few_rows.multiply(
            few_rows.add(numbers(rows, 3000), numbers(1000, 3000), x, norm), weight, gated=True
        )
    add_norm(x, numbers(rows, 1000), numbers(1000), 1e-6, numbers(1000))
    swiglu(numbers(rows, 3000))


def packed(kind: Quantization) -> Packed:
    plain = nn.Linear(320, 3000, device="cuda", dtype=torch.bfloat16)
    weight = join([packing.packed(plain, kind)])
    assert isinstance(weight, Packed)
    return weight


def packed_products(weight: Packed, rows: int) -> None:
    x = numbers(rows, 320)
    packed_rows.multiply(x, weight, bias=numbers(3000))
    packed_rows.multiply(x, weight, gated=True)
    unpack(weight, x)


def many_products(rows: int) -> None:
    """Where one wave of programs covers a weight: that depends on the card."""
    x, both, part = numbers(rows, 1000), numbers(27360, 1000), numbers(4088, 1000)
    if many_rows.suits(x, both, gated=True):
        many_rows.multiply(x, both, gated=True)
    if many_rows.suits(x, part, splits=2):
        add_norm(numbers(rows, 4088), many_rows.partial_products(x, part, 2), numbers(4088), 1e-6)


def drawing(rows: int, known: Lines) -> None:
    logits, seats = numbers(rows, WORDS), known.seats[:rows]
    last, part = torch.zeros_like(known.seats), torch.full((rows,), 0.9, device="cuda")
    floor = floors(logits, Cuts(part, seats + 5, part * 0, part))
    race(logits, Odds(part, seats, seats, floor), seats, last)
    race(logits, None, seats, last)
    embed(seats - 1, known[:rows], last, numbers(WORDS, 1000))


@torch.inference_mode()
def main() -> None:
    known = lines()
    for scaled in (False, True):
        attention(kept(scaled=scaled), known)
    for rows in (1, 3, 16, 30):
        products(rows)
        drawing(rows, known)
    for kind in KINDS:
        weight = packed(kind)
        for rows in (1, 3, 20, 50):
            packed_products(weight, rows)
    for rows in (50, 64, 128):
        many_products(rows)
    torch.cuda.synchronize()
    print("every kernel ran")


if __name__ == "__main__":
    main()
