"""What the codes of packed weights stand for: a group of 16 bits gives two numbers or four.

On a card a product widens them to bfloat16 by instructions written out, in registers alone:
compiled conversions of 8 bits are slow, and a table in memory is slower.
"""

from functools import cache

import torch
import triton
import triton.language as tl
from torch import Tensor

# The quantiles of normally distributed numbers, as the paper on QLoRA and bitsandbytes have them.
NF4_VALUES = (
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
)


@cache
def nf4_values(device: torch.device) -> Tensor:
    """What the codes of 4 bits stand for: [16] float32."""
    return torch.tensor(NF4_VALUES, device=device)


@triton.jit
def numbers_of(groups, values, NF4: tl.constexpr):
    """Return the numbers of int16 groups exactly: two tensors of int16, or four of float32."""
    return _four_of(groups, values) if NF4 else _two_of(groups)


@triton.jit
def _two_of(groups):
    return (groups << 8) >> 8, groups >> 8


@triton.jit
def _four_of(groups, values):
    code = groups.to(tl.int32)
    a, b = tl.load(values + (code & 15)), tl.load(values + (code >> 4 & 15))
    return a, b, tl.load(values + (code >> 8 & 15)), tl.load(values + (code >> 12 & 15))


# Both take a pair of groups and give pairs of numbers.

# Two numbers of 8 bits a group, without the slow conversion: a number's lower seven bits are put
# behind the bits of 128, which makes 128 + them; its sign behind others, which makes 128 or 256.
_WIDEN = tl.constexpr("""{
.reg .b32 high, minus, plus, off;
mov.b32 off, 0xBF80BF80;
lop3.b32 plus, $2, 0x007F007F, 0x43004300, 0xEA;
lop3.b32 minus, $2, 0x00800080, 0x43004300, 0xEA;
fma.rn.bf16x2 $0, minus, off, plus;
shr.u32 high, $2, 8;
lop3.b32 plus, high, 0x007F007F, 0x43004300, 0xEA;
lop3.b32 minus, high, 0x00800080, 0x43004300, 0xEA;
fma.rn.bf16x2 $1, minus, off, plus;
}""")

# Four codes of 4 bits a group: each `prmt` looks four up in eight bytes of the table. First the
# values' lower bytes, then the upper ones; a code's highest bit says in which half its value is.
_LOOK_UP = tl.constexpr("""{
.reg .b32 both, code, half, a, b, low, high;
prmt.b32 both, $4, 0, 0x3120;
and.b32 code, both, 0x77777777;
shr.u32 half, both, 1;
lop3.b32 half, half, 0x44444444, 0x32103210, 0xEA;
prmt.b32 a, 0xca063280, 0x00ba3d92, code;
prmt.b32 b, 0xad7c25a3, 0x803910e2, code;
prmt.b32 low, a, b, half;
prmt.b32 a, 0xbebfbfbf, 0x00bdbebe, code;
prmt.b32 b, 0x3e3e3e3d, 0x3f3f3f3e, code;
prmt.b32 high, a, b, half;
prmt.b32 $0, low, high, 0x6240;
prmt.b32 $1, low, high, 0x7351;
shr.u32 code, code, 16;
shr.u32 half, half, 16;
prmt.b32 a, 0xca063280, 0x00ba3d92, code;
prmt.b32 b, 0xad7c25a3, 0x803910e2, code;
prmt.b32 low, a, b, half;
prmt.b32 a, 0xbebfbfbf, 0x00bdbebe, code;
prmt.b32 b, 0x3e3e3e3d, 0x3f3f3f3e, code;
prmt.b32 high, a, b, half;
prmt.b32 $2, low, high, 0x6240;
prmt.b32 $3, low, high, 0x7351;
}""")


@triton.jit
def widen(groups, values, NF4: tl.constexpr, CARD: tl.constexpr):
    """Return the same two or four tensors for tensor cores: on a card in bfloat16."""
    if not CARD:
        numbers = numbers_of(groups, values, NF4)
    elif NF4:
        numbers = tl.inline_asm_elementwise(
            _LOOK_UP,
            "=r,=r,=r,=r,r",
            [groups],
            (tl.bfloat16, tl.bfloat16, tl.bfloat16, tl.bfloat16),
            is_pure=True,
            pack=2,
        )
    else:
        numbers = tl.inline_asm_elementwise(
            _WIDEN, "=&r,=&r,r", [groups], (tl.bfloat16, tl.bfloat16), is_pure=True, pack=2
        )
    return numbers
