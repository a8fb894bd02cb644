"""Everything of an answer that can carry text is screened by itself."""

from collections.abc import Iterable

import pytest

from serve_app.messages import (
    ALLOWED,
    Chance,
    Channel,
    Delta,
    Echo,
    Event,
    Finish,
    FinishReason,
    Queued,
    Spelt,
    TokenChances,
    ToolDelta,
    Usage,
)
from serve_app.pipeline.screen import Screen
from tests.fakes.guards import BLOCKED, Banning, OutputGuards

USAGE = Usage(7, 3)
STOP = FinishReason.STOP


def screen(*, choices: int = 1, is_json: bool = False) -> Screen:
    return Screen(OutputGuards(lambda: Banning("bad")), choices, is_json=is_json)


def passed(screen: Screen, events: Iterable[Event]) -> list[Event]:
    return [each for event in events for each in screen.see(event)]


def said(text: str, choice: int = 0, *chances: TokenChances) -> Delta:
    return Delta(text, USAGE, choice, chances=chances)


def thought(text: str) -> Delta:
    return Delta(text, USAGE, channel=Channel.REASONING)


def called(name: str, call: int = 0, choice: int = 0) -> ToolDelta:
    return ToolDelta(call, "", USAGE, choice, f"call_{call}", name)


def arguing(text: str, call: int = 0, choice: int = 0) -> ToolDelta:
    return ToolDelta(call, text, USAGE, choice)


def ended(reason: FinishReason = STOP, choice: int = 0) -> Finish:
    return Finish(reason, USAGE, choice)


def likely(text: str, *others: str) -> TokenChances:
    return TokenChances(
        Chance(0, text.encode(), -0.5), tuple(Chance(1, each.encode(), -1.0) for each in others)
    )


BLOCKED_END = ended(FinishReason.CONTENT_FILTER)


def test_a_place_in_the_line_passes_as_it_is() -> None:
    assert passed(screen(), [Queued(3, 1.2)]) == [Queued(3, 1.2)]


@pytest.mark.parametrize(
    "events",
    [
        [said("bad")],
        [said("b"), said("a"), said("d")],
        [thought("bad")],
        [called("bad")],
        [called("f"), arguing('{"x": "bad"}')],
        [called("f"), arguing('{"x": "b'), arguing('ad"}')],
        [called("f"), arguing('{"x": "\\u0062ad"}')],
        [called("f", 0), arguing("{}", 0), called("bad", 1)],
    ],
)
def test_a_banned_word_anywhere_ends_the_answer_without_it(events: list[Event]) -> None:
    screened = screen()
    out = passed(screened, [*events, said("never"), ended()])
    assert out[-1] == BLOCKED_END
    assert "bad" not in "".join(each.text for each in out if isinstance(each, Delta | ToolDelta))
    assert not any(isinstance(each, ToolDelta) and each.name == "bad" for each in out)
    assert screened.verdict(0) == BLOCKED
    assert screened.over


def test_json_content_is_judged_as_its_reader_will_see_it() -> None:
    escaped = '{"x": "\\u0062ad"}'
    assert passed(screen(is_json=True), [said(escaped)])[-1] == BLOCKED_END
    assert passed(screen(), [said(escaped), ended()])[-1] == ended()


def test_texts_of_one_answer_are_judged_one_by_one() -> None:
    out = passed(screen(), [thought("b"), said("ad"), called("b"), arguing("ad"), ended()])
    assert out[-1] == ended()


def test_a_thought_is_complete_before_the_words_begin() -> None:
    out = passed(screen(), [thought("ba"), said("x")])
    assert out == [thought("ba"), said("x")]


def test_words_are_complete_before_a_call_opens_and_each_call_before_the_next() -> None:
    out = passed(
        screen(),
        [said("ba"), called("f", 0), arguing("ba", 0), called("g", 1), arguing("b", 1), ended()],
    )
    assert out == [
        said("ba"), called("f", 0), arguing("ba", 0), called("g", 1), arguing("b", 1), ended(),
    ]  # fmt: skip


def test_a_text_that_goes_on_later_is_still_one_text() -> None:
    out = passed(screen(), [said("ba"), called("f"), said("d")])
    assert out[-1] == BLOCKED_END
    assert said("d") not in out


def test_what_is_held_at_the_end_comes_before_the_finish() -> None:
    assert passed(screen(), [said("xba"), ended()]) == [said("x"), said("ba"), ended()]


def test_a_blocked_choice_ends_alone() -> None:
    screened = screen(choices=2)
    out = passed(screened, [said("bad", 0), said("good", 1), said("more", 0)])
    assert out == [BLOCKED_END, said("good", 1)]
    assert not screened.over
    assert passed(screened, [ended(choice=0), ended(choice=1)]) == [ended(choice=1)]
    assert screened.over
    assert screened.idle
    assert [screened.verdict(choice) for choice in (0, 1)] == [BLOCKED, ALLOWED]


def test_what_one_choice_holds_is_no_part_of_another() -> None:
    out = passed(screen(choices=2), [said("ba", 0), said("d", 1)])
    assert out == [said("d", 1)]


def test_an_answer_is_over_for_the_caller_before_the_engine_has_finished_it() -> None:
    screened = screen(choices=2)
    passed(screened, [said("bad", 0), ended(choice=1)])
    assert screened.over
    assert not screened.idle


def test_probabilities_wait_for_the_text_they_came_with() -> None:
    x, b, c = likely("x"), likely("b"), likely("c")
    out = passed(screen(), [said("x", 0, x), said("b", 0, b), said("c", 0, c)])
    assert out == [said("x", 0, x), said("bc", 0, b, c)]


def test_probabilities_of_a_blocked_word_never_leave() -> None:
    out = passed(screen(), [said("xb", 0, likely("xb")), said("ad", 0, likely("ad")), ended()])
    assert [each.chances for each in out if isinstance(each, Delta)] == [()]


def test_probabilities_of_tokens_without_text_leave_with_what_is_free() -> None:
    nothing = likely("")
    assert passed(screen(), [said("", 0, nothing)]) == [said("", 0, nothing)]


def test_an_alternative_that_is_a_banned_word_is_dropped() -> None:
    out = passed(screen(), [said("x", 0, likely("x", "y", " bad", "z"))])
    assert out == [said("x", 0, likely("x", "y", "z"))]


def test_the_echo_of_a_prompt_passes_but_not_the_banned_words_that_might_have_stood_there() -> None:
    echo = Echo("ab", (None, likely("b", "bad", "c")))
    assert passed(screen(), [echo]) == [Echo("ab", (None, likely("b", "c")))]


@pytest.mark.parametrize(("stop", "left"), [("fine", "fine"), ("a bad end", None), (7, 7)])
def test_a_banned_word_is_not_told_as_what_ended_an_answer(
    stop: str | int, left: str | int | None
) -> None:
    *_, finish = passed(screen(), [said("fine"), Finish(STOP, USAGE, stopped_by=stop)])
    assert finish == Finish(STOP, USAGE, stopped_by=left)


@pytest.mark.parametrize(("text", "left"), [("fine", True), ("a bad word", False)])
def test_token_ids_leave_only_with_a_text_that_may(text: str, left: bool) -> None:
    """A stop string may have cut from the text what the ids still spell."""
    spelt = Spelt((1, 2), text)
    *_, finish = passed(screen(), [said("fine"), Finish(STOP, USAGE, spelt=spelt)])
    assert finish == Finish(STOP, USAGE, spelt=spelt if left else None)
