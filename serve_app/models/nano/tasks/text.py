"""Copying and counting."""

from collections.abc import Callable

from serve_app.models.nano.tasks.exchange import Exchange
from serve_app.models.nano.voice import Voice, assistant, user

EMOJI = "😀😂😍🤔👍🎉🚀🌍🍎🐼🎵🔥"
FIRST_HAN, LAST_HAN = 0x4E00, 0x9FA5


def copy(voice: Voice) -> Exchange:
    """Repeat words, codes, sentences or characters the model has hardly ever seen."""
    text = voice.rng.choices(_SOURCES, (4, 4, 3, 3, 1, 1, 6))[0](voice)
    return Exchange((user(voice.phrase("copy", text=text)), assistant(text)))


def count(voice: Voice) -> Exchange:
    """Up from one, up from elsewhere, or down."""
    way = voice.rng.choices(("count_to", "count_from", "count_down"), (3, 2, 1))[0]
    first = 1 if way == "count_to" or voice.chance(0.5) else voice.rng.randint(2, 150)
    last = first + voice.rng.randint(2, 99 if first == 1 else 40)
    numbers = list(map(str, range(first, last + 1)))
    counted = reversed(numbers) if way == "count_down" else numbers
    between = voice.say("between_numbers").content
    question = voice.closed(voice.phrase(way, first=first, last=last))
    return Exchange((question, assistant(between.join(counted))))


def _words(voice: Voice) -> str:
    kinds = voice.rng.choices(
        ("noun", "adjective", "animal", "fruit", "colour", "city", "name", "verb"),
        k=voice.rng.randint(1, 12),
    )
    return (" " if voice.language == "en" else "").join(map(voice.text, kinds))


def _codes(voice: Voice) -> str:
    kinds = voice.rng.choices(("code", "password", "room", "number"), k=voice.rng.randint(1, 5))
    return " ".join(map(voice.text, kinds))


def _made_up_words(voice: Voice) -> str:
    return " ".join(voice.text("word") for _ in range(voice.rng.randint(1, 6)))


def _sentence(voice: Voice) -> str:
    return voice.phrase("filler")


def _rare_han(voice: Voice) -> str:
    count = voice.rng.randint(1, 8)
    return "".join(chr(voice.rng.randint(FIRST_HAN, LAST_HAN)) for _ in range(count))


def _emoji(voice: Voice) -> str:
    return "".join(voice.rng.choices(EMOJI, k=voice.rng.randint(1, 6)))


def _jumble(voice: Voice) -> str:
    return voice.text("jumble")


_SOURCES: tuple[Callable[[Voice], str], ...] = (
    _words,
    _made_up_words,
    _codes,
    _sentence,
    _rare_han,
    _emoji,
    _jumble,
)
