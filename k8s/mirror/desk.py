"""Where the gateway leaves its copies, and where Prometheus reads what came of them."""

import json
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from typing import Final

from prometheus_client.exposition import generate_latest

from k8s import desk
from k8s.mirror.scorer import Scorer

_LARGEST: Final = 1 << 20  # bytes of a body that is looked at


def serve(port: int, scorer: Scorer) -> ThreadingHTTPServer:
    """In a thread; `server.shutdown()` ends it. Port 0 takes a free one."""

    class Desk(desk.Desk):
        def do_POST(self) -> None:  # noqa: N802 -- so the server calls it
            """Whatever it was: nobody reads the answer to a copy."""
            length = self.headers.get("Content-Length", "")
            if length.isdecimal() and 0 < int(length) <= _LARGEST:
                try:
                    body = json.loads(self.rfile.read(int(length)))
                except ValueError:
                    body = None
                scorer.take(body, {name.lower(): value for name, value in self.headers.items()})
            else:
                self.close_connection = True  # the body is left unread
                scorer.numbers.dropped.labels("size").inc()
            self.answer(HTTPStatus.ACCEPTED, b"")

        def do_GET(self) -> None:  # noqa: N802 -- so the server calls it
            if self.path == "/metrics":
                self.answer(HTTPStatus.OK, generate_latest(scorer.numbers.registry))
            elif self.path == "/healthz":
                self.answer(HTTPStatus.OK, b"ok\n")
            else:
                self.answer(HTTPStatus.NOT_FOUND, b"")

    return desk.open_at(port, Desk)
