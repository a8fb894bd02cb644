"""A worker is ready while its HAProxy stays and the model answers through it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from serve_app import node_readiness
from serve_app.ports import SparePorts
from serve_app.settings import ServerSettings


@contextmanager
def proxy(*green: str) -> Iterator[ServerSettings]:
    """In the place of HAProxy: 200 for the paths that are green, 503 for others."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path in green
            self.send_error(HTTPStatus.OK if found else HTTPStatus.SERVICE_UNAVAILABLE)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield ServerSettings(host="127.0.0.1", port=server.server_port)
        server.shutdown()


def asked(server: ServerSettings) -> int:
    with SparePorts() as ports:
        port = next(ports)
    with node_readiness.listening(server, port):
        return httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).status_code


def test_it_is_ready_when_the_proxy_stays_and_the_model_answers() -> None:
    with proxy("/-/healthz", "/ready") as server:
        assert asked(server) == HTTPStatus.OK


@pytest.mark.parametrize("green", ["/-/healthz", "/ready"])
def test_either_of_both_is_not_enough(green: str) -> None:
    with proxy(green) as server:
        assert asked(server) == HTTPStatus.SERVICE_UNAVAILABLE


def test_without_a_proxy_it_is_not_ready() -> None:
    with SparePorts() as ports:
        nobody = ServerSettings(host="127.0.0.1", port=next(ports))
    assert asked(nobody) == HTTPStatus.SERVICE_UNAVAILABLE
