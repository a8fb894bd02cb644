"""How one sequence's tokens are chosen: every wish decided, nothing left open."""

from dataclasses import dataclass, field

COLDEST = 1e-5  # vLLM's: up to it the likeliest token is taken


@dataclass(frozen=True, slots=True)
class Choice:
    """The same seed and position give the same draw; what is not named here is switched off."""

    temperature: float = 0.0  # 0: the likeliest token
    top_p: float = 1.0
    seed: int = 0
    top_k: int = 0  # 0: all
    min_p: float = 0.0  # share of the likeliest token's probability below which a token is out
    repetition_penalty: float = 1.0  # over prompt and answer
    presence_penalty: float = 0.0  # over the answer alone
    frequency_penalty: float = 0.0  # likewise
    logit_bias: tuple[tuple[int, float], ...] = ()  # token id and what is added to its logit
    min_tokens: int = 0
    held_back: frozenset[int] = frozenset()  # end and stop ids, forbidden before min_tokens
    logprobs: int | None = None  # how many alternatives beside the drawn token
    prompt_logprobs: int | None = None  # likewise for the prompt's tokens
    banned: tuple[tuple[int, ...], ...] = ()  # of each the last is forbidden behind the others
    allowed: tuple[int, ...] = ()  # no other token; empty: any
    plain: bool = field(init=False, repr=False, compare=False)  # the likeliest token, no more

    def __post_init__(self) -> None:
        told = self.logprobs is not None
        object.__setattr__(self, "plain", not (self.hot or self.edits or told))

    @property
    def hot(self) -> bool:
        """Whether a token is drawn, not the likeliest taken."""
        return self.temperature > COLDEST

    @property
    def penalises(self) -> bool:
        """Whether it matters which tokens the sequence holds."""
        harsh = self.presence_penalty != 0.0 or self.frequency_penalty != 0.0
        return harsh or self.repetition_penalty != 1.0

    @property
    def edits(self) -> bool:
        """Whether logits are changed one by one before a token is chosen."""
        shifted = bool(self.logit_bias) or self.min_tokens > 0
        return self.penalises or shifted or bool(self.banned) or bool(self.allowed)
