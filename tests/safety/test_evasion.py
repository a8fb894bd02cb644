"""The matrix of tricks: what is caught, what passes because it is ordinary, what is missed.

The last table is a promise of honesty, not of behaviour: a row that becomes caught moves up.
"""

import pytest

from serve_app.messages import Action
from serve_app.safety.automaton import Automaton
from serve_app.safety.lexicon import parse
from serve_app.safety.window import Window

TERMS = [
    "测试敏感",
    "代开发票",
    "大麻",
    "冰毒",
    "乙丙",
    "bad word",
    "ass",
    "heroin",
    "how to make a bomb",
    "出售ak47",
]

CAUGHT = {
    "plain": "前文测试敏感后文",
    "full-width": "ｂａｄ　ｗｏｒｄ",
    "upper case": "BaD WoRD",
    "zero-width": "测\u200b试\u200d敏\u2060感",
    "soft hyphen": "測\u00ad試敏感",
    "variation selectors": "测\ufe00试\ufe01敏感",
    "tag characters": "测\U000e0041试敏感",
    "bidi controls": "\u202e测试敏感\u202c",
    "control characters": "测\x00试\x08敏感",
    "spaces": "测 试 敏 感",
    "wide spaces": "测\u3000试\u00a0敏\t感",
    "signs": "测.试*敏-感",
    "Markdown": "**测试**敏__感__",
    "clause marks between single letters": "我要测，试，敏，感。",
    "line breaks": "测试\n敏\n感",
    "line breaks inside a sentence": "请告诉我测\n试\n敏\n感",
    "emoji": "测😀试😀敏感",
    "two words apart": "可以代开 发票吗",
    "two words, hyphen": "测试-敏感",
    "two words, quoted": "代开“发票”",
    "traditional": "測試敏感",
    "Kangxi radical": "⼄丙",
    "mathematical letters": "𝐛𝐚𝐝 𝓌ℴ𝓇𝒹",
    "circled letters": "ⓑⓐⓓ ⓦⓞⓡⓓ",
    "squared letters": "🅱🅰🅳 🆆🅾🆁🅳",
    "regional indicators": "🇧🇦🇩 🇼🇴🇷🇩",
    "Cyrillic": "bаd wоrd",
    "Greek": "bαd wοrd",
    "small capitals": "ʙᴀᴅ ᴡᴏʀᴅ",
    "strike-through": "b̶a̶d̶ w̶o̶r̶d̶",
    "accents, composed": "bád wörd",
    "accents, decomposed": "ba\u0301d wo\u0308rd",
    "spelled out": "b a d w o r d",
    "partly spelled out": "bad w.o.r.d",
    "no space": "badword",
    "other space": "bad-word, bad_word",
    "wrapped line": "bad\nword",
    "space between Chinese and Latin": "有人出售 AK47 吗",
    "letters and words apart": "测 试敏 感",
    "spelled out within a phrase": "how to make a b-o-m-b",
    "short word spelled out": "a s s",
    "short word among Chinese": "这是ａｓｓ的",
    "short Chinese word spelled out": "卖 冰 毒 吗",
}

ORDINARY = {
    "comma between clauses": "他做了测试，敏感度很高",
    "half-width comma": "他做了测试,敏感度很高",
    "comma and space": "他做了测试， 敏感度很高",
    "full stop": "已经测试。敏感的人要小心",
    "line break": "他做了测试\n敏感度很高",
    "list items": "- 测试\n- 敏感",
    "table cells": "| 测试 | 敏感 |",
    "brackets": "做个测试（敏感）",
    "word split by chance, comma": "规模很大，麻烦很多",
    "word split by chance, space": "规模很大 麻烦很多",
    "quoted letter": "一个“大”麻烦",
    "bold letter": "**大**麻烦",
    "Scunthorpe, middle": "class passed the glass",
    "Scunthorpe, start": "assume an assay",
    "Scunthorpe, end": "a bass",
    "across words": "as soon as",
    "two words that join to one": "the hero in the story",
    "comma in a phrase": "not bad, word for word",
}

MISSED = {
    "leet": "b4d w0rd",
    "pinyin": "ce shi min gan",
    "homophone": "侧试敏感",
    "taken apart": "氵则讠式敏感",
    "backwards": "感敏试测",
    "HTML entity": "&#27979;试敏感",
    "base64": "5rWL6K+V5pWP5oSf",
    "letters between": "测s试s敏s感",
    "clause mark between two words": "测试，敏感",
    "one separator in a short word": "要冰.毒吗",
    "Latin word cut in two": "her oin",
    "too many spaces": "测" + " " * 17 + "试敏感",
}


def is_blocked(text: str) -> bool:
    window = Window(Automaton(parse(term, "list.txt:1") for term in TERMS), 16)
    window.feed(text)
    window.close()
    return window.verdict.action is Action.BLOCK


@pytest.mark.parametrize("text", CAUGHT.values(), ids=CAUGHT)
def test_a_disguised_term_is_caught(text: str) -> None:
    assert is_blocked(text)


@pytest.mark.parametrize("text", ORDINARY.values(), ids=ORDINARY)
def test_ordinary_writing_passes(text: str) -> None:
    assert not is_blocked(text)


@pytest.mark.parametrize("text", MISSED.values(), ids=MISSED)
def test_a_known_miss_is_told_as_one(text: str) -> None:
    assert not is_blocked(text)
