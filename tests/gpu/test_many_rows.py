"""Tiles for products of many rows, and their kernel as Hopper would get it: no CPU can run it."""

import os
import subprocess
import sys

import pytest
import triton
from hypothesis import assume, given
from hypothesis import strategies as st

from serve_app.engine.gpu.kernels.tiles import Tile, tile_for
from tests.gpu.hopper_code import TILES

PROCESSORS = 132  # of an H200
SHARED = 227 * 1024  # bytes each of them has


@given(
    rows=st.integers(48, 64) | st.just(128),
    columns=st.integers(64, 1800).map(lambda number: 16 * number),
    processors=st.integers(100, 148),
    gated=st.booleans(),
    splits=st.sampled_from([1, 2, 4]),
)
def test_one_wave_of_programs_covers_the_weight(
    rows: int, columns: int, processors: int, gated: bool, splits: int
) -> None:
    tile = tile_for(rows, columns, processors, gated=gated, splits=splits)
    assume(tile is not None)
    assert tile is not None
    assert 0.85 * processors <= triton.cdiv(columns, tile.columns) * splits <= processors
    assert sum(tile.pieces) == tile.columns
    assert all(piece % (16 if gated else 8) == 0 for piece in tile.pieces)
    assert rows <= tile.rows
    assert tile.stages >= 2
    assert tile.stages * 128 * (tile.rows + tile.columns) < SHARED


@pytest.mark.parametrize(
    ("rows", "columns", "how", "tile"),
    [
        (64, 27392, {"gated": True}, Tile(64, 208, 1)),
        (128, 27392, {"gated": True}, Tile(128, 208, 1)),
        (128, 4096, {"splits": 2}, Tile(128, 64, 2)),
        (65, 4096, {"splits": 2}, None),  # too many rows of a tile would be lacking
        (64, 4608, {}, Tile(64, 40, 1)),
        (129, 27392, {"gated": True}, None),  # too many rows
        (64, 151552, {}, None),  # a vocabulary takes many waves
        (128, 4608, {}, None),  # rows would be read too often
        (64, 2304, {}, None),  # half of queries, keys and values: 96 programs
    ],
)
def test_the_tiles_of_glm_4_9b(
    rows: int, columns: int, how: dict[str, int], tile: Tile | None
) -> None:
    assert tile_for(rows, columns, PROCESSORS, **how) == tile


def test_hopper_brings_tiles_and_multiplies_them_by_itself() -> None:
    ours = {**os.environ, "TRITON_INTERPRET": "0"}
    command = [sys.executable, "-m", "tests.gpu.hopper_code"]
    found = subprocess.run(command, env=ours, capture_output=True, text=True, check=True)
    kernels = found.stdout.split(".visible .entry")[1:]
    assert len(kernels) == len(TILES)
    for code in kernels:
        assert "cp.async.bulk.tensor" in code
        assert "wgmma.mma_async" in code
        assert "griddepcontrol.wait" in code
