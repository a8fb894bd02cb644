"""What glm-nano says to some questions: greedy, by lot, several at once, with guesses, repeated."""

import asyncio
from contextlib import aclosing
from typing import Any

from serve_app.messages import ChatRequest, Finish, Handling, Message, Role, Sampling

_QUESTIONS = (
    "What is the capital of France?",
    "Who are you?",
    "Repeat: the seven green apples fell from the old tree beside the river",
    "Spell the word river.",
    "What is 17 + 25?",
    "Count from 3 to 30.",
)
_WISHES: tuple[tuple[dict[str, Any], bool | None], ...] = (
    ({"temperature": 0.0}, None),
    ({"temperature": 0.0}, True),
    ({"temperature": 0.0, "n": 2}, None),
    ({"temperature": 0.8, "seed": 7}, None),
)


async def said(engine: Any) -> list[list[int]]:
    """All at once, then all again: their prompts are found in the cache then."""
    requests = [
        ChatRequest(
            f"{place}-{turn}",
            "glm-nano",
            (Message(Role.USER, question),),
            Sampling(max_tokens=48, **wishes),
            handling=Handling(tells_tokens=True, speculates=speculates),
        )
        for place, question in enumerate(_QUESTIONS)
        for turn, (wishes, speculates) in enumerate(_WISHES)
    ]
    rounds = [await asyncio.gather(*(_tokens(engine, each) for each in requests)) for _ in "ab"]
    return [answer for answers in rounds for answer in answers]


async def _tokens(engine: Any, request: ChatRequest) -> list[int]:
    found: dict[int, tuple[int, ...]] = {}
    async with aclosing(engine.generate(request)) as events:
        async for event in events:
            if isinstance(event, Finish) and event.spelt:
                found[event.choice] = event.spelt.tokens
    return [token for choice in sorted(found) for token in found[choice]]
