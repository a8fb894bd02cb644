"""TCP ports of this machine: is one free, and which others are."""

import socket
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from serve_app.errors import PortTaken


def require_free(host: str, port: int) -> None:
    """Raise PortTaken if somebody listens there already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # ignore closed connections
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortTaken(
                f"server.port: {host}:{port} cannot be listened on ({error.strerror}); stop the "
                "other program or set GLM_SERVER__PORT to a free port."
            ) from error


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
