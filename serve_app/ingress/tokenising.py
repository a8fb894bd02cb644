"""/tokenize, /detokenize and /tokenizer_info: what a model makes of a text, and of tokens."""

from dataclasses import replace
from functools import partial
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from serve_app.errors import InvalidRequest, TooLong
from serve_app.ingress import body, wire
from serve_app.ingress.cards import Cards
from serve_app.ingress.entry import check_size
from serve_app.ingress.envelopes import Envelopes
from serve_app.messages import ModelCard
from serve_app.pipeline import Doors
from serve_app.settings import ServerSettings


class Tokenising:
    """Asks a model replica; nothing is generated, and what was sent goes back to its sender."""

    def __init__(self, doors: Doors, cards: Cards, settings: ServerSettings) -> None:
        self._generator = doors.generator
        self._cards = cards
        self._envelopes = Envelopes(settings)
        self._max_bytes = settings.max_body_bytes

    async def tokenize(self, request: Request) -> Response:
        read = partial(wire.to_tokenise, envelope=self._envelopes.of(request))
        wanted, with_pieces = await body.parsed(request, self._max_bytes, read)
        card = self._card(wanted.model)
        check_size(wanted, card)
        tokens = await self._generator.tokens(replace(wanted, model=card.name))
        pieces = await self._generator.pieces(card.name, tokens) if with_pieces else None
        count = {"count": len(tokens), "max_model_len": card.context_tokens}
        return _json({**count, "tokens": tokens, "token_strs": pieces})

    async def detokenize(self, request: Request) -> Response:
        model, tokens = await body.parsed(request, self._max_bytes, wire.to_spell)
        card = self._card(model)
        if len(tokens) > card.context_tokens:
            raise TooLong(f"Send at most {card.context_tokens} tokens.", "tokens")
        try:
            return _json({"prompt": await self._generator.spell(card.name, tokens)})
        except InvalidRequest as error:  # whoever spells does not know where the tokens stood
            raise InvalidRequest(error.message, "tokens") from None

    async def about(self, _: Request) -> Response:
        """GET /tokenizer_info."""
        card = self._cards.current
        told = await self._generator.about_tokens(card.name)
        return _json({**told, "model_max_length": card.context_tokens})

    def _card(self, name: str) -> ModelCard:
        return self._cards.find(name) if name else self._cards.current


def _json(content: dict[str, Any]) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")
