"""What a script is asked for by its command line."""

import sys
from collections.abc import Sequence


def given() -> list[str]:
    """Arguments in order, without flags."""
    return [each for each in sys.argv[1:] if not each.startswith("--")]


def numbers(place: int, otherwise: Sequence[int]) -> list[int]:
    """The argument at a place, written as `1,32`; what else is asked if there is none."""
    said = given()[place : place + 1]
    return [int(each) for each in said[0].split(",")] if said else list(otherwise)
