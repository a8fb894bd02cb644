"""May users be sent to this node? Its HAProxy is to stay, and the model answers through it.

A node that Serve takes its last replica from loses its HAProxy seconds later, while its pod runs
on. The application's own /ready cannot know, for it is asked on another node: so the node answers
for itself, on a port of its own.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

from serve_app.settings import ServerSettings

# HAProxy's own path is red as soon as it is to leave; ours generates.
PATHS = ("/-/healthz", "/ready")


@contextmanager
def listening(server: ServerSettings, port: int) -> Iterator[None]:
    """Answer GET at that port with 200 or 503 while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(HTTPStatus.OK if _is_ready(server) else HTTPStatus.SERVICE_UNAVAILABLE)

        def log_message(self, *_: object) -> None:
            """Probes come every few seconds, and Kubernetes tells of those that are red."""

    with ThreadingHTTPServer(("", port), Handler) as listener:
        thread = threading.Thread(target=listener.serve_forever, name="node-readiness", daemon=True)
        thread.start()
        try:
            yield
        finally:
            listener.shutdown()
            thread.join()


def _is_ready(server: ServerSettings) -> bool:
    with (
        suppress(httpx.HTTPError),
        httpx.Client(
            base_url=server.url, timeout=server.ready_deadline_s, trust_env=False
        ) as client,
    ):
        return all(client.get(path).is_success for path in PATHS)
    return False
