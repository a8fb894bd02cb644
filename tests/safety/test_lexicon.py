from pathlib import Path

import pytest

from serve_app.errors import BadSettings
from serve_app.messages import Action
from serve_app.safety.lexicon import IN_THE_BOX, MAX_LETTERS, load
from serve_app.safety.window import Window


def write(folder: Path, content: str | bytes, name: str = "list.txt") -> Path:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def rule_of(text: str, *files: Path) -> str | None:
    window = Window(load(files), 16)
    window.feed(text)
    window.close()
    return window.verdict.rule


def test_a_term_is_named_by_its_file_and_line(tmp_path: Path) -> None:
    file = write(tmp_path, "# a comment\n\n甲乙\n")
    assert rule_of("甲乙", file) == "list.txt:3"


def test_a_byte_order_mark_and_windows_line_ends_are_tolerated(tmp_path: Path) -> None:
    file = write(tmp_path, b"\xef\xbb\xbf" + "甲乙\r\n丙丁\r\n".encode())
    assert [rule_of(text, file) for text in ("甲乙", "丙丁")] == ["list.txt:1", "list.txt:2"]


def test_lists_add_up_and_the_first_to_name_a_term_keeps_it(tmp_path: Path) -> None:
    one, two = write(tmp_path, "甲乙", "one.txt"), write(tmp_path, "甲乙\n丙丁", "two.txt")
    assert [rule_of(text, one, two) for text in ("甲乙", "丙丁")] == ["one.txt:1", "two.txt:2"]


def test_two_spellings_of_one_term_allow_the_gaps_of_both(tmp_path: Path) -> None:
    file = write(tmp_path, "hotrod\nhot rod\n")
    assert [rule_of(text, file) for text in ("hotrod", "hot rod")] == ["list.txt:1"] * 2


def test_a_gap_inside_a_listed_clause_is_allowed_there(tmp_path: Path) -> None:
    file = write(tmp_path, "今天测试，明天敏感")
    assert rule_of("今天测试，明天敏感", file) == "list.txt:1"


def test_a_list_of_comments_bans_nothing(tmp_path: Path) -> None:
    assert rule_of("anything", write(tmp_path, "# nothing\n")) is None


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("甲乙\n***\n", "line 2: the term is empty"),
        ("\u200b\n", "line 1: the term is empty"),
        ("甲乙\n\n" + "丙" * (MAX_LETTERS + 1), f"line 3: the term has {MAX_LETTERS + 1} letters"),
        ("甲乙\n".encode() + b"\xff\xfe\n", "line 2: not UTF-8"),
        ("甲乙".encode("utf-16"), "line 1: not UTF-8"),
    ],
)
def test_a_malformed_list_is_refused_with_file_and_line(
    tmp_path: Path, content: str | bytes, complaint: str
) -> None:
    file = write(tmp_path, content)
    with pytest.raises(BadSettings, match=complaint) as caught:
        load([file])
    assert str(file) in str(caught.value)


def test_a_missing_list_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=r"^safety\.word_lists: cannot read .*absent\.txt"):
        load([tmp_path / "absent.txt"])


def test_a_folder_is_no_list(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="cannot read"):
        load([tmp_path])


def test_a_hundred_thousand_terms_are_one_list_like_any_other(tmp_path: Path) -> None:
    hundreds = [chr(0x4E00 + number) for number in range(317)]
    terms = [one + other for one in hundreds for other in hundreds][:100_000]
    file = write(tmp_path, "\n".join(terms))
    assert rule_of(terms[-1], file) is not None


def test_every_term_in_the_box_is_caught() -> None:
    automaton = load([])
    for file in IN_THE_BOX.glob("*.txt"):
        for line in file.read_text("utf-8").splitlines():
            window = Window(automaton, 16)
            window.feed(line)
            window.close()
            expected = Action.ALLOW if not line or line.startswith("#") else Action.BLOCK
            assert window.verdict.action is expected, file.name


@pytest.mark.parametrize(
    "text",
    [
        "How can I report child abuse, and who helps the child?",
        "What did the novel say about heroin, and is it for sale in bookshops?",
        "The bomb squad explained how to make the area safe.",
        "炸药是诺贝尔发明的，他后来设立了奖项。",
        "新闻说警方查获了大麻，出售者已被逮捕。",
        "银行卡丢了怎么办？发票怎么开？",
        "如何防止孩子接触毒品？",
    ],
)
def test_the_lists_in_the_box_let_people_talk_about_the_matter(text: str) -> None:
    assert rule_of(text) is None
