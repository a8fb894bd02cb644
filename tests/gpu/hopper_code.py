"""What Triton makes of the products of many rows for Hopper, without a card.

usage: python -m tests.gpu.hopper_code (a process of its own: its kernels are not interpreted)
"""

import triton
from triton.backends.compiler import GPUTarget
from triton.experimental.gluon import language as gl
from triton.experimental.gluon._runtime import GluonASTSource

from serve_app.engine.gpu.kernels import many_rows
from serve_app.engine.gpu.kernels.many_rows import Tile

TILES = (Tile(64, 40, 1), Tile(128, 208, 1), Tile(128, 64, 2))


def assembly(tile: Tile, *, gated: bool) -> str:
    """Return the kernel's PTX."""
    layout = repr(gl.NVMMASharedLayout(128, 16, 2))
    first, second, third = tile.pieces
    halves = 2 if gated else 1
    tiles = {
        "x": tile.rows,
        "first": first // halves,
        "second": (second or first) // halves,
        "third": (third or first) // halves,
    }
    constants = {
        "ROWS": tile.rows,
        "PIECES": tile.pieces,
        "STEP": 64,
        "STAGES": tile.stages,
        "SPLITS": tile.splits,
        "GATED": gated,
        "BIAS": not gated,
        "SPARE": 24,
    }
    signature = {
        **{name: f"tensordesc<bf16[{lines},64],{layout}>" for name, lines in tiles.items()},
        "bias": "*bf16",
        "out": "*fp32" if tile.splits > 1 else "*bf16",
        **dict.fromkeys(("rows", "wide", "width"), "i32"),
        **dict.fromkeys(constants, "constexpr"),
    }
    names = many_rows._many_rows.arg_names
    known = {(names.index(name),): value for name, value in constants.items()}
    source = GluonASTSource(many_rows._many_rows, signature, known)
    target = GPUTarget("cuda", 90, 32)
    options = {"num_warps": tile.rows // 16, "maxnreg": 112, "enable_fp_fusion": True}
    return str(triton.compile(source, target=target, options=options).asm["ptx"])


if __name__ == "__main__":
    for each in TILES:
        print(assembly(each, gated=each.columns > each.rows))
