"""`glm-serve chat`: talks in the terminal to a running server."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from serve_app.cli.options import Model, Url
from serve_app.errors import InvalidRequest, ServeAppError

if TYPE_CHECKING:
    from serve_app.cli.conversation import Conversation

_HELP = "/reset forgets the conversation, /exit or Ctrl-D leaves, Ctrl-C stops an answer."
_ENDINGS = {
    "length": "[the answer reached its token limit]",
    "content_filter": "[the content filter ended the answer]",
}
_CONTROLS = {code: None for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


def chat(
    *,
    url: Url,
    model: Model = None,
    system: Annotated[
        str | None, typer.Option("--system", metavar="TEXT", help="How the model should behave.")
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option("--temperature", min=0, max=2, help="0 always takes the likeliest token."),
    ] = None,
) -> None:
    """Talk to a running server; the answer comes as it is made.

    With a pipe, one question is read and answered: echo "hello" | glm-serve chat
    """
    import httpx

    from serve_app.cli.client import MODELS, errors_of, first_model, options
    from serve_app.cli.conversation import Conversation

    with errors_of(url), httpx.Client(**options(url)) as client:
        name = model or first_model(client.get(MODELS))
        conversation = Conversation(client, name, system, temperature)
        if sys.stdin.isatty():
            _talk(conversation, url)
        else:
            _answer_pipe(conversation)


def _answer_pipe(conversation: "Conversation") -> None:
    question = sys.stdin.buffer.read().decode(errors="replace").strip()
    if not question:
        raise InvalidRequest('There is no question in the pipe; try: echo "hello" | glm-serve chat')
    _answer(conversation, question)


def _talk(conversation: "Conversation", url: str) -> None:
    import readline  # noqa: F401 -- its import gives input() line editing

    typer.secho(f"{conversation.model} at {url}. {_HELP}", dim=True)
    while (line := _next_line()) is not None:
        match line:
            case "":
                continue
            case "/exit" | "/quit":
                return
            case "/reset":
                conversation.reset()
                typer.secho("Forgotten.", dim=True)
            case "/help":
                typer.secho(_HELP, dim=True)
            case question:
                _answer_or_tell_why_not(conversation, question, url)


def _next_line() -> str | None:
    """What was typed; "" after Ctrl-C, None after Ctrl-D."""
    try:
        line = input("> ")
    except KeyboardInterrupt:
        typer.secho(f"\n{_HELP}", dim=True)
        return ""
    except EOFError:
        typer.echo()
        return None
    return line.encode(errors="surrogateescape").decode(errors="replace").strip()


def _answer_or_tell_why_not(conversation: "Conversation", question: str, url: str) -> None:
    from serve_app.cli.client import errors_of

    try:
        with errors_of(url):
            _answer(conversation, question)
    except KeyboardInterrupt:
        typer.secho("\n[stopped]", dim=True)
    except ServeAppError as error:
        typer.secho(error.message, fg=typer.colors.RED, err=True)


def _answer(conversation: "Conversation", question: str) -> None:
    from contextlib import closing

    with closing(conversation.ask(question)) as texts:
        for text in texts:
            typer.echo(_harmless(text), nl=False)
    typer.echo()
    ending = _ENDINGS.get(conversation.finish or "")
    if ending:
        typer.secho(ending, dim=True, err=True)


def _harmless(text: str) -> str:
    """Without control characters: a model's words may not drive the terminal."""
    return text.translate(_CONTROLS)
