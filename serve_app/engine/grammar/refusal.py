"""What a caller hears of llguidance's complaints: what is wrong and where, in words of ours.

They quote grammars and answers; only what the library says of every caller's is passed on.
"""

import re
from collections.abc import Sequence

from serve_app.engine.grammar.form import Form
from serve_app.engine.grammar.places import place
from serve_app.errors import InvalidRequest
from serve_app.messages import StructureKind

_SENTENCES: Sequence[tuple[str, str]] = (
    (
        "oneOf",
        "In the JSON schema oneOf can be enforced only if no value fits two of them: use anyOf",
    ),
    ("Unsatisfiable", "Nothing can satisfy the JSON schema"),
    ("look", "A regular expression cannot look around: no (?=, (?! or (?<, no \\b"),
    ("disjoint", "In the JSON schema no key may fit two of the patternProperties"),
    ("Resource", "In the JSON schema $ref must name a part of the same schema"),
    ("Anchor", "In the JSON schema $ref must be a path from the root, as #/$defs/name"),
    ("Pointer", "In the JSON schema $ref names a part that is not there"),
)
_QUOTE = "\n   1 | "  # from there on it shows the grammar
_PARSE = re.compile(
    r"regex parse error:\n    [^\n]*\n    ( *)\^+\nerror: ([a-z][^\n\"]*)$", re.MULTILINE
)
_SPOT = re.compile(r"(?:at )?(\d+)\((\d+)\): (unknown name)?")
_JSON, _REGEX = "JSON schema", "regular expression"
_NOUNS = {
    StructureKind.JSON_OBJECT: _JSON,
    StructureKind.JSON_SCHEMA: _JSON,
    StructureKind.REGEX: _REGEX,
    StructureKind.CHOICE: "list of choices",
    StructureKind.GRAMMAR: "grammar",
}


def refused(complaint: str, form: Form) -> InvalidRequest:
    """What to change, as far as it can be told."""
    reason = complaint.partition(_QUOTE)[0]
    tool, path = place(reason, form)
    at = f" (at {path})" if path else ""
    return InvalidRequest(
        f"{_sentence(reason, form)}{at}.", f"tools{tool}" if tool else blame(form)
    )


def blame(form: Form) -> str | None:
    """The field that is most likely at fault; None: the structure, wherever its sender put it."""
    return "tools" if not form.structure or form.must_call else None


def addressed(refusal: InvalidRequest, form: Form) -> InvalidRequest:
    """The same, to one of those who sent equal forms: with the field where it put the structure."""
    if refusal.param is None and form.structure:
        return InvalidRequest(refusal.message, form.structure.param)
    return refusal


def noun(form: Form) -> str:
    """What the caller calls it."""
    if not form.structure or form.must_call:
        return "tools' JSON schemas"
    return _NOUNS[form.structure.kind]


def _sentence(reason: str, form: Form) -> str:
    told = next((told for word, told in _SENTENCES if word in reason), None)
    if told:
        return told
    subject = noun(form)
    verb = "are" if subject.endswith("s") else "is"
    if found := _PARSE.search(reason):
        regex = f"The {_REGEX}" if subject == _REGEX else f"A {_REGEX} of the {subject}"
        return f"{regex} is not valid at character {len(found[1]) + 1}: {found[2]}"
    if subject == "grammar" and (spot := _SPOT.match(reason)):
        why = "it names what is not defined" if spot[3] else "what stands there is out of place"
        return f"The grammar is not valid at line {spot[1]}, column {spot[2]}: {why}"
    if "regex" in reason:
        return f"A {_REGEX} is not valid, or too complex to be enforced"
    return f"The {subject} {verb} not valid, too complex to be enforced, or nothing can satisfy it"
