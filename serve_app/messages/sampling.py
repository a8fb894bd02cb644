"""How tokens are chosen, when to stop, and what shape the text must have."""

from dataclasses import dataclass, field
from enum import StrEnum
from math import inf

HOTTEST = 2.0  # OpenAI's highest temperature
_HARSHEST = 2.0  # of presence and frequency penalties, OpenAI's and vLLM's


class StructureKind(StrEnum):
    """What `Structure.source` is written in."""

    JSON_OBJECT = "json_object"  # any JSON object; the source is empty
    JSON_SCHEMA = "json_schema"
    REGEX = "regex"
    CHOICE = "choice"  # a JSON array of strings
    GRAMMAR = "grammar"  # Lark as llguidance reads it, or GBNF


@dataclass(frozen=True, slots=True)
class Structure:
    """The language an answer's content must be a sentence of."""

    kind: StructureKind
    source: str = ""
    strict: bool = True  # False: a schema's `uniqueItems` is a wish; it cannot be enforced
    param: str = field(default="response_format", compare=False)  # where its sender put it


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen and when to stop.

    None means: as the model's own generation config says, or off where it says nothing. ValueError:
    no sampler could do that; the wire refuses the same, in words for the caller.
    """

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None  # None: until the context is full; 0: the prompt is all
    stop: tuple[str, ...] = ()
    seed: int | None = None
    top_k: int | None = None  # None: all
    min_p: float = 0.0  # share of the likeliest token's probability below which a token is out
    repetition_penalty: float | None = None  # divides, over prompt and answer; 1 changes nothing
    presence_penalty: float = 0.0  # subtracted once from a token that the answer holds
    frequency_penalty: float = 0.0  # subtracted for each time the answer holds it
    logit_bias: tuple[tuple[int, float], ...] = ()  # token id and what is added to its logit
    min_tokens: int = 0  # no end token and no stop before so many
    ignore_eos: bool = False
    stop_token_ids: tuple[int, ...] = ()
    n: int = 1  # answers to one prompt
    logprobs: int | None = None  # how many alternatives beside the drawn token; None: no logprobs
    prompt_logprobs: int | None = None  # likewise for the prompt's tokens
    bad_words: tuple[str, ...] = ()  # texts that no token may complete
    allowed_token_ids: tuple[int, ...] = ()  # none other is drawn; empty: any
    keeps_stop: bool = False  # whether what ended the answer is a part of it
    hides_special: bool = True  # whether control tokens are left out of the text

    def __post_init__(self) -> None:
        wrong = next((sentence for sound, sentence in self._rules() if not sound), None)
        if wrong:
            raise ValueError(wrong)

    def _rules(self) -> tuple[tuple[bool, str], ...]:
        return (
            (within(self.temperature, 0.0, HOTTEST), f"temperature must be from 0 to {HOTTEST:g}."),
            (
                self.top_p is None or 0.0 < self.top_p <= 1.0,
                "top_p must be above 0 and at most 1.",
            ),
            (self.max_tokens is None or self.max_tokens >= 0, "max_tokens must be at least 0."),
            (all(self.stop), "A stop string must not be empty."),
            (all(self.bad_words), "One of bad_words must not be empty."),
            (self.top_k is None or self.top_k >= 1, "top_k must be at least 1."),
            (within(self.min_p, 0.0, 1.0), "min_p must be from 0 to 1."),
            (
                self.repetition_penalty is None or 0.0 < self.repetition_penalty < inf,
                "repetition_penalty must be above 0.",
            ),
            (
                within(self.presence_penalty, -_HARSHEST, _HARSHEST),
                "presence_penalty must be from -2 to 2.",
            ),
            (
                within(self.frequency_penalty, -_HARSHEST, _HARSHEST),
                "frequency_penalty must be from -2 to 2.",
            ),
            (
                all(within(bias, -100.0, 100.0) for _, bias in self.logit_bias),
                "A logit_bias must be from -100 to 100.",
            ),
            (self.min_tokens >= 0, "min_tokens must be at least 0."),
            (
                self.max_tokens is None or self.min_tokens <= self.max_tokens,
                "min_tokens must not be above max_tokens.",
            ),
            (self.n >= 1, "n must be at least 1."),
            (within(self.logprobs, 0, 20), "logprobs must be from 0 to 20."),
            (within(self.prompt_logprobs, 0, 20), "prompt_logprobs must be from 0 to 20."),
        )


def within(value: float | None, lowest: float, highest: float) -> bool:
    """Whether a stated value is in its range; not a number is in none."""
    return value is None or lowest <= value <= highest
