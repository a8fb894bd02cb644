"""Golden sets: questions with their right answers, one a line.

ci/golden/README.md has the format.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from k8s.errors import BadGolden

_MAX_TOKENS: Final = 256


@dataclass(frozen=True, slots=True)
class Question:
    """One line. `references` are good answers; `expect` says what an answer must be."""

    id: str
    language: str
    task: str
    messages: tuple[dict[str, Any], ...]
    tools: tuple[dict[str, Any], ...] = ()
    references: tuple[str, ...] = ()
    expect: dict[str, Any] = field(default_factory=dict)
    max_tokens: int = _MAX_TOKENS

    def body(self) -> dict[str, Any]:
        """Of the request: the likeliest answer, the same every time."""
        tools = {"tools": list(self.tools)} if self.tools else {}
        return {
            "messages": list(self.messages),
            "max_tokens": self.max_tokens,
            "temperature": 0,
            "seed": 0,
            **tools,
        }


def read(paths: Iterable[Path]) -> tuple[Question, ...]:
    """All files as one set; raises BadGolden at the first line that is not one."""
    questions = tuple(question for path in paths for question in _lines(path))
    seen = set[str]()
    for each in questions:
        if each.id in seen:
            raise BadGolden(f"two questions are called {each.id}")
        seen.add(each.id)
    if not questions:
        raise BadGolden("the golden sets are empty")
    return questions


def digest(questions: Iterable[Question]) -> str:
    """Of everything that is asked and expected."""
    whole = [[each.id, each.body(), each.references, each.expect] for each in questions]
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def _lines(path: Path) -> Iterator[Question]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise BadGolden(f"{path} cannot be read: {error.strerror}") from error
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                yield _question(json.loads(line))
            except (ValueError, TypeError, KeyError) as error:
                raise BadGolden(f"{path.name}, line {number}: {error}") from error


def _question(plain: dict[str, Any]) -> Question:
    question = Question(
        id=plain.pop("id"),
        language=plain.pop("language"),
        task=plain.pop("task"),
        messages=tuple(plain.pop("messages")),
        tools=tuple(plain.pop("tools", ())),
        references=tuple(plain.pop("references", ())),
        expect=plain.pop("expect", {}),
        max_tokens=plain.pop("max_tokens", _MAX_TOKENS),
    )
    if plain:
        raise ValueError(f"unknown field {', '.join(plain)}")
    if bool(question.references) == bool(question.expect):
        raise ValueError("exactly one of references and expect says what is right")
    return question
