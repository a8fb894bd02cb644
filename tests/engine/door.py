"""Random requests at the engine's door: each is served or refused in a sentence; the engine lives.

The suite takes a few thousand; all 100,000 by: python -m tests.engine.door
"""

import argparse
import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

import serve_app
from serve_app.engine.assembly import assemble
from serve_app.engine.engine import Engine
from serve_app.errors import EngineFailed, ServeAppError
from serve_app.messages import (
    Caller,
    ChatRequest,
    CompletionRequest,
    Ending,
    Finish,
    Handling,
    Message,
    Request,
    Role,
    Sampling,
    Structure,
    StructureKind,
    Tool,
    ToolCall,
    ToolChoice,
    ToolMode,
    Urgency,
)
from serve_app.settings import EngineSettings
from tests.engine.parts import CONTEXT, build

NANO = Path(serve_app.__file__).parent / "models" / "weights" / "glm-nano"
AT_ONCE = 32
TEXTS = ("", "hi", "你好 🎉", "<|user|>", "x" * 90, "x" * 2000, "\ud800", "a\x00b", "[gMASK]<sop>")
LENGTHS = (*(1, 2, 3, 5) * 10, 0, 10**9, None)
ODD = (-101.0, -2.1, -1, 0, 1e-9, 0.5, 1.0, 2, 2.5, 100.0, float("nan"), float("inf"))
STRUCTURES = (
    Structure(StructureKind.JSON_OBJECT),
    Structure(StructureKind.CHOICE, '["yes", "no"]'),
    Structure(StructureKind.CHOICE, "[]"),
    Structure(StructureKind.REGEX, "[0-9]{3}"),
    Structure(StructureKind.REGEX, "(((("),
    Structure(StructureKind.JSON_SCHEMA, '{"type": "object", "required": ["a"]}'),
    Structure(StructureKind.JSON_SCHEMA, '{"type": "nonsense"}'),
    Structure(StructureKind.JSON_SCHEMA, "not json"),
    Structure(StructureKind.JSON_SCHEMA, '{"uniqueItems": true}', strict=False),
    Structure(StructureKind.GRAMMAR, "root ::= [a-c]+"),
    Structure(StructureKind.GRAMMAR, 'start: "yes" | other'),
)
TOOLS = (
    Tool("weather", "of a city", '{"type": "object", "properties": {"city": {"type": "string"}}}'),
    Tool("time", strict=True, parameters='{"type": "object"}'),
    Tool("broken", parameters="{"),
)
Draw = Callable[[random.Random], Any]
WISHES: Mapping[str, Draw] = {
    "temperature": lambda chance: chance.choice(ODD),
    "top_p": lambda chance: chance.choice(ODD),
    "top_k": lambda chance: chance.choice((-1, 0, 1, 5, 2047, 2048, 2**31, 2**63)),
    "min_p": lambda chance: chance.choice(ODD),
    "repetition_penalty": lambda chance: chance.choice(ODD),
    "presence_penalty": lambda chance: chance.choice(ODD),
    "frequency_penalty": lambda chance: chance.choice(ODD),
    "logit_bias": lambda chance: tuple(
        (chance.choice((-1, 0, 5, 511, 512, 10**9)), chance.choice(ODD))
        for _ in range(chance.randrange(3))
    ),
    "seed": lambda chance: chance.choice((-(2**63), -1, 0, 7, 2**63 - 1)),
    "min_tokens": lambda chance: chance.choice((-1, 0, 1, 3, 10**6)),
    "ignore_eos": lambda chance: chance.random() < 0.5,
    "stop": lambda chance: tuple(chance.choices(("", "a", "你", "\n", "x" * 99), k=2)),
    "stop_token_ids": lambda chance: tuple(chance.choices((-1, 0, 9, 511, 10**9), k=2)),
    "n": lambda chance: chance.choice((-1, 0, 1, 1, 2, 3)),
    "logprobs": lambda chance: chance.choice((-1, 0, 1, 20, 21)),
    "prompt_logprobs": lambda chance: chance.choice((-1, 0, 1, 20, 21)),
    "bad_words": lambda chance: tuple(chance.choices(("", "a", " the", "你", "\ud800"), k=2)),
    "allowed_token_ids": lambda chance: tuple(chance.choices((0, 4, 5, 511, 10**9), k=2)),
    "keeps_stop": lambda chance: chance.random() < 0.5,
    "hides_special": lambda chance: chance.random() < 0.5,
}


def sampling(chance: random.Random) -> Sampling:
    """Half of them ask for little; raises ValueError as the messages do."""
    wished = chance.sample(sorted(WISHES), k=chance.choice((0, 1, 1, 2, 2, 8)))
    wishes = {name: WISHES[name](chance) for name in wished}
    return Sampling(max_tokens=chance.choice(LENGTHS), **wishes)


def handling(chance: random.Random) -> Handling:
    last = chance.choice((None, None, None, -1, 0, 5, 10**6))
    guesses = chance.choice((None, False, True))
    return Handling(last, chance.choice(("", "", "salt")), chance.random() < 0.2, guesses)


def message(chance: random.Random, role: Role) -> Message:
    """Calls and thoughts are an assistant's by right; others may have them all the same."""
    calls = (ToolCall("c", chance.choice(("time", "<|user|>")), chance.choice(("{}", "[", ""))),)
    return Message(
        role,
        chance.choice(TEXTS),
        reasoning=chance.choice(("", "", "hm</think>", "\ud800")),
        tool_calls=calls if chance.random() < 0.2 else (),
        tool_call_id=chance.choice((None, "c")),
    )


def request(chance: random.Random, number: int) -> Request:
    """Some random request; raises ValueError where no such request can be made."""
    urgency = Urgency(chance.choice((-5, 0, 0, 9)), chance.choice((None, None, 0.0, 60.0)))
    common: dict[str, Any] = {
        "request_id": str(number),
        "model": "glm",
        "sampling": sampling(chance),
        "caller": Caller(chance.choice(("acme", "globex", ""))),
        "structure": chance.choice(STRUCTURES) if chance.random() < 0.03 else None,
        "urgency": urgency,
        "handling": handling(chance),
    }
    if chance.random() < 0.3:
        ids = tuple(chance.choices((-1, 0, 5, 100, 511, 512, 10**9), k=chance.randrange(4)))
        prompt = chance.choice((ids, chance.choice(TEXTS)))
        has_prefix = chance.random() < 0.5
        return CompletionRequest(
            prompt=prompt, echo=chance.random() < 0.5, has_prefix=has_prefix, **common
        )
    roles = chance.choices(list(Role), k=chance.randrange(4))
    messages = tuple(message(chance, role) for role in roles)
    ending = chance.choice((Ending.ANSWER, Ending.ANSWER, Ending.NOTHING, Ending.CONTINUED))
    thinking = chance.choice((None, None, True, False))
    plain = ChatRequest(messages=messages, ending=ending, thinking=thinking, **common)
    if chance.random() < 0.97:
        return plain
    tools = tuple(chance.sample(TOOLS, k=chance.randrange(3)))
    name, allowed = chance.choice((None, "time", "nobody")), chance.choice(((), ("time",)))
    choice = ToolChoice(chance.choice(list(ToolMode)), name, allowed)
    return replace(plain, tools=tools, tool_choice=choice)


async def outcome(engine: Engine, asked: Request) -> str:
    """How one request ended; raises what no request may end with."""
    finishes = 0
    try:
        async with aclosing(engine.generate(asked)) as events:
            async for event in events:
                finishes += isinstance(event, Finish)
    except EngineFailed:
        raise
    except ServeAppError as refusal:
        if not refusal.message.endswith("."):
            raise AssertionError("A refusal is a sentence.") from refusal
        return type(refusal).__name__
    if finishes != asked.sampling.n:
        raise AssertionError("Each choice has one finish.")
    return "served"


async def knock(engine: Engine, count: int, seed: int) -> Counter[str]:
    """Send random requests, some at once; return how many ended how."""
    ends: Counter[str] = Counter()
    chance = random.Random(seed)
    batch: list[Request] = []
    for number in range(count):
        try:
            batch.append(request(chance, number))
        except ValueError:
            ends["no such request"] += 1
        if len(batch) == AT_ONCE or number == count - 1:
            ends.update(await asyncio.gather(*(outcome(engine, asked) for asked in batch)))
            batch = []
    return ends


def engine() -> Engine:
    """A tiny random model behind glm-nano's tokenizer."""
    chosen = EngineSettings(
        kv_tokens=4 * CONTEXT, page_tokens=8, step_tokens=64, speculation="by_request"
    )
    return assemble(
        model=build("glm", torch.float32, vocabulary=2048),
        tokenizer=AutoTokenizer.from_pretrained(NANO),
        settings=chosen,
        context_tokens=128,
        eos_ids=(0, 4),
        defaults=Sampling(temperature=0.0),
    )


async def run(count: int, seed: int) -> Counter[str]:
    """Knock, then ask one plain question: the engine lives, and owes nobody a page."""
    opened = engine()
    opened.start()
    try:
        ends = await knock(opened, count, seed)
        plain = ChatRequest("last", "glm", (Message(Role.USER, "hi"),), Sampling(max_tokens=3))
        if await outcome(opened, plain) != "served":
            raise AssertionError("The engine did not come through.")
        stats = opened.stats()
        if stats.running or stats.waiting or stats.kv_usage:
            raise AssertionError("The engine still owes somebody something.")
    finally:
        await opened.stop()
    return ends


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(json.dumps(asyncio.run(run(arguments.count, arguments.seed)), indent=2))  # noqa: T201


if __name__ == "__main__":
    main()
