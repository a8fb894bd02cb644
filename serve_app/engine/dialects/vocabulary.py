"""A checkpoint's tokens: which bytes they stand for, and which of them no text can spell."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, Self

from serve_app.engine.dialects.marks import TAGS
from serve_app.errors import BadModel

_CONTROL = re.compile(r"<\|.*\|>")  # GLM's control tokens, whatever the tokenizer calls them
_BYTE_PIECES = {f"<0x{byte:02X}>": bytes([byte]) for byte in range(256)}  # SentencePiece's
_BLANK = "\u2581"  # SentencePiece's stand-in for a blank


class AddedToken(Protocol):
    """A token beside the trained vocabulary; special ones are control tokens."""

    content: str
    special: bool


class Encoding(Protocol):
    """Token ids of one text."""

    ids: list[int]


class Backend(Protocol):
    """The part of `tokenizers.Tokenizer` that is used."""

    encode_special_tokens: bool

    def encode_batch_fast(
        self, texts: list[str], *, add_special_tokens: bool
    ) -> Sequence[Encoding]: ...

    def get_added_tokens_decoder(self) -> Mapping[int, AddedToken]: ...

    def id_to_token(self, token: int, /) -> str | None: ...

    def get_vocab(self) -> Mapping[str, int]: ...

    def to_str(self) -> str: ...

    @classmethod
    def from_str(cls, json: str) -> Self: ...


class Vocabulary:
    """One checkpoint's tokens; safe to use from several threads."""

    def __init__(self, backend: Backend) -> None:
        added = backend.get_added_tokens_decoder()
        self.control = {each.content: n for n, each in added.items() if _is_control(each)}
        self.written = {number: word for word, number in self.control.items()}
        self.token_bytes = _token_bytes(backend.get_vocab(), added, self.control)
        self._lead = " " if _is_sentence_pieces(backend.get_vocab()) else ""  # before each text
        self._literal = _literal(backend, self.control)
        self.prefix = tuple(backend.encode_batch_fast([""], add_special_tokens=True)[0].ids)
        self._refuse_forgery()

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Encode each text as data: nothing in it becomes a control token."""
        encodings = self._literal.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def spell(self, ids: Iterable[int]) -> str:
        """The text of tokens, without control tokens; half characters become U+FFFD."""
        text = b"".join(self.token_bytes.get(token, b"") for token in ids)
        return text.decode(errors="replace").removeprefix(self._lead)

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """How the vocabulary writes tokens, which is not what they stand for."""
        return [self._literal.id_to_token(token) or "" for token in ids]

    def _refuse_forgery(self) -> None:
        encoded = self.encode(list(self.control))
        if {token for ids in encoded for token in ids} & set(self.control.values()):
            raise BadModel(
                "The tokenizer lets users write control tokens; it is not safe to serve."
            )


def _is_control(token: AddedToken) -> bool:
    return token.special or token.content in TAGS or bool(_CONTROL.fullmatch(token.content))


def _literal(backend: Backend, control: Mapping[str, int]) -> Backend:
    """A copy for which all control tokens are special, and special tokens are mere text."""
    description: dict[str, Any] = json.loads(backend.to_str())
    for token in description["added_tokens"]:
        token["special"] = token["special"] or token["content"] in control
    literal = type(backend).from_str(json.dumps(description))
    literal.encode_special_tokens = True
    return literal


def _token_bytes(
    vocab: Mapping[str, int], added: Mapping[int, AddedToken], control: Mapping[str, int]
) -> dict[int, bytes]:
    """Map ids to what they stand for; control tokens say nothing."""
    trained = {token: number for token, number in vocab.items() if number not in added}
    said = _sentence_pieces(trained) if _is_sentence_pieces(vocab) else _bytes(trained)
    return said | {
        n: b"" if token.content in control else token.content.encode() for n, token in added.items()
    }


def _is_sentence_pieces(vocab: Mapping[str, int]) -> bool:
    return vocab.keys() >= _BYTE_PIECES.keys()


def _sentence_pieces(trained: Mapping[str, int]) -> dict[int, bytes]:
    return {
        number: _BYTE_PIECES.get(piece) or piece.replace(_BLANK, " ").encode()
        for piece, number in trained.items()
    }


def _bytes(trained: Mapping[str, int]) -> dict[int, bytes]:
    alphabet = _byte_alphabet()
    try:
        return {
            number: bytes(alphabet[character] for character in token)
            for token, number in trained.items()
        }
    except KeyError:
        raise BadModel("The tokenizer's vocabulary is not byte-level.") from None


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-ins for bytes: itself if printable, else 256 and up in order."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = (byte for byte in range(256) if byte not in printable)
    shifted = {chr(256 + place): byte for place, byte in enumerate(others)}
    return {chr(byte): byte for byte in printable} | shifted
