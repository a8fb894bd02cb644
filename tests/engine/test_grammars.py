"""Making matchers: once for equal forms, beside the loop, within limits."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from serve_app.engine.grammar import grammars as module
from serve_app.engine.grammar.form import Form
from serve_app.engine.grammar.grammars import Grammars
from serve_app.errors import EngineFailed, InvalidRequest, Overloaded
from serve_app.messages import Structure, StructureKind, Tool, ToolChoice, ToolMode
from tests.engine.parts import until
from tests.engine.walks import encode, nano_alphabet, takes_whole

# Forty patterns that must hold at once: nobody has seen the library come to an end with them.
ENDLESS = {"allOf": [{"type": "string", "pattern": f"a.{{{n}}}b"} for n in range(1, 41)]}
LONG_S = 3600.0


def choice(*texts: str) -> Form:
    return Form(Structure(StructureKind.CHOICE, json.dumps(texts)))


def schema(source: Any) -> Form:
    return Form(Structure(StructureKind.JSON_SCHEMA, json.dumps(source)))


@pytest.fixture
async def grammars() -> AsyncIterator[Grammars]:
    grammars = Grammars(nano_alphabet(), max_bytes=2_000, compile_s=20.0)
    yield grammars
    await asyncio.to_thread(grammars.close)


@pytest.fixture
async def hasty() -> AsyncIterator[Grammars]:
    grammars = Grammars(nano_alphabet(), max_bytes=10_000, compile_s=0.2)
    yield grammars
    await asyncio.to_thread(grammars.close)


async def test_equal_forms_are_made_once_and_give_matchers_of_their_own(
    grammars: Grammars, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def make(tokenizer: Any, grammar: str, **options: Any) -> Any:
        made.append(grammar)
        return matcher(tokenizer, grammar, **options)

    matcher = module.LLMatcher
    monkeypatch.setattr(module, "LLMatcher", make)
    first, second = await asyncio.gather(*(grammars.compile(choice("yes")) for _ in range(2)))
    third = await grammars.compile(choice("yes"))
    assert len(made) == 1
    assert first
    first.accept(encode("y")[0])
    for other in (second, third):
        assert other
        assert takes_whole(other, "yes")


async def test_the_oldest_are_forgotten(grammars: Grammars) -> None:
    for number in range(130):
        await grammars.compile(choice(str(number)))
    assert len(grammars._known) == 128


async def test_what_was_refused_may_be_tried_again(grammars: Grammars) -> None:
    for _ in range(2):
        with pytest.raises(InvalidRequest):
            await grammars.compile(schema({"enum": []}))
    assert not grammars._known


async def test_whoever_shares_a_refusal_is_told_the_field_that_it_sent(grammars: Grammars) -> None:
    fields = ["response_format", "structured_outputs.json"]
    wrong = [
        Form(Structure(StructureKind.JSON_SCHEMA, '{"enum": []}', param=field)) for field in fields
    ]
    refusals = await asyncio.gather(*map(grammars.compile, wrong), return_exceptions=True)
    assert [getattr(refusal, "param", None) for refusal in refusals] == fields


async def test_a_form_that_binds_nothing_has_no_matcher(grammars: Grammars) -> None:
    assert await grammars.compile(Form(tools=(Tool("now"),))) is None


@pytest.mark.parametrize(
    ("form", "field"),
    [
        (choice("x" * 2_000), "response_format"),
        (schema({"const": "x" * 2_000}), "response_format"),
        (
            Form(
                tools=(Tool("t", parameters=json.dumps({"title": "漢" * 700})),) * 2,
                choice=ToolChoice(ToolMode.REQUIRED),
            ),
            "tools",
        ),
    ],
)
async def test_too_many_bytes_are_refused_before_any_work(
    grammars: Grammars, form: Form, field: str
) -> None:
    with pytest.raises(InvalidRequest, match="2000 are allowed") as refusal:
        await grammars.compile(form)
    assert refusal.value.param == field
    assert not grammars._known


async def test_work_without_an_end_is_ended_and_others_do_not_notice(hasty: Grammars) -> None:
    endless = [schema(ENDLESS | {"title": str(number)}) for number in range(3)]
    results = await asyncio.gather(
        *map(hasty.compile, endless), hasty.compile(choice("yes")), return_exceptions=True
    )
    for refusal in results[:3]:
        assert isinstance(refusal, InvalidRequest)
        assert "takes too long" in refusal.message
    assert takes_whole(results[3], "yes")  # type: ignore[arg-type] - pytest shows what else it is


async def test_whoever_leaves_does_not_take_it_from_the_others(grammars: Grammars) -> None:
    leaves, stays = (asyncio.create_task(grammars.compile(choice("yes"))) for _ in range(2))
    await until(lambda: grammars._known)
    leaves.cancel()
    matcher = await stays
    assert matcher
    assert takes_whole(matcher, "yes")


async def test_too_many_at_once_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_AT_ONCE", 1)
    patient = Grammars(nano_alphabet(), max_bytes=10_000, compile_s=LONG_S)
    under_way = asyncio.create_task(patient.compile(schema(ENDLESS)))
    await until(lambda: patient._known)
    with pytest.raises(Overloaded):
        await patient.compile(choice("yes"))
    await asyncio.to_thread(patient.close)
    with pytest.raises(EngineFailed):
        await under_way


async def test_closing_ends_what_is_under_way() -> None:
    patient = Grammars(nano_alphabet(), max_bytes=10_000, compile_s=LONG_S)
    under_way = asyncio.create_task(patient.compile(schema(ENDLESS)))
    await until(lambda: any(prover._process for prover in patient._provers))
    await asyncio.to_thread(patient.close)
    with pytest.raises(EngineFailed):
        await under_way
    assert not any(prover._process for prover in patient._provers)


async def test_closing_fails_also_what_has_not_begun() -> None:
    patient = Grammars(nano_alphabet(), max_bytes=10_000, compile_s=LONG_S)
    endless = [schema(ENDLESS | {"title": str(number)}) for number in range(3)]
    under_way = [asyncio.create_task(patient.compile(form)) for form in endless]
    await until(lambda: all(prover._process for prover in patient._provers))
    waiting = patient._known[endless[-1]]
    await asyncio.to_thread(patient.close)
    ends = await asyncio.gather(*under_way, return_exceptions=True)
    assert waiting.cancelled()
    assert [type(end) for end in ends] == [EngineFailed] * 3
