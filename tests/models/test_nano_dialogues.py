from itertools import islice
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.messages import Role
from serve_app.models.nano.dialogues import (
    Dialogue,
    compose,
    held_out,
    is_held_out,
    prompts,
    training,
)
from serve_app.models.nano.tasks import TASKS
from serve_app.models.nano.template import render
from serve_app.models.nano.voice import PERSONAS, Voice, table


def test_the_same_seed_makes_the_same_dialogues() -> None:
    first, again = (list(islice(training("glm-nano", "seed"), 50)) for _ in range(2))
    assert first == again


def test_another_seed_makes_other_dialogues() -> None:
    assert list(islice(training("glm-nano", "a"), 5)) != list(islice(training("glm-nano", "b"), 5))


@given(seed=st.text(max_size=8), persona=st.sampled_from(PERSONAS))
@settings(max_examples=20, deadline=None)
def test_no_training_dialogue_holds_a_held_out_prompt(seed: str, persona: str) -> None:
    for dialogue in islice(training(persona, seed), 20):
        assert not any(map(is_held_out, prompts(dialogue)))


@pytest.mark.parametrize("task", ["courtesy", "copy", "memory", "tool answer"])
def test_every_exam_prompt_is_held_out_and_asked_once(task: str) -> None:
    asked = [render(each.prompt) for each in islice(held_out(task, "glm-nano", "test"), 5)]
    assert all(map(is_held_out, asked))
    assert len(set(asked)) == len(asked)


@pytest.mark.parametrize("persona", PERSONAS)
def test_one_prompt_never_has_two_answers(persona: str) -> None:
    answers: dict[str, str] = {}
    for dialogue in islice(training(persona, "answers"), 1000):
        for prompt, answer in zip(prompts(dialogue), _answers(dialogue), strict=True):
            assert answers.setdefault(prompt, answer) == answer


@pytest.mark.parametrize("task", TASKS)
@given(seed=st.integers())
@settings(max_examples=5, deadline=None)
def test_a_dialogue_takes_turns_as_the_template_expects(task: str, seed: int) -> None:
    dialogue = compose(task, "glm-nano", Random(seed))
    roles = [message.role for message in dialogue.messages]
    assert Role.SYSTEM not in roles[1:]
    assert roles[dialogue.graded] is Role.ASSISTANT
    assert roles[-1] is Role.ASSISTANT
    assert all(message.content.strip() for message in dialogue.messages)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_both_personas_answer_the_same_and_differently(language: str) -> None:
    one, other = (table(f"personas/{name}.json")[language] for name in PERSONAS)
    assert one.keys() == other.keys()
    assert all(one[key] != other[key] for key in one)


def test_both_languages_have_the_same_phrases() -> None:
    for name in ("words.json", "questions.json"):
        assert table(name)["en"].keys() == table(name)["zh"].keys()


def test_a_blank_is_filled_anew_each_time() -> None:
    filled = Voice("glm-nano", "en", Random(1)).fill("{code} {code} {name}", name="Ann")
    first, second, name = filled.split()
    assert first != second
    assert name == "Ann"


def _answers(dialogue: Dialogue) -> list[str]:
    return [each.content for each in dialogue.messages if each.role is Role.ASSISTANT]
