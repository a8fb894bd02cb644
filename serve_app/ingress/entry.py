"""What can be refused without asking a model."""

from serve_app.errors import InvalidRequest, TooLong
from serve_app.ingress.cards import Cards
from serve_app.ingress.wire import Order
from serve_app.messages import ChatRequest, CompletionRequest, ModelCard, Request, texts
from serve_app.settings import ServerSettings

_LONGEST_TOKEN = 128  # characters: a run of spaces in GLM-4's vocabulary, which grew from cl100k


class Entry:
    """Knows the models and the limits of the settings."""

    def __init__(self, cards: Cards, settings: ServerSettings) -> None:
        self._cards = cards
        self._settings = settings

    def admit(self, order: Order) -> ModelCard:
        """The model that shall answer; raises UnknownModel, InvalidRequest or TooLong."""
        card = self._cards.find(order.request.model)
        self._check_priority(order.request)
        self._check_choices(order)
        for request in order.requests:
            check_size(request, card)
        return card

    def _check_choices(self, order: Order) -> None:
        """Each of them is a place in the batch."""
        most, n = self._settings.max_choices, order.request.sampling.n
        if n > most:
            raise InvalidRequest(f"'n' must be at most {most}.", "n")
        if n * len(order.requests) > most:
            raise InvalidRequest(
                f"The prompts times 'n' must be at most {most}; send fewer at once.", "prompt"
            )

    def _check_priority(self, request: Request) -> None:
        low, high = self._settings.min_priority, self._settings.max_priority
        if not low <= request.urgency.priority <= high:
            raise InvalidRequest(f"'priority' must be from {low} to {high}.", "priority")


def check_size(request: Request, card: ModelCard) -> None:
    """What can be known without counting tokens, before the guard reads a word of it.

    A message is at least one token, and so are as many characters as the longest one has.
    """
    param = "messages" if isinstance(request, ChatRequest) else "prompt"
    holds = f"the {card.context_tokens} tokens this model holds, prompt and answer together"
    if isinstance(request, ChatRequest) and len(request.messages) > card.context_tokens:
        raise TooLong(f"There are more messages than {holds}; send fewer.", param)
    if _tokens(request) > card.context_tokens:
        raise TooLong(f"The prompt has more tokens than {holds}; send fewer.", param)
    if _characters(request) > card.context_tokens * _LONGEST_TOKEN:
        raise TooLong(f"The text is longer than {holds}; send less of it.", param)
    if (request.sampling.max_tokens or 0) > card.context_tokens:
        raise TooLong(f"'max_tokens' is more than {holds}; ask for fewer.", "max_tokens")


def _tokens(request: Request) -> int:
    """Those that are counted already."""
    if isinstance(request, CompletionRequest) and isinstance(request.prompt, tuple):
        return len(request.prompt)
    return 0


def _characters(request: Request) -> int:
    return sum(map(len, texts(request)))
