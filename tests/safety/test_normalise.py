import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.safety.normalise import normalise


@pytest.mark.parametrize(
    ("character", "normal"),
    [
        ("Ａ", "a"),
        ("ß", "ss"),
        ("ﬁ", "fi"),
        ("½", "1 2"),
        ("é", "e"),
        ("\u0301", ""),
        ("\ufeff", ""),
        ("\u3164", ""),
        ("\U000e0fff", ""),
        ("\u3000", " "),
        ("😀", " "),
        ("\ue000", " "),
        ("\ud800", " "),
        ("\u2028", "\n"),
        ("，", "."),
        ("【", "."),
        ("測", "测"),
        ("⼄", "乙"),
        ("\U0002f800", "丽"),
    ],
)
def test_the_normal_form_of_one_character(character: str, normal: str) -> None:
    assert normalise(character) == normal


@given(st.text())
def test_composed_and_decomposed_text_read_the_same(text: str) -> None:
    """So a letter and its marks may arrive in different pieces of a stream."""
    forms = {unicodedata.normalize(form, text) for form in ("NFC", "NFD", "NFKC", "NFKD")}
    assert len({"".join(map(normalise, form)) for form in forms | {text}}) == 1


@given(st.characters(exclude_categories=()))
def test_a_gap_mark_is_one_of_three_and_everything_else_is_a_letter(character: str) -> None:
    assert all(
        symbol in " \n." or unicodedata.category(symbol)[0] in "LNM"
        for symbol in normalise(character)
    )
