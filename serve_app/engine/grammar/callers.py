"""A grammar that the caller wrote: in Lark as llguidance reads it, or in GBNF.

It stands beside ours as one of its own, so that neither sees the other's names.
"""

import json
import re

from llguidance.gbnf_to_lark import GbnfToLarkError, gbnf_to_lark

from serve_app.engine.grammar.schema import Unenforceable

NAME = "caller"  # by which our grammar refers to it
_OPTIONS = re.compile(r"^[ \t]*%llguidance[^\n]*", re.MULTILINE)  # those are ours to set
_START = re.compile(r"^\s*\??start\s*:", re.MULTILINE)
_LONGEST_GBNF = 16_384  # characters; made Lark by Python, slower than by its length


def beside(ours: str, source: str) -> str:
    """Both grammars, as llguidance takes several; raises Unenforceable."""
    grammars = [{"lark_grammar": ours}, {"name": NAME, "lark_grammar": _lark(source)}]
    return json.dumps({"grammars": grammars}, ensure_ascii=False)


def _lark(source: str) -> str:
    return _OPTIONS.sub("", source if _START.search(source) else _from_gbnf(source))


def _from_gbnf(source: str) -> str:
    if len(source) > _LONGEST_GBNF:
        raise Unenforceable(f"A grammar in GBNF may have {_LONGEST_GBNF} characters; use Lark.")
    try:
        return gbnf_to_lark(source)
    except GbnfToLarkError as error:
        raise Unenforceable(
            f"The grammar has no rule 'start', as in Lark, and is not valid GBNF at line"
            f" {source.count(chr(10), 0, error.pos.pos) + 1}."
        ) from None
    except Exception:  # noqa: BLE001 - the converter fails in many ways, all by what it was given
        raise Unenforceable(
            "The grammar has no rule 'start', as in Lark, and cannot be read as GBNF."
        ) from None
