"""Which package looks with long chunks: stand-ins on a CPU, asked as the real ones are."""

import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from serve_app.engine.gpu.backends import (
    FASTEST_FIRST,
    Attend,
    BackEnd,
    Trial,
    back_end,
    by_flash_3,
    by_flash_4,
    first_right,
    plain_attend,
)
from serve_app.engine.gpu.step import Heads
from serve_app.settings import LogSettings
from serve_app.telemetry import configure

HEADS = Heads(4, 2, 16)
HERE = Trial(torch.device("cpu"), torch.float32, HEADS)
PLAIN = BackEnd("plain", "torch", plain_attend, 1, at_once=True)

# Rows before heads, two key heads for four query heads, the mask's last corner to the right: as
# FlashAttention has them, written in another way than `plain_attend`.
FLASH = """
import torch

def flash_attn_func(q, k, v, *, softmax_scale, causal, {asked}):
    assert {asked} and q.shape[0] == k.shape[0] == 1
    rows, heads = q.shape[1:3]
    out, sums = torch.empty_like(q), torch.empty(1, heads, rows)
    for head in range(heads):
        own = head * k.shape[2] // heads
        for row in range(rows):
            seen = k.shape[1] - rows + row + 1 if causal else k.shape[1]
            weights = k[0, :seen, own] @ q[0, row, head] * softmax_scale
            out[0, row, head] = weights.softmax(0) @ v[0, :seen, own]
            sums[0, head, row] = weights.logsumexp(0)
    return out, sums
"""
FLASHES = {
    "flash_attn/cute.py": (by_flash_4, FLASH.format(asked="return_lse")),
    "flash_attn_interface.py": (by_flash_3, FLASH.format(asked="return_attn_probs")),
}

Install = Callable[[str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put a stand-in where Python looks first."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)

    def install(name: str, text: str) -> None:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    yield install
    for name in sys.modules.keys() - before:
        if name.startswith("flash_attn"):
            del sys.modules[name]


@pytest.fixture
def lines() -> io.StringIO:
    told = io.StringIO()
    configure(LogSettings(), told)
    return told


def numbers(rows: int, tokens: int) -> tuple[Tensor, Tensor, Tensor]:
    key, value = torch.randn(2, 1, HEADS.keys, tokens, HEADS.width)
    return torch.randn(1, HEADS.queries, rows, HEADS.width), key, value


@pytest.mark.parametrize("name", FLASHES)
@pytest.mark.parametrize(("causal", "tokens"), [(True, 5), (True, 9), (False, 9)])
def test_flash_attention_is_asked_in_its_own_layout(
    install: Install, name: str, causal: bool, tokens: int
) -> None:
    attend, text = FLASHES[name]
    install(name, text)
    asked = numbers(5, tokens)
    for found, wanted in zip(
        attend(*asked, causal, 0.3), plain_attend(*asked, causal, 0.3), strict=True
    ):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("name", FLASHES)
def test_a_package_that_is_installed_and_right_is_taken(
    install: Install, name: str, lines: io.StringIO
) -> None:
    install(name, FLASHES[name][1])
    found = first_right(FASTEST_FIRST, HERE)
    assert found is not None
    assert found.attend is FLASHES[name][0]
    assert not lines.getvalue()


BROKEN = {
    "import what_it_needs": "ModuleNotFoundError: No module named 'what_it_needs'",
    "raise OSError('no libcudart\\nand more')": "OSError: no libcudart",
    "def flash_attn_func(q, k, v): ...": "TypeError",
    "def flash_attn_func(*_, **__): assert 0, 'not on sm_75'": "AssertionError: not on sm_75",
    "def flash_attn_func(q, *_, **__): return q": "ValueError",
    "def flash_attn_func(q, *_, **__): return q, q": "what it says is not attention",
}


@pytest.mark.parametrize("name", FLASHES)
@pytest.mark.parametrize("text", BROKEN)
def test_a_package_that_does_not_work_here_is_passed_over_and_the_log_says_why(
    install: Install, lines: io.StringIO, name: str, text: str
) -> None:
    install(name, text)
    flashes = [each for each in FASTEST_FIRST if each.attend is FLASHES[name][0]]
    assert first_right([*flashes, PLAIN], HERE) is PLAIN
    (line,) = lines.getvalue().splitlines()
    assert f"{flashes[0].name}: {BROKEN[text]}" in line
    assert "and more" not in line


def shifted(attend: Attend, factor: float, corner: int) -> Attend:
    """Right but for the base of the logarithm, or for where its mask begins."""

    def look(
        query: Tensor, key: Tensor, value: Tensor, causal: bool, scale: float
    ) -> tuple[Tensor, Tensor]:
        if causal:
            key, value = key.roll(corner, 2), value.roll(corner, 2)
        seen, sums = attend(query, key, value, causal, scale)
        return seen, factor * sums

    return look


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(("factor", "corner"), [(1.4427, 0), (1, 1), (float("nan"), 0)])
def test_one_that_answers_something_else_is_passed_over(
    lines: io.StringIO, factor: float, corner: int, at_once: bool
) -> None:
    wrong = BackEnd("wrong", "torch", shifted(plain_attend, factor, corner), 1, at_once=at_once)
    assert first_right([wrong, PLAIN], HERE) is PLAIN
    assert "wrong: what it says is not attention" in lines.getvalue()


def test_what_is_not_installed_is_passed_over_without_a_word(lines: io.StringIO) -> None:
    nowhere = [
        BackEnd("none", name, plain_attend, 1, at_once=True)
        for name in ("not_here", "not_here.either")
    ]
    assert first_right(nowhere, HERE) is None
    assert not lines.getvalue()


def test_a_cpu_looks_with_our_own_kernel(lines: io.StringIO) -> None:
    assert back_end(HERE.device, HERE.dtype, HERE.heads) is None
    assert not lines.getvalue()
