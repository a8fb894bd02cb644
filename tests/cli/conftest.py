"""A small real server that speaks OpenAI's stream, and the command line before it."""

import asyncio
import io
import json
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from serve_app.cli import main

PROGRAM = Path(sys.executable).with_name("glm-serve")
HEARTBEAT_S = 0.05  # wakes a client that waits, so that a signal which came too early is seen
Frame = Mapping[str, Any] | str


def chunk(text: str, reason: str | None = None) -> Frame:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": reason}]}


def usage(tokens: int) -> Frame:
    return {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": tokens}}


@dataclass
class Server:
    """Answers with the words of the question, or as the question asks it to misbehave."""

    url: str
    bodies: list[dict[str, Any]] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    async def chat(self, request: Request) -> Response:
        body = await request.json()
        self.bodies.append(body)
        question = body["messages"][-1]["content"]
        if question == "refuse":
            return JSONResponse({"error": {"message": "The line is full."}}, status_code=503)
        return StreamingResponse(self._stream(question), media_type="text/event-stream")

    async def models(self, _: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": "echo", "object": "model"}]})

    async def _stream(self, question: str) -> AsyncIterator[bytes]:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            async for frame in self._frames(question):
                text = frame if isinstance(frame, str) else json.dumps(frame, ensure_ascii=False)
                data = f"data: {text}\n\n".encode()
                yield data[:7]  # a piece may end anywhere
                yield data[7:]
        finally:
            self.under_way -= 1
            self.ended.set()

    async def _frames(self, question: str) -> AsyncIterator[Frame]:
        words = question.split(" ")
        yield chunk("")
        for word in words:
            yield chunk(f"<{word}>")
        match question:
            case "hold":
                while True:  # only a client that hangs up ends this
                    await asyncio.sleep(HEARTBEAT_S)
                    yield chunk("")
            case "cut":
                return
            case "fail":
                yield {"error": {"message": "The engine failed."}}
                return
        yield chunk("", "length" if question == "long" else "stop")
        yield usage(len(words))
        yield "[DONE]"


@pytest.fixture
def server() -> Iterator[Server]:
    """A server on a free loopback port, which takes connections from the first moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        echo = Server(f"http://127.0.0.1:{listener.getsockname()[1]}")
        routes = [
            Route("/v1/models", echo.models),
            Route("/v1/chat/completions", echo.chat, methods=["POST"]),
        ]
        settings = uvicorn.Config(
            Starlette(routes=routes), ws="none", log_level="error", timeout_graceful_shutdown=1
        )
        runner = uvicorn.Server(settings)
        thread = threading.Thread(target=runner.run, args=([listener],))
        thread.start()
        yield echo
        runner.should_exit = True
        thread.join()


@pytest.fixture
def nobody() -> str:
    """An address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def quiet() -> dict[str, str]:
    """The environment without settings of ours, colours or terminal tricks."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("GLM_")}
    return ours | {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200"}


@pytest.fixture
def program() -> Path:
    """The installed command."""
    return PROGRAM


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def glm_serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """Run the program's main function in an empty folder, as a shell would start it."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, stdin: str = "", **environ: str) -> Done:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["glm-serve", *arguments])
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
            for name in [name for name in os.environ if name.startswith("GLM_")]:
                patch.delenv(name)
            for name, value in {"COLUMNS": "200", "NO_COLOR": "1", **environ}.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                main()
        return Done(int(ended.value.code or 0), *capsys.readouterr())

    return run
