"""Calls in ChatGLM3's way: a turn headed by a tool's name, and a line of Python below.

The code names the arguments, `tool_call(symbol="10111")`, inside a fence. It is never run: only
literals are read from it. A call goes out whole, once its turn is over; code that is anything else
is content.
"""

import ast
import json
import re
import warnings
from collections.abc import Iterator
from keyword import iskeyword

from serve_app.engine.dialects.calling import Offer, Progress, opened
from serve_app.engine.dialects.headed import heads
from serve_app.engine.dialects.marks import TURNS, shown
from serve_app.engine.dialects.pieces import Arguments, Piece, Text
from serve_app.engine.dialects.tape import Tape

FUNCTION = "tool_call"
_FENCED = re.compile(r"\s*```\w*\n(.*?)(```|$)", re.DOTALL)
_LONGEST = 16_384  # characters of code that are read; the parser's stack has an end

_PARSE_ERRORS = (SyntaxError, ValueError, TypeError, RecursionError, MemoryError)


class PythonicCalls:
    """Told from other text by a known name, a line feed and the beginning of a fence."""

    marked = False

    def __init__(self, offer: Offer) -> None:
        self._offer = offer

    def opens(self, text: str) -> bool | None:
        return heads(text, self._offer, ("```", FUNCTION))

    def begin(self, number: int) -> "PythonCall":
        return PythonCall(number)

    def unfinished(self, text: str) -> None:  # noqa: ARG002 - calls in Python are never demanded
        return None


class PythonCall:
    """Keeps a call's text until it is known to be one."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._kept: list[Text] = []

    def read(self, tape: Tape, *, over: bool) -> Iterator[Piece | Progress]:
        turn = TURNS.find(tape.text)
        text, places = tape.take(turn.at if turn else len(tape.text))
        self._kept.append(Text(shown(text), places=places))
        if turn or over:
            yield from self._judge()
        else:
            yield Progress.WAITS

    def _judge(self) -> Iterator[Piece | Progress]:
        name, _, code = "".join(each.text for each in self._kept).partition("\n")
        try:
            arguments = arguments_of(code)
        except _PARSE_ERRORS:
            yield from (each for each in self._kept if each.text)
            yield Progress.REFUSED
        else:
            yield opened(self._number, name.strip())
            places = tuple(place for each in self._kept for place in each.places)
            yield Arguments(self._number, arguments, places)
            yield Progress.DONE


def arguments_of(code: str) -> str:
    """The arguments of one call as JSON text; raises what parsing raises for anything else."""
    if len(code) > _LONGEST:
        raise ValueError("Too long.")
    fenced = _FENCED.match(code)
    with warnings.catch_warnings(action="ignore"):  # of what the model wrote, into our log
        call = ast.parse((fenced[1] if fenced else code).strip(), mode="eval").body
    if not isinstance(call, ast.Call) or call.args or ast.unparse(call.func) != FUNCTION:
        raise ValueError("Not a call with named arguments.")
    arguments: dict[str, object] = {}
    for keyword in call.keywords:
        value = ast.literal_eval(keyword.value)
        arguments |= value if keyword.arg is None else {keyword.arg: value}
    return json.dumps(arguments, ensure_ascii=False, allow_nan=False)


def code_of(arguments: dict[str, object]) -> str:
    """The call as ChatGLM3 writes it; names that Python has no keyword for go in a dictionary."""
    named = {key: value for key, value in arguments.items() if _is_parameter(key)}
    others = {key: value for key, value in arguments.items() if key not in named}
    written = [f"{key}={value!r}" for key, value in named.items()]
    spread = [f"**{others!r}"] if others else []
    return f"```python\n{FUNCTION}({', '.join(written + spread)})\n```"


def _is_parameter(name: str) -> bool:
    return name.isascii() and name.isidentifier() and not iskeyword(name)
