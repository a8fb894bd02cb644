"""The first GLM-4's tokenizer.model is read exactly: a short reference agrees on any text."""

import random
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.engine.tokenizer import ChatTokenizer
from serve_app.errors import BadModel
from serve_app.models import rank_tokenizer
from serve_app.models.tokenizer import read_tokenizer
from tests.models.published import save_tokenizer

TEXT = (
    "The little model reads a little text. 小模型读小文章，读了又读。 aaaaaaa aaaa abababab\n\n"
    "don't you'll 12345 67890 2024年 naïve café — “quoted” …  \t tabs\r\nlines 🙂🙂🙂 "
)

Ranks = dict[bytes, int]


def join(piece: bytes, ranks: Mapping[bytes, int]) -> list[bytes]:
    """Join the two neighbours of lowest rank, the first of several, as long as there are any."""
    parts = [bytes([byte]) for byte in piece]
    while True:
        pairs = [
            (ranks[left + right], place)
            for place, (left, right) in enumerate(pairwise(parts))
            if left + right in ranks
        ]
        if not pairs:
            return parts
        place = min(pairs)[1]
        parts[place : place + 2] = [parts[place] + parts[place + 1]]


def train(words: Counter[bytes], size: int) -> Ranks:
    """Ranks as a trainer finds them: always the pair that is most frequent."""
    ranks = {bytes([byte]): byte for byte in range(256)}
    while len(ranks) < size:
        pairs: Counter[bytes] = Counter()
        for word, count in words.items():
            parts = join(word, ranks)
            for left, right in pairwise(parts):
                pairs[left + right] += count
        ranks[max(pairs, key=lambda pair: (pairs[pair], pair))] = len(ranks)
    return ranks


def words(count: int) -> Counter[bytes]:
    """Words of the text, and many of few letters, so that unions overlap and repeat."""
    draw = random.Random(0)
    few = ("".join(draw.choices("aab 小é", k=draw.randint(2, 9))) for _ in range(count))
    return Counter(word.encode() for word in (*TEXT.split(), *few))


RANKS = train(words(60), 256 + 120)
TOKENIZER = rank_tokenizer.build(RANKS)


def reference(text: str) -> list[int]:
    """Cut by the same pattern, joined by the reference."""
    cut = TOKENIZER.pre_tokenizer.pre_tokenize_str(text)
    places = [place for _, place in cut]
    return [RANKS[part] for begin, end in places for part in join(text[begin:end].encode(), RANKS)]


texts = st.text(st.sampled_from(TEXT + "abXYZ\u0301\u200d𝕏\x00"), max_size=80) | st.text(
    max_size=40
)


@settings(max_examples=400, deadline=None)
@given(text=texts)
def test_tokens_are_those_of_the_reference(text: str) -> None:
    assert TOKENIZER.encode(text).ids == reference(text)


@settings(max_examples=200, deadline=None)
@given(text=texts)
def test_what_was_encoded_is_decoded_whole(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text).ids) == text


def test_a_piece_that_is_a_token_stays_whole_even_where_joining_would_not_reach_it() -> None:
    ranks = {**RANKS, b"zqj": len(RANKS)}  # neither zq nor qj is a token

    assert rank_tokenizer.build(ranks).encode("zqj").ids == [len(RANKS)]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("don't", ["don", "'t"]),
        ("1234567", ["123", "456", "7"]),
        ("a  b", ["a", " ", " b"]),
        ("x\n\n y", ["x", "\n\n", " y"]),
        ("你好，世界", ["你好", "，世界"]),
        ("(see)", ["(see", ")"]),
    ],
)
def test_text_is_cut_as_glm_4_cuts_it(text: str, pieces: list[str]) -> None:
    places = [place for _, place in TOKENIZER.pre_tokenizer.pre_tokenize_str(text)]

    assert [text[begin:end] for begin, end in places] == pieces


def test_a_folder_gives_its_special_tokens_and_its_template(tmp_path: Path) -> None:
    save_tokenizer(tmp_path, RANKS)

    tokenizer = read_tokenizer(tmp_path)

    assert tokenizer.convert_tokens_to_ids("[gMASK]") == len(RANKS) + 2
    assert tokenizer.eos_token_id == len(RANKS)
    assert encoded(tokenizer, "café 🙂") == reference("café 🙂")
    assert encoded(tokenizer, "<sop>x") == [len(RANKS) + 4, *reference("x")]
    rendered = tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
    assert rendered == "[gMASK]<sop>hi"


def encoded(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False).input_ids


def test_every_text_begins_as_the_publisher_begins_it(tmp_path: Path) -> None:
    save_tokenizer(tmp_path, RANKS)

    gmask, sop = len(RANKS) + 2, len(RANKS) + 4
    assert read_tokenizer(tmp_path)("x").input_ids == [gmask, sop, *reference("x")]


def test_the_engine_takes_control_tokens_in_a_text_for_mere_text(tmp_path: Path) -> None:
    save_tokenizer(tmp_path, RANKS)

    tokenizer = ChatTokenizer(read_tokenizer(tmp_path))

    assert tokenizer.encode("<sop>") == reference("<sop>")
    assert tokenizer.spell(tokenizer.encode("café 🙂")) == "café 🙂"


def test_a_gap_before_the_special_tokens_is_refused(tmp_path: Path) -> None:
    save_tokenizer(tmp_path, RANKS, gap=1)

    with pytest.raises(BadModel, match=f"leaves token {len(RANKS)} without a text"):
        read_tokenizer(tmp_path)


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    save_tokenizer(tmp_path, RANKS)
    with (tmp_path / "tokenizer.model").open("a") as file:
        file.write("not base64 at all\n")

    with pytest.raises(BadModel, match=f"Line {len(RANKS) + 1} of .* is not a token and its rank"):
        read_tokenizer(tmp_path)


def test_a_byte_without_a_token_is_refused(tmp_path: Path) -> None:
    save_tokenizer(tmp_path, {token: rank for token, rank in RANKS.items() if token != b"z"})

    with pytest.raises(BadModel, match="must rank every byte"):
        read_tokenizer(tmp_path)


def test_a_folder_without_any_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="holds no tokenizer that is read here"):
        read_tokenizer(tmp_path)
