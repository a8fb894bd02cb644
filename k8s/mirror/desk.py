"""Where the gateway leaves its copies, and where Prometheus reads what came of them."""

import json
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.exposition import generate_latest

from k8s.mirror.scorer import Scorer

_LARGEST: Final = 1 << 20  # bytes of a body that is looked at


def serve(port: int, scorer: Scorer) -> ThreadingHTTPServer:
    """In a thread; `server.shutdown()` ends it. Port 0 takes a free one."""

    class Desk(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Whatever it was: nobody reads the answer to a copy."""
            length = int(self.headers.get("Content-Length") or 0)
            if 0 < length <= _LARGEST:
                try:
                    body = json.loads(self.rfile.read(length))
                except ValueError:
                    body = None
                scorer.take(body, {name.lower(): value for name, value in self.headers.items()})
            else:
                self.close_connection = True  # the body is left unread
                scorer.numbers.dropped.labels("size").inc()
            self._answer(HTTPStatus.ACCEPTED, b"")

        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(HTTPStatus.OK, generate_latest(scorer.numbers.registry))
            elif self.path == "/healthz":
                self._answer(HTTPStatus.OK, b"ok\n")
            else:
                self._answer(HTTPStatus.NOT_FOUND, b"")

        def _answer(self, status: HTTPStatus, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", CONTENT_TYPE_LATEST)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """A path may hold what a tenant wrote."""

    server = ThreadingHTTPServer(("", port), Desk)  # all interfaces: the gateway sends copies here
    threading.Thread(target=server.serve_forever, name="copies", daemon=True).start()
    return server
