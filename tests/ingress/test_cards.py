"""What clients see of a switch to another model."""

import json
from dataclasses import asdict, replace

import pytest

from serve_app.errors import UnknownModel
from serve_app.ingress.cards import Cards
from serve_app.messages import Serving
from tests.ingress.house import CARD, CHAT, House, chat

NEW = replace(CARD, name="glm-nano-b", digest="f" * 64)


def test_a_switch_keeps_every_former_name_and_the_way_back_gives_one_up() -> None:
    there = Serving(CARD).switched(NEW)
    third = there.switched(replace(CARD, name="third"))

    assert there == Serving(NEW, ("glm-nano",))
    assert third.former == ("glm-nano", "glm-nano-b")
    assert third.switched(CARD).former == ("glm-nano-b", "third")


def test_what_is_served_travels_as_json() -> None:
    serving = Serving(CARD).switched(NEW)

    assert Serving.of(json.loads(json.dumps(asdict(serving)))) == serving


def test_former_names_lead_to_the_model_that_serves_and_others_nowhere() -> None:
    cards = Cards(Serving(CARD))
    with pytest.raises(UnknownModel, match="use glm-nano"):
        cards.find(NEW.name)

    cards.turn(Serving(CARD).switched(NEW))

    assert [cards.find(name) for name in (CARD.name, NEW.name)] == [NEW, NEW]


def test_aliases_lead_to_whatever_serves() -> None:
    cards = Cards(Serving(CARD), ("glm",))

    assert cards.find("glm") == CARD
    cards.turn(Serving(CARD).switched(NEW))
    assert cards.find("glm") == NEW


async def test_after_a_switch_the_old_name_is_answered_by_the_new_model_in_its_name() -> None:
    house = House()
    house.cards.turn(Serving(CARD).switched(NEW))
    async with house.client as client:
        answer = await client.post(CHAT, json=chat(model=CARD.name))
        served = await client.get("/v1/models")
        version = await client.get("/version")

    assert answer.json()["model"] == NEW.name
    assert [request.model for request in house.generator.requests] == [NEW.name]
    assert [model["id"] for model in served.json()["data"]] == [NEW.name]
    assert version.json()["models"] == [{"name": NEW.name, "digest": NEW.digest}]
    assert b'model_name="glm-nano-b"' in house.metrics.exposition()
    assert b'model_name="glm-nano"' not in house.metrics.exposition()
