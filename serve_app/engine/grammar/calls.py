"""The grammar of tool calls, in the spelling of a family of models."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum, auto

from serve_app.engine.grammar import lark, schema, tagged
from serve_app.engine.grammar.form import Form, Headed, Tagged
from serve_app.engine.grammar.loosening import loosen, strip
from serve_app.engine.grammar.schema import Schema, Unenforceable
from serve_app.messages import Tool

MOST_CALLS = 32  # in one answer: a model that repeats itself comes to an end


class Hold(Enum):
    """How closely arguments are held to the schema of a tool that is not strict."""

    FREE = auto()  # any object
    BARE = auto()  # types, names and values
    CLOSE = auto()  # all that can be enforced


_LOOSENED: Mapping[Hold, Callable[[Schema], None]] = {Hold.BARE: strip, Hold.CLOSE: loosen}


def calls_grammar(form: Form, hold: Hold) -> Iterator[str]:
    """Yield rules, among them `calls` and `speech`, which is any text that is no call.

    Unenforceable says what to change.
    """
    tools = _admitted(form)
    schemas = [_schema(form.tools.index(tool), tool, hold) for tool in tools]
    most = MOST_CALLS if form.choice.parallel and not form.choice.name else 1
    match form.spelling:
        case Headed() as headed:
            yield from _headed(headed, tools, schemas, most)
            names = [tool.name for tool in form.tools]
            yield f"speech: SPEECH\nSPEECH: {lark.free_of(_heads(names))}"
        case Tagged() as marks:
            yield from tagged.rules(marks, tools, schemas, most)
        case None:
            raise Unenforceable(
                "This model cannot be held to its tools: use tool_choice auto, with all of them."
            )


def _admitted(form: Form) -> Sequence[Tool]:
    tools = [tool for tool in form.tools if form.choice.admits(tool.name)]
    if not tools:
        raise Unenforceable("tool_choice asks for a tool that is not among the tools.")
    return tools


def _schema(number: int, tool: Tool, hold: Hold) -> Schema | None:
    """None: no more is known than that arguments are an object."""
    if hold is Hold.FREE and not tool.strict:
        return None
    place = f"[{number}].function.parameters"
    try:
        known = schema.read(tool.parameters or "{}", None if tool.strict else _LOOSENED[hold])
    except Unenforceable as error:
        raise Unenforceable(str(error), place) from None
    if known.get("type", "object") != "object":
        raise Unenforceable("The parameters of a tool must be of type object.", place)
    return {"type": "object", **known} if known.keys() - {"type"} else None


def _headed(
    spelling: Headed, tools: Sequence[Tool], schemas: Sequence[Schema | None], most: int
) -> Iterator[str]:
    names = [tool.name for tool in tools]
    again = "" if spelling.again is None else lark.part(spelling.again)
    yield f"calls: call {lark.at_most(most - 1 if again else 0, f'{again} call')}"
    yield "call: " + " | ".join(f"call_{number}" for number in range(len(tools)))
    for number, (name, known) in enumerate(zip(names, schemas, strict=True)):
        yield f"call_{number}: NAME_{number} arguments_{number}"
        yield f"NAME_{number}: MARGIN {lark.literal(name)} /\\n/"
        body = lark.FREE_OBJECT if known is None else f"%json {schema.written(known)}"
        yield f"arguments_{number}: {body}"


def _heads(names: Sequence[str]) -> str:
    """What would be read as a call, however spaced."""
    return rf"/\s{{0,16}}/ {lark.either(names)} /\n\s{{0,16}}\{{/ {lark.ANYTHING}"
