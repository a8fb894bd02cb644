"""Things told some turns ago and asked for later."""

from collections.abc import Sequence

from serve_app.messages import Message
from serve_app.models.nano.tasks.exchange import Exchange, Make
from serve_app.models.nano.voice import Voice, user

SUBJECTS = ("name", "city", "colour", "animal")


def remember(between: Sequence[Make]) -> Make:
    """Tell up to four things, talk of something else, ask for one or all of them."""

    def make(voice: Voice) -> Exchange:
        subjects = voice.rng.sample(SUBJECTS, voice.rng.randint(1, len(SUBJECTS)))
        told = {subject: voice.text(subject) for subject in subjects}
        turns = [turn for subject in subjects for turn in _tell(voice, subject, told[subject])]
        for other in voice.rng.choices(between, k=voice.rng.randint(0, 4)):
            turns += other(voice).turns
        voice.rng.shuffle(subjects)
        asked = subjects[: voice.rng.randint(1, len(subjects))]
        turns += [turn for subject in asked for turn in _recall(voice, subject, told[subject])]
        return Exchange(tuple(turns), opens=True)

    return make


def untold(voice: Voice) -> Exchange:
    """Asked before anything was told."""
    subject = voice.rng.choice(SUBJECTS)
    return Exchange((voice.ask(f"ask_{subject}"), voice.say(f"{subject}_untold")))


def at_once(voice: Voice) -> Exchange:
    """Told and asked in one turn."""
    subject = voice.rng.choice(SUBJECTS)
    blank = {subject: voice.value(subject)}
    between = " " if voice.language == "en" else ""
    question = voice.phrase(f"tell_{subject}", **blank) + between + voice.phrase(f"ask_{subject}")
    return Exchange((user(question), voice.say(f"{subject}_recalled", **blank)))


def _tell(voice: Voice, subject: str, value: str) -> tuple[Message, Message]:
    blank = {subject: value}
    return voice.ask(f"tell_{subject}", **blank), voice.say(f"{subject}_told", **blank)


def _recall(voice: Voice, subject: str, value: str) -> tuple[Message, Message]:
    return voice.ask(f"ask_{subject}"), voice.say(f"{subject}_recalled", **{subject: value})
