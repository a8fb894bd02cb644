"""What one engine may hold and do at once."""

from dataclasses import dataclass
from typing import Self

from serve_app.settings import EngineSettings

_CHATS = 16  # one part in so many of all pages is kept from documents that can do without


@dataclass(frozen=True, slots=True)
class Limits:
    """Pages, tokens and sequences, as the scheduler counts them."""

    pages: int
    page_tokens: int
    step_tokens: int
    max_running: int
    max_waiting: int
    max_waiting_tokens: int
    long_prompt_tokens: int
    long_floor_tokens: int
    long_step_tokens: int
    draft_tokens: int = 0  # that a sequence may guess; 0: none
    host_pages: int = 0  # kept in the host's memory; 0: none
    recalled_tokens: int = 2048  # that come back from there in one step, in less time than it takes

    @classmethod
    def of(cls, settings: EngineSettings) -> Self:
        """Count the cache in whole pages."""
        return cls(
            pages=settings.kv_tokens // settings.page_tokens,
            page_tokens=settings.page_tokens,
            step_tokens=settings.step_tokens,
            max_running=settings.max_running,
            max_waiting=settings.max_waiting,
            max_waiting_tokens=settings.max_waiting_tokens,
            long_prompt_tokens=settings.long_prompt_tokens,
            long_floor_tokens=settings.long_floor_tokens,
            long_step_tokens=settings.long_step_tokens,
            draft_tokens=0 if settings.speculation == "off" else settings.draft_tokens,
            host_pages=settings.host_kv_tokens // settings.page_tokens,
        )

    @property
    def floor(self) -> int:
        """Tokens a step keeps for the long lane; half the step at most, for others live too."""
        return min(self.long_floor_tokens, self.step_tokens // 2)

    @property
    def rest(self) -> int:
        """Tokens of chats' prompts that are read before documents go first in a step."""
        return self.step_tokens

    @property
    def turn(self) -> int:
        """Tokens that documents take then; half the step at most, for chats have waited too."""
        return min(self.long_step_tokens, self.step_tokens // 2)

    @property
    def reserve(self) -> int:
        """Pages the long lane leaves to others, unless a document needs nearly the whole cache."""
        return self.pages // _CHATS

    @property
    def recalled(self) -> int:
        """Pages that may come back from the host in one step."""
        return max(1, self.recalled_tokens // self.page_tokens)

    def pages_for(self, tokens: int) -> int:
        return -(-tokens // self.page_tokens)
