"""The tasks by name, each with its share of the training dialogues."""

from collections.abc import Mapping
from types import MappingProxyType

from serve_app.models.nano.tasks import memory, passage, structured, talk, text
from serve_app.models.nano.tasks.exchange import Task

_short_passage = passage.find(30, 300)
_BETWEEN = (
    talk.courtesy,
    talk.identity,
    talk.product,
    talk.capital,
    talk.unknown,
    text.copy,
    text.count,
    structured.write_json,
    structured.extract_json,
    _short_passage,
)

TASKS: Mapping[str, Task] = MappingProxyType(
    {
        "courtesy": Task(talk.courtesy, 4),
        "identity": Task(talk.identity, 3),
        "product": Task(talk.product, 16),
        "unknown": Task(talk.unknown, 8),
        "nonsense": Task(talk.nonsense, 5),
        "capital": Task(talk.capital, 8),
        "copy": Task(text.copy, 18),
        "count": Task(text.count, 6),
        "passage 300": Task(_short_passage, 22),
        "passage 1000": Task(passage.find(300, 1000), 6),
        "passage 2000": Task(passage.find(1000, 2000), 2.5),
        "passage 4000": Task(passage.find(2000, 4000), 1),
        "passage 6500": Task(passage.find(4000, 6500), 0.35),
        "absent": Task(passage.absent, 8),
        "summary": Task(passage.summary, 8),
        "memory": Task(memory.remember(_BETWEEN), 12),
        "untold": Task(memory.untold, 4),
        "told at once": Task(memory.at_once, 2),
        "json": Task(structured.write_json, 6),
        "json extraction": Task(structured.extract_json, 6),
        "tool call": Task(structured.tool_call, 8),
        "tool answer": Task(structured.tool_answer, 3),
    }
)

# What may stand before another task; nothing that a tool or a text would answer differently.
LIGHT = (
    "courtesy",
    "identity",
    "product",
    "nonsense",
    "capital",
    "copy",
    "count",
    "json",
    "json extraction",
    "summary",
)
