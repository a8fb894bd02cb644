"""`glm-serve chat` talks: through a pipe, and in a terminal."""

import os
import pty
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from serve_app.cli.conversation import Conversation
from serve_app.errors import Unable

Run = Callable[..., Any]


def test_one_question_from_a_pipe_is_answered(glm_serve: Run, server: Any) -> None:
    done = glm_serve(
        *("chat", "--url", server.url, "--system", "Be kind.", "--temperature", "0"),
        stdin="hello there\n",
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "<hello><there>\n", "")
    assert server.bodies == [
        {
            "model": "echo",
            "messages": [
                {"role": "system", "content": "Be kind."},
                {"role": "user", "content": "hello there"},
            ],
            "stream": True,
            "temperature": 0,
        }
    ]


def test_the_model_asked_for_is_the_model_asked(glm_serve: Run, server: Any) -> None:
    glm_serve("chat", "--url", f"{server.url}/v1", "--model", "other", stdin="hello")

    assert server.bodies[0]["model"] == "other"


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ("refuse", "The line is full."),
        ("fail", "The engine failed."),
        ("cut", "The answer was cut off: the server closed the stream early."),
    ],
)
def test_a_failed_answer_is_one_sentence_and_exit_code_one(
    glm_serve: Run, server: Any, question: str, sentence: str
) -> None:
    done = glm_serve("chat", "--url", server.url, stdin=question)

    assert done.returncode == 1
    assert done.stderr == f"{sentence}\n"


def test_an_answer_that_met_its_limit_says_so(glm_serve: Run, server: Any) -> None:
    done = glm_serve("chat", "--url", server.url, stdin="long")

    assert done.stderr == "[the answer reached its token limit]\n"


def test_an_answer_cannot_drive_the_terminal(glm_serve: Run, server: Any) -> None:
    done = glm_serve("chat", "--url", server.url, stdin="\x1b[2Jred\x9b31m\x07 你\u3000好")

    assert done.stdout == "<[2Jred31m><你\u3000好>\n"


def test_an_empty_pipe_is_told_what_to_do(glm_serve: Run, server: Any) -> None:
    done = glm_serve("chat", "--url", server.url, stdin=" \n")

    assert done.returncode == 1
    assert done.stderr.startswith("There is no question in the pipe")


def test_without_a_server_there_is_one_sentence(glm_serve: Run, nobody: str) -> None:
    done = glm_serve("chat", "--url", nobody, stdin="hello")

    assert done.returncode == 1
    assert done.stderr.startswith(f"No server answers at {nobody}.")


def test_the_server_of_the_settings_is_asked(glm_serve: Run, nobody: str) -> None:
    done = glm_serve("chat", stdin="hello", GLM_SERVER__PORT=nobody.rpartition(":")[2])

    assert done.stderr.startswith(f"No server answers at {nobody}.")


def test_what_is_no_address_is_said_to_be_none(glm_serve: Run) -> None:
    done = glm_serve("chat", "--url", "127.0.0.1:8000", stdin="hello")

    assert done.returncode == 1
    assert "127.0.0.1:8000 is not an address" in done.stderr


@pytest.fixture
def conversation(server: Any) -> Iterator[Conversation]:
    """A conversation with the small server."""
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        yield Conversation(client, "echo")


def test_what_was_said_goes_along_with_the_next_question(
    conversation: Conversation, server: Any
) -> None:
    list(conversation.ask("one"))
    list(conversation.ask("two"))

    assert server.bodies[1]["messages"] == [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "<one>"},
        {"role": "user", "content": "two"},
    ]


def test_a_stopped_answer_is_remembered_as_far_as_it_went(
    conversation: Conversation, server: Any
) -> None:
    answer = conversation.ask("hold")
    while next(answer) != "<hold>":
        pass

    answer.close()

    assert server.ended.wait(30)
    assert conversation.turns[-1] == {"role": "assistant", "content": "<hold>"}


def test_a_question_that_was_refused_is_forgotten(conversation: Conversation) -> None:
    with pytest.raises(Unable):
        list(conversation.ask("refuse"))

    assert conversation.turns == []


class Terminal:
    """A person before the program."""

    def __init__(self, arguments: list[str | Path], environ: dict[str, str]) -> None:
        self._held = ExitStack()
        self._mine, its = pty.openpty()
        # What a shell has begun in the background, as tests may be, would ignore Ctrl-C.
        arguments = ["env", "--default-signal=INT", *arguments]
        self._held.callback(os.close, self._mine)
        self.program = self._held.enter_context(
            subprocess.Popen(arguments, stdin=its, stdout=its, stderr=its, env=environ)
        )
        os.close(its)
        self._seen = ""

    def close(self) -> None:
        self.program.kill()
        self._held.close()

    def type(self, text: str) -> None:
        os.write(self._mine, text.encode())

    def wait_for(self, text: str) -> None:
        """Read until `text` appears; what comes after it is kept for the next call."""
        while text not in self._seen:
            self._seen += os.read(self._mine, 4096).decode(errors="replace")
        self._seen = self._seen.partition(text)[2]


@pytest.fixture
def terminal(program: Path, server: Any, quiet: dict[str, str]) -> Iterator[Terminal]:
    """`glm-serve chat` at its first prompt."""
    terminal = Terminal([program, "chat", "--url", server.url], quiet)
    terminal.wait_for("Ctrl-C stops an answer.")
    terminal.wait_for("> ")
    yield terminal
    terminal.close()


def test_a_conversation_runs_over_turns_and_can_be_forgotten(
    terminal: Terminal, server: Any
) -> None:
    terminal.type("one\n")
    terminal.wait_for("<one>")
    terminal.type("two\n")
    terminal.wait_for("<two>")
    terminal.type("/reset\n")
    terminal.wait_for("Forgotten.")
    terminal.type("three\n")
    terminal.wait_for("<three>")
    terminal.type("/exit\n")

    assert terminal.program.wait() == 0
    assert [len(body["messages"]) for body in server.bodies] == [1, 3, 1]


def test_ctrl_c_stops_the_answer_and_not_the_conversation(terminal: Terminal, server: Any) -> None:
    terminal.type("hold\n")
    terminal.wait_for("<hold>")
    terminal.program.send_signal(signal.SIGINT)
    terminal.wait_for("[stopped]")

    assert server.ended.wait(30)

    terminal.wait_for("> ")
    terminal.type("on\n")
    terminal.wait_for("<on>")


def test_ctrl_c_at_the_prompt_explains_how_to_leave(terminal: Terminal) -> None:
    terminal.program.send_signal(signal.SIGINT)
    terminal.type("\n")  # readline sees a signal that came before it waited with the next line

    terminal.wait_for("/exit or Ctrl-D leaves")


def test_ctrl_d_leaves(terminal: Terminal) -> None:
    terminal.type("\x04")

    assert terminal.program.wait() == 0


def test_an_error_does_not_end_the_conversation(terminal: Terminal) -> None:
    terminal.type("refuse\n")
    terminal.wait_for("The line is full.")
    terminal.wait_for("> ")
    terminal.type("again\n")

    terminal.wait_for("<again>")
