"""Texts of random sentences with facts among them: find one, or sum up the point."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from serve_app.messages import Message
from serve_app.models.nano.tasks.exchange import Exchange, Make
from serve_app.models.nano.voice import Voice, assistant, user

KINDS = ("noun", "code", "city", "word", "number", "colour")  # of values of any attribute
TOKENS_PER_CHARACTER = {"en": 0.28, "zh": 0.65}  # of this vocabulary, measured
MOST_FACTS = 40
LONG = 1000  # tokens; longer texts are asked more, so that reading them teaches more
QUESTIONS, QUESTIONS_IF_LONG = (1, 8), (4, 16)


@dataclass(frozen=True, slots=True)
class Fact:
    """`names` are ways to say one topic, such as "the code of Ann" and "Ann's code"."""

    names: tuple[str, ...]
    value: str


def find(shortest: int, longest: int) -> Make:
    """Questions about a text of so many tokens."""
    return partial(_find, shortest=shortest, longest=longest)


def absent(voice: Voice) -> Exchange:
    """A question to which a short text has no answer."""
    facts = _facts(voice, voice.rng.randint(3, 8))
    missing, told = facts[0], facts[1:]
    return _ask_about(voice, _passage(voice, told, 200), (missing,), told)


def summary(voice: Voice) -> Exchange:
    """The sentence that says it is the point; without one, the first sentence."""
    clause = voice.phrase("clause")
    sentences = [_filler(voice) for _ in range(voice.rng.randint(2, 14))]
    if voice.chance(0.2):
        sentences.insert(0, f"{clause}{voice.stop}")
    else:
        point = voice.phrase("point", clause=clause)
        sentences.insert(voice.rng.randint(0, len(sentences)), point)
    question = user(voice.phrase("summarise", passage=_join(voice, sentences)))
    return Exchange((question, voice.say("point", clause=clause)))


def _find(voice: Voice, shortest: int, longest: int) -> Exchange:
    tokens = math.exp(voice.rng.uniform(math.log(shortest), math.log(longest)))
    facts = _facts(voice, min(MOST_FACTS, 2 + int(tokens / 40)))
    few, many = QUESTIONS_IF_LONG if tokens > LONG else QUESTIONS
    asked = voice.rng.sample(facts, min(len(facts), voice.rng.randint(few, many)))
    return _ask_about(voice, _passage(voice, facts, tokens), tuple(asked), facts)


def _facts(voice: Voice, count: int) -> list[Fact]:
    """Facts about fewer owners than facts, so that neither owner nor attribute tells alone."""
    owners = [_owner(voice) for _ in range(1 + count // 2)]
    drawn = dict(_topic(voice, owners) for _ in range(count))
    return [Fact(names, voice.text(kind)) for names, kind in drawn.items()]


def _topic(voice: Voice, owners: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """The names of a topic and the kind of its value."""
    kind, attribute = voice.rng.choice(list(voice.phrases("attributes").items()))
    if voice.chance(0.3):
        kind, attribute = voice.rng.choice(KINDS), voice.text("noun")
    if voice.chance(0.15):
        return (voice.phrase("single", attribute=attribute),), kind
    owner = voice.rng.choice(owners)
    return tuple(
        voice.fill(each, attribute=attribute, owner=owner) for each in voice.phrases("owned")
    ), kind


def _owner(voice: Voice) -> str:
    return voice.text("name") if voice.chance(0.6) else voice.phrase("thing")


def _filler(voice: Voice) -> str:
    return f"{voice.text('jumble')}{voice.stop}" if voice.chance(0.1) else voice.phrase("filler")


def _passage(voice: Voice, facts: list[Fact], tokens: float) -> str:
    sentences = [_statement(voice, fact) for fact in facts]
    length = tokens / TOKENS_PER_CHARACTER[voice.language] - sum(map(len, sentences))
    while length > 0:
        sentences.append(_filler(voice))
        length -= len(sentences[-1])
    voice.rng.shuffle(sentences)
    return _join(voice, sentences)


def _join(voice: Voice, sentences: list[str]) -> str:
    between = " " if voice.language == "en" else ""
    lines = voice.rng.randint(5, 12)
    paragraphs = [sentences[at : at + lines] for at in range(0, len(sentences), lines)]
    return "\n\n".join(between.join(each) for each in paragraphs)


def _statement(voice: Voice, fact: Fact) -> str:
    return _first_upper(
        voice.phrase("statement", topic=voice.rng.choice(fact.names), value=fact.value)
    )


def _first_upper(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


def _question(voice: Voice, fact: Fact, told: list[Fact]) -> tuple[str, Message]:
    """The question and its answer."""
    question = voice.phrase("question", topic=voice.rng.choice(fact.names))
    if fact not in told:
        return question, voice.say("absent")
    if voice.chance(0.2):
        return voice.phrase("value_only", question=question), assistant(fact.value)
    found = voice.say("found", topic=fact.names[0], value=fact.value).content
    return question, assistant(_first_upper(found))


def _ask_about(voice: Voice, passage: str, asked: tuple[Fact, ...], told: list[Fact]) -> Exchange:
    """The text stands with the first question, in the system message, or in a turn of its own."""
    pairs = [_question(voice, fact, told) for fact in asked]
    place = voice.rng.choices(("frame", "frame_system", "frame_first"), (2, 1, 1))[0]
    if place == "frame":
        first, *rest = pairs
        framed = voice.phrase("frame", passage=passage, question=first[0])
        return Exchange((user(framed), first[1], *_turns(rest)))
    if place == "frame_system":
        return Exchange(_turns(pairs), system=voice.phrase(place, passage=passage))
    opening = (user(voice.phrase(place, passage=passage)), voice.say("text_read"))
    return Exchange(opening + _turns(pairs))


def _turns(pairs: list[tuple[str, Message]]) -> tuple[Message, ...]:
    return tuple(turn for question, answer in pairs for turn in (user(question), answer))
