import pytest

from serve_app.messages import ALLOWED, Action
from serve_app.safety.automaton import Automaton
from serve_app.safety.lexicon import parse
from serve_app.safety.window import Window


def automaton(*terms: str) -> Automaton:
    return Automaton(parse(term, f"list.txt:{line}") for line, term in enumerate(terms, start=1))


def window(*terms: str, max_skipped: int = 16) -> Window:
    return Window(automaton(*terms), max_skipped)


def test_text_leaves_as_soon_as_it_cannot_become_a_banned_term() -> None:
    screen = window("测试敏感")
    assert screen.feed("请测") == "请"
    assert screen.feed("试") == ""
    assert screen.feed("好") == "测试好"
    assert screen.close() == ""


def test_a_banned_term_is_withheld_whole_and_its_line_is_named() -> None:
    screen = window("甲乙", "测试敏感")
    assert screen.feed("前文测试") == "前文"
    assert screen.feed("敏感后文") == ""
    assert screen.verdict.action is Action.BLOCK
    assert screen.verdict.rule == "list.txt:2"


def test_after_a_block_nothing_leaves_ever() -> None:
    screen = window("甲乙")
    screen.feed("甲乙")
    assert [screen.feed("后文"), screen.feed(""), screen.close(), screen.close()] == [""] * 4


def test_the_end_of_the_text_can_complete_a_term() -> None:
    screen = window("bomb")
    assert screen.feed("a bomb") == "a "
    assert screen.verdict == ALLOWED
    assert screen.close() == ""
    assert screen.verdict.action is Action.BLOCK


def test_an_empty_piece_changes_nothing() -> None:
    screen = window("甲乙")
    assert [screen.feed(""), screen.feed("甲"), screen.feed(""), screen.close()] == [
        "",
        "",
        "",
        "甲",
    ]


def test_what_has_left_is_clean_by_itself_though_a_later_letter_undid_a_match() -> None:
    """`ass` in `assume` is no match, yet text must not be cut right behind it."""
    screen = window("ass", "umexyz")
    assert screen.feed("assu") == "as"
    assert screen.feed("me") == ""
    assert screen.feed("d") == "sumed"


def test_a_character_that_stands_for_two_letters_is_not_cut_behind_a_doubtful_one() -> None:
    screen = window("ass", "gun")
    assert screen.feed("ass㎏") == "as"
    assert screen.close() == "s㎏"


def test_a_doubtful_term_is_settled_by_a_long_run_of_invisible_characters() -> None:
    screen = window("ass", max_skipped=4)
    assert screen.feed("ass" + "\u200b" * 5) == ""
    assert screen.verdict.action is Action.BLOCK


@pytest.mark.parametrize("text", ["\ud800", "甲\udfff好", "\x00\uffff\U0010ffff"])
def test_lone_surrogates_and_odd_code_points_pass_unchanged(text: str) -> None:
    screen = window("甲乙")
    assert screen.feed(text) + screen.close() == text


def test_a_half_match_is_given_up_after_too_many_ignorable_characters() -> None:
    screen = window("甲乙", max_skipped=4)
    assert screen.feed("甲    ") == ""
    assert screen.feed(" ") == "甲     "
    assert screen.feed("乙") == "乙"


def test_a_half_match_survives_as_many_ignorable_characters_as_allowed() -> None:
    screen = window("甲乙", max_skipped=4)
    screen.feed("甲    乙")
    assert screen.close() == ""
    assert screen.verdict.action is Action.BLOCK


def test_two_windows_of_one_automaton_do_not_disturb_each_other() -> None:
    shared = automaton("甲乙")
    one, other = Window(shared, 16), Window(shared, 16)
    assert [one.feed("甲"), other.feed("乙"), one.feed("丙"), other.feed("甲")] == [
        "",
        "乙",
        "甲丙",
        "",
    ]
    assert [one.verdict, other.verdict] == [ALLOWED, ALLOWED]


def test_of_two_terms_that_end_together_the_longer_names_the_rule() -> None:
    screen = window("乙丙", "甲乙丙")
    screen.feed("甲乙丙")
    assert screen.verdict.rule == "list.txt:2"


def test_the_first_block_of_a_piece_names_the_rule() -> None:
    screen = window("甲乙", "丙丁")
    screen.feed("丙丁甲乙")
    assert screen.verdict.rule == "list.txt:2"
