"""From an answer's tokens to pieces that may be shown, as soon as they are certain."""

from codecs import getincrementaldecoder
from collections.abc import Mapping, Sequence

from serve_app.engine.dialects.pieces import Piece, Text
from serve_app.engine.dialects.speech import Manner, Speech
from serve_app.engine.dialects.tape import Tape

_Decoder = getincrementaldecoder("utf-8")


class Transcript:
    """What one answer has said so far; what may not be shown yet is held back."""

    def __init__(
        self, token_bytes: Mapping[int, bytes], manner: Manner, min_tokens: int = 0
    ) -> None:
        """Stop strings that are complete before `min_tokens` tokens do not count."""
        self._token_bytes = token_bytes
        self._signs = manner.marks.by_token
        self._decoder = _Decoder("replace")
        self._tape = Tape()
        self._speech = Speech(manner, self._tape)
        self._keeps_stop = manner.keeps_stop
        self.may_stop = bool(manner.stop or (manner.calls and not manner.parallel))
        self._min_tokens = min_tokens
        self._tokens = 0

    @property
    def stopped(self) -> bool:
        """Whether a stop string or the one call that was allowed has ended the answer."""
        return self._speech.stopped

    @property
    def stopped_by(self) -> str | None:
        """The stop string that ended the answer."""
        return self._speech.stopped_by

    @property
    def calls(self) -> int:
        """How many tool calls are complete."""
        return self._speech.calls

    def add(self, token: int) -> list[Piece]:
        """Return the pieces that became presentable."""
        place, self._tokens = self._tokens, self._tokens + 1
        text = self._text(token)
        channel = self._speech.passes(text) if text else None
        if channel:
            return [Text(text, channel, (place,))]
        if text or self._token_bytes.get(token):
            self._tape.write(text, place)
        if self._tokens < self._min_tokens:
            self._speech.spare()
        return self._speech.read() if text else []

    def add_all(self, tokens: Sequence[int]) -> list[Piece]:
        """Return the pieces of one token after the other, put together where that is cheap."""
        piece = self._whole(tokens)
        return [piece] if piece else [each for token in tokens for each in self.add(token)]

    def end(self, token: int) -> list[Piece]:
        """Take the token that ended the answer: it is shown only where that is wished."""
        if token in self._signs or self._keeps_stop:
            return self.add(token)
        self._tokens += 1
        return []

    def _whole(self, tokens: Sequence[int]) -> Text | None:
        """Read tokens at once; None, and nothing read: something in them may not be shown yet."""
        if self._decoder.getstate()[0] or not self._signs.keys().isdisjoint(tokens):
            return None
        parts = [self._token_bytes.get(token, b"") for token in tokens]
        try:
            text = b"".join(parts).decode()
        except UnicodeDecodeError:
            return None
        channel = self._speech.passes(text) if text else None
        if not channel:
            return None
        begin, self._tokens = self._tokens, self._tokens + len(tokens)
        return Text(text, channel, tuple([at for at, part in enumerate(parts, begin) if part]))

    def _text(self, token: int) -> str:
        sign = self._signs.get(token)
        if sign:
            return self._decoder.decode(b"", final=True) + sign
        return self._decoder.decode(self._token_bytes.get(token, b""))

    def close(self) -> list[Piece]:
        """Return what was held back; half a character at the end is dropped."""
        return self._speech.read(over=True)
