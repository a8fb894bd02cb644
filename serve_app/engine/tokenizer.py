"""Requests to tokens, and tokens to text that may be shown.

What a caller says is data: text that spells `<|user|>` never becomes a control token.
What the model says is shown in whole characters, without control tokens or stop strings.
"""

from collections import ChainMap
from collections.abc import Iterable, Mapping, Sequence
from itertools import filterfalse
from typing import Any, Protocol

from serve_app.engine.dialects import Backend, Dialect, Part, Template, Transcript, Vocabulary
from serve_app.engine.dialects.slots import check_unicode
from serve_app.engine.grammar.form import Form
from serve_app.errors import InvalidRequest
from serve_app.messages import ChatRequest, CompletionRequest, Request

_TRAITS = ("content", "lstrip", "normalized", "rstrip", "single_word", "special")  # of added tokens


class FastTokenizer(Template, Protocol):
    """The part of a Hugging Face fast tokenizer that is used."""

    backend_tokenizer: Backend
    special_tokens_map: Mapping[str, str]


class ChatTokenizer:
    """A checkpoint's vocabulary and dialect; safe to use from several threads."""

    def __init__(self, tokenizer: FastTokenizer) -> None:
        """Raises BadModel if users could write control tokens."""
        self.vocabulary = Vocabulary(tokenizer.backend_tokenizer)
        self._dialect = Dialect(tokenizer, self.vocabulary)
        written = {token: word.encode() for token, word in self.vocabulary.written.items()}
        self._about = _about(tokenizer)
        self._all_bytes = ChainMap(written, self.vocabulary.token_bytes)

    def render(self, request: Request) -> list[int]:
        """Encode a conversation and the beginning of an answer, or a prompt as it stands.

        Raises InvalidRequest for what the model's dialect or vocabulary cannot spell.
        """
        if isinstance(request, ChatRequest):
            return self._encode(self._dialect.parts(request))
        if isinstance(request.prompt, str):
            prefix = self.vocabulary.prefix if request.has_prefix else ()
            return [*prefix, *self.encode(request.prompt)]
        return list(self.check(request.prompt))

    def encode(self, prompt: str) -> list[int]:
        """Encode a text with nothing around it.

        No control token can be written in it; give token ids where they are meant.
        Raises InvalidRequest if the text is not valid Unicode.
        """
        check_unicode(prompt, "prompt")
        return self.vocabulary.encode([prompt])[0]

    def check(self, ids: Sequence[int], param: str = "prompt") -> Sequence[int]:
        """Raise InvalidRequest, or return the ids: all are the vocabulary's, control tokens too."""
        unknown = next(filterfalse(self.vocabulary.token_bytes.__contains__, ids), None)
        if unknown is not None:
            raise InvalidRequest(f"The vocabulary has no token {unknown}.", param)
        return ids

    def spellings(self, word: str) -> list[list[int]]:
        """The ways to write one of bad_words, as vLLM takes them.

        Alone, and after a blank where that is written by as many tokens of which the first differs.
        Raises InvalidRequest if the word is not valid Unicode.
        """
        check_unicode(word, "bad_words")
        core = word.lstrip() or word
        alone, after = self.vocabulary.encode([core, f" {core}"])
        differs = len(after) == len(alone) and after[0] != alone[0]
        return [alone, after] if differs else [alone]

    def spell(self, ids: Iterable[int]) -> str:
        """The text that tokens stand for, without control tokens."""
        return self.vocabulary.spell(ids)

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """How the vocabulary writes tokens."""
        return self.vocabulary.pieces(ids)

    def about(self) -> Mapping[str, Any]:
        """What a client needs to know to write prompts itself; of JSON's types."""
        return self._about

    def token_bytes(self, token: int) -> bytes:
        """What a token stands for, which may be a part of a character; nothing if control."""
        return self.vocabulary.token_bytes.get(token, b"")

    def control(self, token: int) -> str:
        """How a control token is written; nothing for others."""
        return self.vocabulary.written.get(token, "")

    def form(self, request: Request) -> Form | None:
        """What the answer must look like; None: any answer will do."""
        return self._dialect.form(request)

    def transcript(self, request: Request) -> Transcript:
        """What the answer to the request will say."""
        sampling = request.sampling
        manner = (
            self._dialect.completion(sampling)
            if isinstance(request, CompletionRequest)
            else self._dialect.answer(request)
        )
        said = self.vocabulary.token_bytes if sampling.hides_special else self._all_bytes
        return Transcript(said, manner, sampling.min_tokens)

    def _encode(self, parts: Sequence[Part]) -> list[int]:
        texts = iter(self.vocabulary.encode([part for part in parts if isinstance(part, str)]))
        return [
            token for part in parts for token in ((part,) if isinstance(part, int) else next(texts))
        ]


def _about(tokenizer: FastTokenizer) -> dict[str, Any]:
    """As in tokenizer_config.json, without paths of this machine."""
    added = {
        str(token): {trait: getattr(each, trait) for trait in _TRAITS}
        for token, each in sorted(tokenizer.backend_tokenizer.get_added_tokens_decoder().items())
    }
    return {
        "tokenizer_class": type(tokenizer).__name__,
        **tokenizer.special_tokens_map,
        "added_tokens_decoder": added,
        "chat_template": tokenizer.chat_template,
    }
