"""JSON on request and tool calls in GLM-4's format."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from serve_app.messages import Message
from serve_app.models.nano.tasks.exchange import Exchange
from serve_app.models.nano.template import call, describe_tools
from serve_app.models.nano.voice import Value, Voice, assistant, observation, table, user

PERSON = ("name", "age", "city", "job")


def write_json(voice: Voice) -> Exchange:
    """Put the given pairs into a JSON object."""
    fields = voice.phrases("fields")
    kinds = voice.rng.sample(list(fields), voice.rng.randint(1, 4))
    values = {fields[kind]: voice.value(kind) for kind in kinds}
    question = voice.ask("json", pairs=_pairs(voice, values))
    return Exchange((question, assistant(json.dumps(values, ensure_ascii=False))))


def extract_json(voice: Voice) -> Exchange:
    """Find the asked fields of a person in a sentence."""
    values = {kind: voice.value(kind) for kind in PERSON}
    kinds = voice.rng.sample(PERSON, voice.rng.randint(1, len(PERSON)))
    names = [voice.phrases("fields")[kind] for kind in kinds]
    found = dict(zip(names, (values[kind] for kind in kinds), strict=True))
    person = voice.phrase("person", **values)
    question = voice.phrase("json_extract", person=person, keys=_list(voice, names))
    return Exchange((user(question), assistant(json.dumps(found, ensure_ascii=False))))


@dataclass(frozen=True, slots=True)
class Call:
    """One use of a tool: its schema, what is asked, and what comes of it."""

    function: dict[str, Any]
    question: str
    arguments: dict[str, Value]
    result: dict[str, Value]
    answer: Message


def tool_call(voice: Voice) -> Exchange:
    """Graded is the call."""
    return _use(voice, graded=1)


def tool_answer(voice: Voice) -> Exchange:
    """Graded is the answer made of what the tool returned."""
    return _use(voice, graded=3)


def _use(voice: Voice, graded: int) -> Exchange:
    use = _known_tool(voice) if voice.chance(0.6) else _made_up_tool(voice)
    turns = (
        voice.user(use.question),
        assistant(call(use.function["name"], use.arguments)),
        observation(json.dumps(use.result, ensure_ascii=False)),
        use.answer,
    )
    return Exchange(turns, graded=graded, system=_offer(voice, use))


def _offer(voice: Voice, use: Call) -> str:
    """The tool needed among up to two others."""
    known = [_schema(voice, row) for row in table("tools.json")]
    others = [each for each in known if each["name"] != use.function["name"]]
    offered = [use.function, *voice.rng.sample(others, voice.rng.randint(0, 2))]
    voice.rng.shuffle(offered)
    return describe_tools(offered)


def _known_tool(voice: Voice) -> Call:
    row = voice.rng.choice(table("tools.json"))
    arguments = {name: voice.value(name) for name in row["parameters"]}
    result = {name: voice.value(kind) for name, kind in row["result"].items()}
    words = row[voice.language]
    answer = words["say"].format(**arguments, **result)
    question = voice.rng.choice(words["ask"]).format(**arguments)
    return Call(_schema(voice, row), question, arguments, result, voice.say("tool", answer=answer))


def _made_up_tool(voice: Voice) -> Call:
    """A tool never seen before, called by its name, so that any client's tool has a chance."""
    name = f"{voice.text('word')}_{voice.text('word')}"
    kinds = {voice.text("word"): voice.rng.choice(("noun", "count", "code", "city"))}
    if voice.chance(0.4):
        kinds[voice.text("word")] = "word"
    arguments = {key: voice.value(kind) for key, kind in kinds.items()}
    types = {key: _type(value) for key, value in arguments.items()}
    question = voice.phrase("call", tool=name, pairs=_pairs(voice, arguments))
    result = voice.value(voice.rng.choice(("noun", "count", "word", "city")))
    function = _function(name, voice.phrase("call_about"), types)
    return Call(
        function, question, arguments, {"result": result}, voice.say("called", result=result)
    )


def _type(value: Value) -> str:
    return "integer" if isinstance(value, int) else "string"


def _schema(voice: Voice, row: dict[str, Any]) -> dict[str, Any]:
    return _function(row["name"], row[voice.language]["description"], row["parameters"])


def _function(name: str, description: str, types: dict[str, str]) -> dict[str, Any]:
    properties = {key: {"type": type_} for key, type_ in types.items()}
    parameters = {"type": "object", "properties": properties, "required": list(types)}
    return {"name": name, "description": description, "parameters": parameters}


def _pairs(voice: Voice, values: dict[str, Value]) -> str:
    form = voice.rng.choice(voice.phrases("pair"))
    return _list(voice, (form.format(key=key, value=value) for key, value in values.items()))


def _list(voice: Voice, items: Iterable[str]) -> str:
    comma, conjunction = voice.phrases("and")
    *before, last = items
    return comma.join(before) + conjunction + last if before else last
