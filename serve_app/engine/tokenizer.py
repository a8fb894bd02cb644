"""Messages to tokens, and tokens to text that may be shown.

What a message says is data: text that spells `<|user|>` never becomes a control token.
What the model says is shown in whole characters, without control tokens or stop strings.
"""

import copy
import re
from codecs import getincrementaldecoder
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Protocol

from serve_app.errors import BadModel, InvalidRequest
from serve_app.messages import Message, Role

_SLOT = re.compile("\ue000(\\d+)\ue001")  # private-use characters mark where contents go
_FRAMES = 256  # rendered templates to remember, one a sequence of roles
_FRAME_TURNS = 64  # longer ones are rendered anew: 10 us a turn, against memory without bound

Part = int | str  # a control token's id, or text in which nothing is special


class AddedToken(Protocol):
    """A token outside the byte-level vocabulary; special ones are control tokens."""

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

    def get_vocab(self) -> Mapping[str, int]: ...


class FastTokenizer(Protocol):
    """The part of a Hugging Face fast tokenizer that is used."""

    backend_tokenizer: Backend

    def apply_chat_template(
        self, conversation: list[dict[str, str]], *, tokenize: bool, add_generation_prompt: bool
    ) -> str: ...


class ChatTokenizer:
    """GLM's chat template and byte-level vocabulary; safe to use from several threads."""

    def __init__(self, tokenizer: FastTokenizer) -> None:
        self._template = tokenizer
        self._literal = copy.deepcopy(tokenizer.backend_tokenizer)  # a shared one has switches
        self._literal.encode_special_tokens = True
        added = self._literal.get_added_tokens_decoder()
        self._control = {token.content: n for n, token in added.items() if token.special}
        self._known_frame = lru_cache(maxsize=_FRAMES)(self._render_frame)
        self._bytes = _token_bytes(self._literal.get_vocab(), added)
        self._refuse_forgery()

    def render(self, messages: Sequence[Message]) -> list[int]:
        """Encode the conversation and the beginning of an answer.

        Raises InvalidRequest if a text is not valid Unicode.
        """
        contents = [message.content for message in messages]
        _check_unicode(contents)
        parts = _fill(self._frame(tuple(message.role for message in messages)), contents)
        return list(self._encode(parts))

    def transcript(self, stop: Iterable[str] = ()) -> "Transcript":
        return Transcript(self._bytes, tuple(stop))

    def _frame(self, roles: tuple[Role, ...]) -> tuple[Part, ...]:
        render = self._known_frame if len(roles) <= _FRAME_TURNS else self._render_frame
        return render(roles)

    def _render_frame(self, roles: tuple[Role, ...]) -> tuple[Part, ...]:
        """Render the template around numbered slots and cut out its control tokens."""
        conversation = [
            {"role": role.value, "content": f"\ue000{number}\ue001"}
            for number, role in enumerate(roles)
        ]
        text = self._template.apply_chat_template(
            conversation, tokenize=False, add_generation_prompt=True
        )
        pieces = re.split("(" + "|".join(map(re.escape, self._control)) + ")", text)
        return tuple(self._control.get(piece, piece) for piece in pieces if piece)

    def _encode(self, parts: Sequence[Part]) -> Iterator[int]:
        texts = [part for part in parts if isinstance(part, str)]
        encodings = iter(self._literal.encode_batch_fast(texts, add_special_tokens=False))
        for part in parts:
            yield from (part,) if isinstance(part, int) else next(encodings).ids

    def _refuse_forgery(self) -> None:
        forged = set(self._encode(list(self._control))) & set(self._control.values())
        if forged:
            raise BadModel(
                "The tokenizer lets users write control tokens; it is not safe to serve."
            )


class Transcript:
    """What one answer has said so far; what may not be shown yet is held back."""

    def __init__(self, token_bytes: Mapping[int, bytes], stop: tuple[str, ...]) -> None:
        self._token_bytes = token_bytes
        self._decoder = getincrementaldecoder("utf-8")("replace")
        self._stop = StopStrings(stop)

    @property
    def stopped(self) -> bool:
        return self._stop.met

    def add(self, token: int) -> str:
        """Return the text that became presentable."""
        return self._stop.feed(self._decoder.decode(self._token_bytes.get(token, b"")))

    def close(self) -> str:
        """Return what was held back; half a character at the end is dropped."""
        return self._stop.close()


class StopStrings:
    """Ends a text at the first stop string, however it was cut into pieces."""

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = stops
        self._longest = max(map(len, stops), default=0)
        self._held = ""
        self.met = False

    def feed(self, text: str) -> str:
        """Return what can no longer belong to a stop string; nothing once one was met."""
        if self.met:
            return ""
        text = self._held + text
        found = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0]
        self.met = bool(found)
        cut = min(found)[1] if found else len(text) - self._beginning(text)
        self._held = text[cut:]
        return text[:cut]

    def close(self) -> str:
        return "" if self.met else self._held

    def _beginning(self, text: str) -> int:
        """Length of the longest end of `text` that begins a stop string."""
        lengths = range(min(self._longest, len(text)), 0, -1)
        fits = (n for n in lengths if any(stop.startswith(text[-n:]) for stop in self._stops))
        return next(fits, 0)


def _fill(frame: Sequence[Part], contents: Sequence[str]) -> list[Part]:
    def content(slot: re.Match[str]) -> str:
        return contents[int(slot[1])]

    return [part if isinstance(part, int) else _SLOT.sub(content, part) for part in frame]


def _check_unicode(texts: Sequence[str]) -> None:
    for number, text in enumerate(texts):
        try:
            text.encode()
        except UnicodeEncodeError:
            field = f"messages[{number}].content"
            raise InvalidRequest("The text holds half a surrogate pair.", field) from None


def _token_bytes(vocab: Mapping[str, int], added: Mapping[int, AddedToken]) -> dict[int, bytes]:
    """Map ids to what they stand for; control tokens say nothing."""
    alphabet = _byte_alphabet()
    try:
        said = {
            number: bytes(alphabet[character] for character in token)
            for token, number in vocab.items()
            if number not in added
        }
    except KeyError:
        raise BadModel("The tokenizer's vocabulary is not byte-level.") from None
    return said | {
        n: b"" if token.special else token.content.encode() for n, token in added.items()
    }


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-ins for bytes: itself if printable, else 256 and up in order."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = (byte for byte in range(256) if byte not in printable)
    shifted = {chr(256 + place): byte for place, byte in enumerate(others)}
    return {chr(byte): byte for byte in printable} | shifted
