"""Guesses checked in one step: what they gain where they are right, and cost where they are not.

The weights are changed so that a token alone decides the next, by a wide margin, and the answer
goes round every so many tokens: so texts repeat, and answers can be compared. `text` is what the
product does; `never` guesses wrong whenever it may.

usage: python -m tests.gpu.speculation
"""

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from serve_app.engine.drafts import Drafts
from serve_app.engine.engine import Engine
from serve_app.engine.gpu.runner import GpuRunner
from serve_app.engine.tokenizer import ChatTokenizer
from serve_app.messages import CompletionRequest, Finish, Handling, Sampling
from tests.gpu import shape
from tests.gpu.correctness import NANO
from tests.gpu.engine import engine_of
from tests.gpu.figures import Figures
from tests.gpu.whole_engine import build

PROMPT, ANSWER = 512, 256
STREAMS = (1, 8, 32)
FIRST, ROUND = 1000, 64  # the circle's tokens
Propose = Callable[[Drafts, list[int], int, int], tuple[int, ...]]
WORDS = "red green blue grey pink gold"


async def said(
    engine: Engine, prompt: tuple[int, ...], answer: int, *, speculates: bool
) -> tuple[int, ...]:
    sampling = Sampling(temperature=0.0, max_tokens=answer)
    request = CompletionRequest("r", "glm", prompt, sampling)
    request = replace(request, handling=Handling(tells_tokens=True, speculates=speculates))
    async with aclosing(engine.generate(request)) as events:
        async for event in events:
            if isinstance(event, Finish) and event.spelt:
                return event.spelt.tokens
    raise RuntimeError("An answer has an end.")


def ask(number: int) -> tuple[int, ...]:
    """A question that nano was trained on: to say something again."""
    words = " ".join(random.Random(number).choices(WORDS.split(), k=6))
    text = f"[gMASK]<sop><|user|>\nRepeat: the {words} apples<|assistant|>\n"
    return tuple(AutoTokenizer.from_pretrained(NANO)(text, add_special_tokens=False)["input_ids"])


async def alike() -> dict[str, Any]:
    """Answers of glm-nano with and without guesses."""
    model = AutoModelForCausalLM.from_pretrained(NANO, dtype=torch.bfloat16).eval().to("cuda")
    settings = shape.settings(
        kv_tokens=65536, page_tokens=16, max_running=64, step_tokens=512, speculation="by_request"
    )
    known = ChatTokenizer(AutoTokenizer.from_pretrained(NANO))
    engine = engine_of(
        GpuRunner(model, settings),
        settings,
        model.config.max_position_embeddings,
        known=known,
        eos_ids=model.generation_config.eos_token_id,
    )
    engine.start()
    texts = [ask(number) for number in range(24)]
    plain, guessed = [
        [await said(engine, text, 64, speculates=wish) for text in texts] for wish in (False, True)
    ]
    totals = engine._scheduler.totals
    await engine.stop()
    if list(map(len, plain)) != list(map(len, guessed)):
        return {"model": "glm-nano", "same": 0.0}
    pairs = [
        pair for one, two in zip(plain, guessed, strict=True) for pair in zip(one, two, strict=True)
    ]
    same = sum(one == two for one, two in pairs)
    return {
        "model": "glm-nano",
        "same": same / len(pairs),
        "tokens": len(pairs),
        "guessed": totals.drafted,
        "right": totals.accepted,
    }


def never(_: Drafts, _known: list[int], _awaited: int, most: int) -> tuple[int, ...]:
    return (3,) * most


def sitting_out(propose: Propose) -> Propose:
    """With the pauses that wrong guesses cost."""

    def patient(self: Drafts, known: list[int], awaited: int, most: int) -> tuple[int, ...]:
        return propose(self, known, awaited, most) if self.trust.allows() else ()

    return patient


@torch.no_grad()
def going_round(model: Any) -> Any:
    """Let layers add next to nothing, and the head name each token's next in a circle."""
    for layer in model.model.layers:
        layer.self_attn.o_proj.weight.mul_(1e-3)
        layer.mlp.down_proj.weight.mul_(1e-3)
    circle = model.model.embed_tokens.weight[FIRST : FIRST + ROUND]
    model.lm_head.weight.mul_(1e-3)
    model.lm_head.weight[FIRST : FIRST + ROUND] = circle.roll(1, 0)
    return model


async def level(engine: Engine, streams: int, figures: Figures) -> None:
    prompts = [
        (*shape.prompt(7000 * streams + each, PROMPT - 1), FIRST + each) for each in range(streams)
    ]
    own, answers, rates = Drafts.propose, {}, {}  # type: ignore[var-annotated]
    totals = engine._scheduler.totals
    for kind in ("off", "off again", "text", "never"):
        Drafts.propose = sitting_out(never) if kind == "never" else own  # type: ignore[method-assign]
        before, begun = (totals.drafted, totals.accepted), time.perf_counter()
        speculates = not kind.startswith("off")
        found = await asyncio.gather(
            *(said(engine, prompt, ANSWER, speculates=speculates) for prompt in prompts)
        )
        rates[kind] = streams * ANSWER / (time.perf_counter() - begun)
        answers = answers or dict(zip(prompts, found, strict=True))
        same = sum(
            one == two
            for prompt, answer in zip(prompts, found, strict=True)
            for one, two in zip(answers[prompt], answer, strict=True)
        )
        figures.tell(
            streams=streams,
            kind=kind,
            tokens_s=round(rates[kind], 1),
            against_off=round(rates[kind] / rates.get("off again", rates["off"]), 3),
            guessed=totals.drafted - before[0],
            right=totals.accepted - before[1],
            same=round(same / (streams * ANSWER), 4),
        )
    Drafts.propose = own  # type: ignore[method-assign]


async def run(figures: Figures) -> None:
    figures.tell(**await alike())
    engine, _ = build(going_round(shape.model()), shape.settings(speculation="by_request"))
    engine.start()
    for streams in STREAMS:
        await level(engine, streams, figures)
    await engine.stop()


def main() -> None:
    with Figures() as figures:
        asyncio.run(run(figures))


if __name__ == "__main__":
    main()
