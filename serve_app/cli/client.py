"""A running server seen from outside: addresses, the event stream, its errors as ours."""

import ipaddress
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from serve_app.errors import CannotStart, Refused, ServeAppError, Unable

CHAT = "/v1/chat/completions"
MODELS = "/v1/models"

_TIMEOUT = httpx.Timeout(600, connect=5)  # seconds; an answer may wait long before its first token
_DATA = b"data:"


def is_loopback(url: str) -> bool:
    """Whether the address is this machine, seen from this machine."""
    address = httpx.URL(url)
    if address.scheme not in {"http", "https"} or not address.host:
        raise httpx.UnsupportedProtocol(url)
    try:
        return ipaddress.ip_address(address.host).is_loopback
    except ValueError:
        return address.host == "localhost"


def options(url: str) -> dict[str, Any]:
    """Arguments for an httpx client; a proxy must not stand before this machine's own ports."""
    return {
        "base_url": url.rstrip("/").removesuffix("/v1"),
        "timeout": _TIMEOUT,
        "trust_env": not is_loopback(url),
    }


@contextmanager
def errors_of(url: str) -> Iterator[None]:
    """Say what the network did in our words."""
    try:
        yield
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise CannotStart(
            f"{url} is not an address; expected one such as http://127.0.0.1:8000."
        ) from error
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise CannotStart(
            f"No server answers at {url}. Start one with `make serve`, "
            "or give the right address with --url."
        ) from error
    except httpx.HTTPError as error:
        raise Unable(f"The connection to {url} was lost.") from error


def error_in(status: int, body: bytes) -> ServeAppError:
    """Take the sentence out of an error response."""
    try:
        message = str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = f"The server answered with status {status} and no explanation."
    return Refused(message) if status < httpx.codes.INTERNAL_SERVER_ERROR else Unable(message)


def first_model(response: httpx.Response) -> str:
    """Take the name of the first model out of the answer to `MODELS`."""
    if response.is_error:
        raise error_in(response.status_code, response.content)
    try:
        return str(response.json()["data"][0]["id"])
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise Unable(f"{response.url} answers, but not as an OpenAI server does.") from error


class EventStream:
    """Cuts bytes into chunks of an answer.

    Lines end at LF alone: a text may hold other line separators, at which httpx would cut it.
    """

    def __init__(self) -> None:
        self._rest = b""
        self.done = False

    def feed(self, piece: bytes) -> Iterator[Mapping[str, Any]]:
        """Yield the chunks that became whole; raises Unable if the server reports an error."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            data = line.removeprefix(_DATA).strip() if line.startswith(_DATA) else b""
            if data == b"[DONE]":
                self.done = True
            elif data:
                yield self._chunk(data)

    def close(self) -> None:
        """Raise Unable if the stream ended before its end."""
        if not self.done:
            raise Unable("The answer was cut off: the server closed the stream early.")

    @staticmethod
    def _chunk(data: bytes) -> Mapping[str, Any]:
        try:
            chunk: Mapping[str, Any] = json.loads(data)
        except ValueError as error:
            raise Unable("The server sent an event that is not JSON.") from error
        if "error" in chunk:
            raise Unable(str(chunk["error"]["message"]))
        return chunk


def text_of(chunk: Mapping[str, Any]) -> str:
    """The text a chunk adds to the answer; often none."""
    return "".join(choice["delta"].get("content") or "" for choice in chunk["choices"])


def finish_of(chunk: Mapping[str, Any]) -> str | None:
    """Why the answer ended, if it did."""
    return next((c["finish_reason"] for c in chunk["choices"] if c.get("finish_reason")), None)
