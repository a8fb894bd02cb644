"""TCP ports of this machine: is one free, and which others are."""

import errno
import socket
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from serve_app.errors import BadSettings, CannotStart, PortTaken


def require_free(host: str, port: int) -> None:
    """Raise PortTaken if somebody listens there already, BadSettings if nobody could."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # ignore closed connections
        try:
            probe.bind((host, port))
        except (OSError, UnicodeError) as error:
            raise _told(host, port, error) from error


def _told(host: str, port: int, error: OSError | UnicodeError) -> CannotStart:
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE:
        return PortTaken(
            f"server.port: another program listens on {host}:{port}; stop it "
            "or set GLM_SERVER__PORT to a free port."
        )
    if number == errno.EACCES:
        return BadSettings(
            f"server.port: this user may not listen on {port}; choose one above 1023."
        )
    return BadSettings(
        f"server.host: {host!r} cannot be listened on; expected an IPv4 address or "
        "a name of this machine, such as 127.0.0.1 or 0.0.0.0."
    )


class SparePorts:
    """Free ports, each told once; they are kept taken until the context ends."""

    def __init__(self) -> None:
        self._held = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._held.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> int:
        probe = self._held.enter_context(socket.socket())
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
