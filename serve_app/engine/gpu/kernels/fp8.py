"""Four 8-bit floats in a word, unpacked as tensor cores want them: two of a column side by side.

A byte at a time each would cost a load; two words, one below the other, give eight numbers by six
instructions.
"""

import triton
import triton.language as tl

_UNPACK = tl.constexpr("""{
.reg .b32 low, high;
.reg .b16 first, second;
prmt.b32 low, $4, $5, 0x5140;
prmt.b32 high, $4, $5, 0x7362;
mov.b32 {first, second}, low;
cvt.rn.f16x2.e4m3x2 $0, first;
cvt.rn.f16x2.e4m3x2 $1, second;
mov.b32 {first, second}, high;
cvt.rn.f16x2.e4m3x2 $2, first;
cvt.rn.f16x2.e4m3x2 $3, second;
}""")


@triton.jit
def unpack(words, CARD: tl.constexpr):
    """Return e4m3 numbers, words [N, M] of four, as four tensors [N, M] of float16; exactly."""
    if CARD:
        four = tl.inline_asm_elementwise(
            _UNPACK,
            "=r,=r,=r,=r,r,r",
            [words],
            (tl.float16, tl.float16, tl.float16, tl.float16),
            is_pure=True,
            pack=2,
        )
    else:
        four = _number(words), _number(words >> 8), _number(words >> 16), _number(words >> 24)
    return four


@triton.jit
def _number(words):
    """Turn the lowest byte of each word into float16, whose exponent is greater by 8."""
    bits = ((words & 0x80) << 8) | ((words & 0x7F) << 7)
    return bits.to(tl.int16).to(tl.float16, bitcast=True) * 256.0


@triton.jit
def part(x, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    """Part the columns of x [ROWS, WIDTH] as `unpack` does: each fourth, [ROWS, WIDTH / 4]."""
    even, odd = tl.split(tl.reshape(x, (ROWS, WIDTH // 2, 2)))
    first, third = tl.split(tl.reshape(even, (ROWS, WIDTH // 4, 2)))
    second, fourth = tl.split(tl.reshape(odd, (ROWS, WIDTH // 4, 2)))
    return first, second, third, fourth


@triton.jit
def join(parts, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    """Undo `part`: [ROWS, WIDTH]."""
    first, second, third, fourth = parts
    both = tl.join(tl.join(first, third), tl.join(second, fourth))
    return tl.reshape(both, (ROWS, WIDTH))
