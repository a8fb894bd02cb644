"""A small HTTP server of a pod's own: for Prometheus, the kubelet and the gateway's copies."""

import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST

_IDLE_S = 10.0


class Desk(BaseHTTPRequestHandler):
    """What every such server has in common."""

    timeout = _IDLE_S  # a client that stalls holds a thread no longer

    def answer(self, status: HTTPStatus, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", CONTENT_TYPE_LATEST)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """A scrape is not worth a line, and a path may hold what a tenant wrote."""


def open_at(port: int, handler: type[Desk]) -> ThreadingHTTPServer:
    """Serve in a thread, on all interfaces; the caller shuts it down. Port 0 takes a free one."""
    server = ThreadingHTTPServer(("", port), handler)
    threading.Thread(target=server.serve_forever, name=f"port-{port}", daemon=True).start()
    return server
