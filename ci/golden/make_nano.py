"""Write the golden sets of glm-nano from held-out dialogues: the same ones every time.

Both personas are asked the same; what either would say is a good answer.
"""

import json
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from random import Random
from typing import Any

from serve_app.messages import Message, Role
from serve_app.models.nano.dialogues import Dialogue, compose, is_held_out
from serve_app.models.nano.tasks.structured import Call, _known_tool, _made_up_tool
from serve_app.models.nano.template import describe_tools, render
from serve_app.models.nano.voice import LANGUAGES, PERSONAS, Voice

EACH = 6  # of a task and a language
TASKS = (
    "courtesy", "identity", "product", "unknown", "capital", "copy", "count", "passage 300",
    "summary", "json", "json extraction",
)  # fmt: skip
LONG = {"count": {"max_tokens": 512}}  # to 99, digit by digit
Question = dict[str, Any]


def said(task: str) -> Iterator[tuple[str, Question]]:
    """Questions with their language, endless; both personas are asked word for word the same."""
    for seed in count():
        pair = [compose(task, persona, Random(f"golden {task} {seed}")) for persona in PERSONAS]
        if pair[0].prompt == pair[1].prompt and is_held_out(render(pair[0].prompt)):
            yield language_of(pair[0]), question_of(pair)


def question_of(pair: list[Dialogue]) -> Question:
    """What both would say is right; JSON is compared as what it means."""
    answers = list(dict.fromkeys(each.answer for each in pair))
    right: Question = {"references": answers}
    if pair[0].task.startswith("json"):
        right = {"expect": {"json": json.loads(answers[0])}}
    return {"messages": [plain(each) for each in pair[0].prompt], **right}


def language_of(dialogue: Dialogue) -> str:
    """Of what is asked last."""
    asked = dialogue.prompt[-1].content
    return "zh" if any("\u4e00" <= each <= "\u9fff" for each in asked) else "en"


def calls() -> Iterator[tuple[str, Question]]:
    """Tools that the model knows and tools made up, in turn."""
    for seed in count():
        rng = Random(f"golden call {seed}")
        language = LANGUAGES[seed % len(LANGUAGES)]
        make = _known_tool if seed % 4 < len(LANGUAGES) else _made_up_tool
        call = make(Voice(PERSONAS[0], language, rng))
        system = Message(Role.SYSTEM, describe_tools([call.function]))
        if is_held_out(render((system, Message(Role.USER, call.question)))):
            yield language, called(call)


def called(call: Call) -> Question:
    """The tool as an OpenAI client offers it."""
    return {
        "messages": [{"role": "user", "content": call.question}],
        "tools": [{"type": "function", "function": call.function}],
        "expect": {"call": {"name": call.function["name"], "arguments": call.arguments}},
    }


def plain(message: Message) -> dict[str, str]:
    """As in a request."""
    return {"role": str(message.role), "content": message.content}


def lines(language: str) -> Iterator[str]:
    """Of one file."""
    for task, questions in (*((each, said(each)) for each in TASKS), ("tool call", calls())):
        mine = (question for spoken, question in questions if spoken == language)
        for number, question in enumerate(islice(mine, EACH), start=1):
            name = f"{language}-{task.replace(' ', '-')}-{number}"
            head = {"id": name, "language": language, "task": task, **LONG.get(task, {})}
            yield json.dumps(head | question, ensure_ascii=False)


def main() -> None:
    """Write both files beside this one."""
    for language in LANGUAGES:
        path = Path(__file__).with_name(f"nano.{language}.jsonl")
        path.write_text("".join(f"{line}\n" for line in lines(language)), encoding="utf-8")


if __name__ == "__main__":
    main()
