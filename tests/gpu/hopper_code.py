"""What Triton makes of the products of many rows for Hopper, without a card.

usage: python -m tests.gpu.hopper_code (a process of its own: its kernels are not interpreted)
"""

import triton
from triton.backends.compiler import GPUTarget
from triton.experimental.gluon._runtime import GluonASTSource

from serve_app.engine.gpu.kernels.one_wave import SWIZZLED, constants, one_wave, options
from serve_app.engine.gpu.kernels.tiles import STEP, Tile

TILES = (Tile(64, 40, 1), Tile(128, 208, 1), Tile(128, 64, 2))


def assembly(tile: Tile, *, gated: bool) -> str:
    """Return the kernel's PTX."""
    boxes = zip(("first", "second", "third"), tile.boxes(gated=gated), strict=True)
    known = constants(tile, gated=gated, bias=not gated)
    signature = {
        "x": _descriptor(tile.rows),
        **{name: _descriptor(lines) for name, lines in boxes},
        "bias": "*bf16",
        "out": "*fp32" if tile.splits > 1 else "*bf16",
        **dict.fromkeys(("rows", "wide", "width"), "i32"),
        **dict.fromkeys(known, "constexpr"),
    }
    names = one_wave.arg_names
    places = {(names.index(name),): value for name, value in known.items()}
    source = GluonASTSource(one_wave, signature, places)
    target = GPUTarget("cuda", 90, 32)
    how = {**options(tile), "enable_fp_fusion": True}
    return str(triton.compile(source, target=target, options=how).asm["ptx"])


def _descriptor(lines: int) -> str:
    return f"tensordesc<bf16[{lines},{STEP}],{SWIZZLED!r}>"


if __name__ == "__main__":
    for each in TILES:
        print(assembly(each, gated=each.columns > each.rows))
