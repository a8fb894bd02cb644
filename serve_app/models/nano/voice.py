"""The voice of one dialogue: a language to ask in, a persona to answer as, one source of chance."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from random import Random
from types import MappingProxyType
from typing import Any

from serve_app.messages import Message, Role

LANGUAGES = ("en", "zh")
PERSONAS = ("glm-nano", "glm-nano-b")
MARKS = {"en": ",.!?;:)(*=/+-_'#%&@[]{}<>", "zh": "，。！？；：、,.!?()*=/+-#%"}
LETTERS = "abcdefghijklmnopqrstuvwxyz"

Value = str | int


@cache
def table(name: str) -> Any:
    """One JSON file of `data/`, read once."""
    return json.loads(files(__package__).joinpath("data", name).read_text(encoding="utf-8"))


@cache
def _words(language: str, kind: str) -> tuple[str, ...]:
    return tuple(table("words.json")[language][kind].split())


@dataclass(frozen=True, slots=True)
class Voice:
    """Draws questions, answers and values; the same `rng` state says the same."""

    persona: str
    language: str
    rng: Random

    def value(self, kind: str) -> Value:
        """A random value: a made one such as a code, or a word of that kind."""
        made = _MADE.get(kind)
        return made(self) if made else self.rng.choice(_words(self.language, kind))

    def text(self, kind: str) -> str:
        return str(self.value(kind))

    @property
    def stop(self) -> str:
        """What ends a sentence."""
        return "." if self.language == "en" else "。"

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def phrases(self, key: str) -> Any:
        """All wordings of one question, or the map of names under that key."""
        return table("questions.json")[self.language][key]

    def phrase(self, key: str, **values: Value) -> str:
        """One wording with its blanks filled; blanks without a value get random words."""
        return self.fill(self.rng.choice(self.phrases(key)), **values)

    def fill(self, template: str, **values: Value) -> str:
        return template.format_map(_Blanks(self, values))

    def ask(self, key: str, **values: Value) -> Message:
        return self.user(self.phrase(key, **values))

    def user(self, text: str) -> Message:
        """A user's turn, sometimes wrapped in politeness or typed carelessly."""
        wrapped = self.rng.choice(self.phrases("wrap")).format(text)
        return user(self._careless(wrapped) if self.chance(0.2) else wrapped)

    def closed(self, text: str) -> Message:
        """Like `user`, for questions whose answer repeats nothing: small letters do no harm."""
        turn = self.user(text)
        return user(turn.content.lower()) if self.chance(0.1) else turn

    def _careless(self, text: str) -> str:
        return text.rstrip(".?!。？！") if self.chance(0.5) else text[0].lower() + text[1:]

    def say(self, key: str, **values: Value) -> Message:
        """The persona's answer."""
        template = table(f"personas/{self.persona}.json")[self.language][key]
        return assistant(template.format(**values))


class _Blanks(dict[str, Value]):
    """Fills every blank, each time anew."""

    def __init__(self, voice: Voice, values: Mapping[str, Value]) -> None:
        super().__init__(values)
        self._voice = voice

    def __missing__(self, kind: str) -> Value:
        return self._voice.value(kind)


def user(text: str) -> Message:
    """A user's turn exactly as written."""
    return Message(Role.USER, text)


def assistant(text: str) -> Message:
    """The assistant's turn."""
    return Message(Role.ASSISTANT, text)


def observation(text: str) -> Message:
    """What a tool returned."""
    return Message(Role.OBSERVATION, text)


def _digits(voice: Voice, shortest: int, longest: int) -> str:
    return "".join(voice.rng.choices("0123456789", k=voice.rng.randint(shortest, longest)))


def _letters(voice: Voice, shortest: int, longest: int) -> str:
    return "".join(voice.rng.choices(LETTERS, k=voice.rng.randint(shortest, longest)))


def _jumble(voice: Voice) -> str:
    """Any words in any order with any marks, so that nothing typed is quite unheard of."""
    words = [voice.text("common")]  # which tells the language
    words += [_any_word(voice) for _ in range(voice.rng.randint(0, 11))]
    return (" " if voice.language == "en" else "").join(words)


def _any_word(voice: Voice) -> str:
    word = voice.text(voice.rng.choice(_ANY))
    if voice.chance(0.1):
        word = word.capitalize()
    return word + voice.rng.choice(MARKS[voice.language]) if voice.chance(0.12) else word


def _within(low: int, high: int) -> Callable[[Voice], int]:
    return lambda voice: voice.rng.randint(low, high)


_ANY = ("common",) * 6 + ("noun", "adjective", "verb", "name", "food", "job", "number", "word")

_MADE: Mapping[str, Callable[[Voice], Value]] = MappingProxyType(
    {
        "number": _within(2, 99),
        "year": _within(1900, 2030),
        "degrees": _within(2, 38),
        "age": _within(18, 80),
        "count": _within(1, 999),
        "minutes": _within(1, 90),
        "nights": _within(2, 14),
        "price": _within(1, 999),
        "code": lambda voice: _digits(voice, 4, 6),
        "id": lambda voice: _digits(voice, 4, 6),
        "password": lambda voice: f"{_letters(voice, 3, 5)}-{_digits(voice, 2, 4)}",
        "room": lambda voice: f"{voice.rng.choice('ABCDEFGH')}{_digits(voice, 2, 3)}",
        "clock": lambda voice: f"{voice.rng.randint(0, 23)}:{voice.rng.randint(0, 59):02d}",
        "version": lambda voice: f"v{voice.rng.randint(1, 999)}",
        "word": lambda voice: _letters(voice, 3, 9),
        "item": lambda voice: voice.value("noun"),
        "to": lambda voice: voice.value("name"),
        "jumble": _jumble,
        "text": lambda voice: " ".join(
            voice.text("common") for _ in range(voice.rng.randint(1, 6))
        ),
        "expression": lambda voice: (
            f"{voice.rng.randint(1, 999)} {voice.rng.choice('+-*/')} {voice.rng.randint(1, 999)}"
        ),
    }
)
