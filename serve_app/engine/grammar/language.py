"""The whole grammar of an answer: what opens it, then calls, content or either."""

from collections.abc import Iterator
from contextlib import contextmanager

from serve_app.engine.grammar import callers, lark
from serve_app.engine.grammar.calls import Hold, calls_grammar
from serve_app.engine.grammar.content import content_grammar
from serve_app.engine.grammar.form import Form, Opening
from serve_app.engine.grammar.refusal import blame
from serve_app.engine.grammar.schema import Unenforceable
from serve_app.errors import InvalidRequest
from serve_app.messages import StructureKind


def language(form: Form, hold: Hold = Hold.CLOSE) -> str:
    """A grammar for llguidance; demanded calls of tools that are not strict are held so closely.

    Raises InvalidRequest with what to change; a structure's field is not told.
    """
    with _blaming(blame(form)):
        answer = "\n".join(_answer(form, hold))
        ours = "\n".join([lark.HEAD, _start(form.opening), answer, lark.FREE_JSON])
        structure = None if form.must_call else form.structure
        if structure and structure.kind is StructureKind.GRAMMAR:
            return callers.beside(ours, structure.source)
        return ours


def _answer(form: Form, hold: Hold) -> Iterator[str]:
    if form.must_call:
        yield "answer: calls"
        yield from _calls(form, hold)
        return
    otherwise = "MARGIN content" if form.structure else "speech"
    yield f"answer: calls | {otherwise}" if form.may_call else f"answer: {otherwise}"
    if form.may_call:
        yield from _calls(form, Hold.FREE)
    if form.structure:
        yield content_grammar(form.structure)


def _calls(form: Form, hold: Hold) -> Iterator[str]:
    with _blaming("tools"):
        yield from calls_grammar(form, hold)


def _start(opening: Opening) -> str:
    margin = f"MARGIN: /\\n{{0,{opening.margin}}}/"
    if opening.unthink is None:
        return f"start: answer\n{margin}"
    think = "" if opening.think is None else f"MARGIN {lark.part(opening.think)} "
    thoughts = lark.up_to("thoughts", lark.ANYTHING, opening.unthink)
    return f"start: {think}thoughts answer\n{margin}\n{thoughts}"


@contextmanager
def _blaming(field: str | None) -> Iterator[None]:
    try:
        yield
    except Unenforceable as refusal:
        raise InvalidRequest(str(refusal), field and f"{field}{refusal.place}") from None
