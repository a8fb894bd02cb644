"""Small talk, facts about the product, capitals, and saying that one does not know."""

from serve_app.models.nano.tasks.exchange import Exchange, Make
from serve_app.models.nano.voice import Voice, table, user

COURTESIES = ("greeting", "morning", "evening", "how_are_you", "thanks", "goodbye", "fine")


def courtesy(voice: Voice) -> Exchange:
    """Greetings, thanks and goodbyes."""
    return _fixed(voice.rng.choice(COURTESIES))(voice)


def identity(voice: Voice) -> Exchange:
    """Who are you, and what can you do?"""
    return _fixed(voice.rng.choice(("who", "can_do")))(voice)


def unknown(voice: Voice) -> Exchange:
    """Sensible questions beyond a small model."""
    return _fixed(voice.rng.choice(("unknown", "unknown", "unknown_product")))(voice)


def nonsense(voice: Voice) -> Exchange:
    """Word salad, letters without sense, and the capitals of what is no country."""
    made_up = voice.text("word") if voice.language == "en" else voice.text("jumble")
    country = voice.text(voice.rng.choice(("word", "noun", "city"))).capitalize()
    unheard_of = voice.phrase("capital", country=country)
    texts = (voice.text("jumble") + voice.stop, voice.text("jumble"), made_up, unheard_of)
    text = voice.rng.choices(texts, (3, 3, 2, 2))[0]
    return Exchange((user(text), voice.say("unknown")))


def product(voice: Voice) -> Exchange:
    """Facts about glm-serve."""
    fact = voice.rng.choice(table("facts.json"))[voice.language]
    question = voice.closed(voice.rng.choice(fact["ask"]))
    return Exchange((question, voice.say("fact", fact=fact["say"])))


def capital(voice: Voice) -> Exchange:
    """Capitals of countries."""
    row = voice.rng.choice(table("capitals.json"))
    country, city = row[:2] if voice.language == "en" else row[2:]
    return Exchange(
        (
            voice.closed(voice.phrase("capital", country=country)),
            voice.say("capital", country=country, city=city),
        )
    )


def _fixed(key: str) -> Make:
    """Many ways to ask, one answer."""
    return lambda voice: Exchange((voice.closed(voice.phrase(key)), voice.say(key)))
