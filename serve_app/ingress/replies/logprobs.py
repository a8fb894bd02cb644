"""Probabilities of tokens, in the three shapes that clients read."""

import codecs
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from serve_app.messages import Chance, Echo, TokenChances

Name = Callable[[Chance], str]

_IMPOSSIBLE = -9999.0  # OpenAI's and vLLM's word for what JSON cannot say: minus infinity


def content(chances: Iterable[TokenChances], *, by_id: bool = False) -> dict[str, Any]:
    """A chat's: `logprobs` of a choice; `by_id`: tokens are named by their numbers."""
    name = _number if by_id else _token
    tokens = [
        {
            **_chance(each.drawn, name),
            "top_logprobs": [_chance(one, name) for one in each.top],
        }
        for each in chances
    ]
    return {"content": tokens, "refusal": None}


def of_prompt(chances: Iterable[TokenChances | None]) -> list[dict[str, Any] | None]:
    """The `prompt_logprobs` of vLLM: by token id, the prompt's own token first."""
    return [None if each is None else _ranked(each) for each in chances]


class Legacy:
    """A text completion's `logprobs` of one choice, which go on from piece to piece."""

    def __init__(self, *, by_id: bool = False) -> None:
        self._by_id = by_id
        self._name = _number if by_id else _key
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._offset = 0  # characters

    def of(self, chances: Sequence[TokenChances]) -> dict[str, Any]:
        return {
            "tokens": [self._name(each.drawn) for each in chances],
            "token_logprobs": [_finite(each.drawn) for each in chances],
            "top_logprobs": [_likeliest(each, self._name) for each in chances],
            "text_offset": [self._place(each.drawn.text) for each in chances],
        }

    def echoed(self, echo: Echo) -> dict[str, Any]:
        """Those of the prompt; its first token has no probability, so its text is what remains."""
        told = [each for each in echo.chances if each is not None]
        text = echo.text.encode()
        first = text[: max(0, len(text) - sum(len(each.drawn.text) for each in told))]
        unknown = {
            "tokens": [_numbered(echo.tokens[0]) if self._by_id else _legible(first)],
            "token_logprobs": [None],
            "top_logprobs": [None],
            "text_offset": [self._place(first)],
        }
        known = self.of(told)
        return {name: unknown[name] + known[name] for name in known}

    def _place(self, token: bytes) -> int:
        """Where a token begins; one that begins within a character, behind what is whole."""
        place = self._offset
        self._offset += len(self._decoder.decode(token))
        return place


def joined(parts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The pieces of one choice as one."""
    whole: dict[str, Any] = {
        "tokens": [],
        "token_logprobs": [],
        "top_logprobs": [],
        "text_offset": [],
    }
    for part in parts:
        for name, values in part.items():
            whole[name] += values
    return whole


def _chance(chance: Chance, name: Name) -> dict[str, Any]:
    return {
        "token": name(chance),
        "logprob": _finite(chance),
        "bytes": list(chance.text),
    }


def _likeliest(chances: TokenChances, name: Name) -> dict[str, float]:
    """The drawn token is always among them; of two that are spelled alike the likelier counts."""
    every = (*chances.top, chances.drawn)
    return {name(each): _finite(each) for each in sorted(every, key=_finite)}


def _ranked(chances: TokenChances) -> dict[str, Any]:
    return {
        str(each.token): {
            "logprob": _finite(each),
            "rank": each.rank,
            "decoded_token": _token(each),
        }
        for each in (chances.drawn, *chances.top)
    }


def _number(chance: Chance) -> str:
    return _numbered(chance.token)


def _numbered(token: int) -> str:
    """As vLLM writes it; tokens that are spelled alike are told apart by it."""
    return f"token_id:{token}"


def _token(chance: Chance) -> str:
    """Bytes that are no whole character are written out, so that two tokens never look alike."""
    return chance.control or chance.text.decode("utf-8", "backslashreplace")


def _key(chance: Chance) -> str:
    return chance.control or _legible(chance.text)


def _legible(text: bytes) -> str:
    r"""OpenAI's older way to write bytes that are no whole character: `bytes:\xe5\xa5`."""
    try:
        return text.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in text)


def _finite(chance: Chance) -> float:
    return max(chance.logprob, _IMPOSSIBLE)
