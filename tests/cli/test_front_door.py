"""The terminal and the real front door speak the same language."""

import asyncio
import json
from asyncio.subprocess import PIPE
from pathlib import Path

from tests.ingress.house import House


async def ask(program: Path, environ: dict[str, str], *arguments: str) -> tuple[int, str, str]:
    """Run the program beside the server in this loop; "hi" is in its pipe."""
    running = await asyncio.create_subprocess_exec(
        program, *arguments, env=environ, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    told, complained = await running.communicate(b"hi")
    return running.returncode or 0, told.decode(), complained.decode()


async def test_chat_understands_the_front_door(program: Path, quiet: dict[str, str]) -> None:
    async with House().listening() as url:
        assert await ask(program, quiet, "chat", "--url", url) == (0, "Hello world\n", "")


async def test_chat_repeats_the_front_doors_refusal(program: Path, quiet: dict[str, str]) -> None:
    async with House().listening() as url:
        code, told, complained = await ask(program, quiet, "chat", "--url", url, "--model", "x")

    assert (code, told) == (1, "")
    assert "glm-nano" in complained


async def test_bench_counts_the_front_doors_tokens(program: Path, quiet: dict[str, str]) -> None:
    async with House().listening() as url:
        code, told, _ = await ask(
            program, quiet, "bench", "--url", url, "--json", "--requests", "4"
        )

    report = json.loads(told)
    assert (code, report["errors"]) == (0, {})
    assert report["tokens"] == 4 * 2
