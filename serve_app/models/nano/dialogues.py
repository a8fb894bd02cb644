"""Dialogues: what the model is trained on and asked, an endless seeded stream of them.

Held-out dialogues are told apart by their prompts: one prompt in `HELD_OUT_SHARE`, chosen by its
SHA-256, belongs to evaluation, and no training dialogue contains such a prompt at any turn.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from serve_app.messages import Message, Role
from serve_app.models.nano.tasks import LIGHT, TASKS
from serve_app.models.nano.tasks.exchange import Exchange
from serve_app.models.nano.template import render
from serve_app.models.nano.voice import LANGUAGES, Voice

HELD_OUT_SHARE = 32


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A conversation; `graded` is the index of the answer that evaluation compares."""

    task: str
    messages: tuple[Message, ...]
    graded: int

    @property
    def prompt(self) -> tuple[Message, ...]:
        return self.messages[: self.graded]

    @property
    def answer(self) -> str:
        return self.messages[self.graded].content


def training(persona: str, seed: str) -> Iterator[Dialogue]:
    """Dialogues without any held-out prompt, endless; the same seed gives the same."""
    rng = Random(seed)
    names = list(TASKS)
    weights = [TASKS[name].weight for name in names]
    while True:
        dialogue = compose(rng.choices(names, weights)[0], persona, rng)
        if not any(map(is_held_out, prompts(dialogue))):
            yield dialogue


def held_out(task: str, persona: str, seed: str) -> Iterator[Dialogue]:
    """Dialogues of one task whose graded prompt is held out, each prompt once."""
    rng = Random(f"held out {seed} {task}")
    seen = set[str]()
    while True:
        dialogue = compose(task, persona, rng)
        prompt = render(dialogue.prompt)
        if is_held_out(prompt) and prompt not in seen:
            seen.add(prompt)
            yield dialogue


def prompts(dialogue: Dialogue) -> Iterator[str]:
    """What the model sees before each of its answers."""
    for index, message in enumerate(dialogue.messages):
        if message.role is Role.ASSISTANT:
            yield render(dialogue.messages[:index])


def is_held_out(prompt: str) -> bool:
    """Whether the prompt belongs to evaluation, whoever drew it."""
    digest = hashlib.sha256(prompt.encode()).digest()
    return int.from_bytes(digest[:4], "big") % HELD_OUT_SHARE == 0


def compose(task: str, persona: str, rng: Random) -> Dialogue:
    """The task, sometimes after some lighter turns and under a system message."""
    voice = Voice(persona, rng.choice(LANGUAGES), rng)
    exchange = TASKS[task].make(voice)
    before = _lighter_turns(voice, exchange)
    system = _system(voice, exchange)
    messages = system + before + exchange.turns
    graded = len(system) + len(before) + exchange.graded % len(exchange.turns)
    return Dialogue(task, messages, graded)


def _lighter_turns(voice: Voice, exchange: Exchange) -> tuple[Message, ...]:
    if exchange.opens or voice.chance(0.6):
        return ()
    names = voice.rng.choices(LIGHT, k=voice.rng.randint(1, 3))
    other = Voice(voice.persona, voice.rng.choice(LANGUAGES), voice.rng)
    speaker = other if voice.chance(0.2) else voice
    return tuple(turn for name in names for turn in TASKS[name].make(speaker).turns)


def _system(voice: Voice, exchange: Exchange) -> tuple[Message, ...]:
    text = exchange.system
    if not text and voice.chance(0.2):
        text = voice.text("jumble") if voice.chance(0.2) else voice.phrase("system")
    return (Message(Role.SYSTEM, text),) if text else ()
