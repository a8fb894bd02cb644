"""A pod that leaves waits for one that is ready, and for nobody who never comes."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from serve_app.cli import handover
from serve_app.cli.handover import Sight, is_over


@pytest.mark.parametrize(
    ("sight", "waited_s", "over"),
    [
        (Sight.READY, 0, True),
        (Sight.COMING, 0, False),
        (Sight.COMING, 239, False),
        (Sight.COMING, 240, True),
        (Sight.NOBODY, 0, False),
        (Sight.NOBODY, 29, False),
        (Sight.NOBODY, 30, True),
    ],
)
def test_it_waits_for_who_is_coming_and_not_for_nobody(
    sight: Sight, waited_s: float, over: bool
) -> None:
    assert is_over(sight, waited_s, limit_s=240) is over


def test_a_short_limit_holds_also_for_nobody() -> None:
    assert is_over(Sight.NOBODY, 5, limit_s=5)


class Pod(ThreadingHTTPServer):
    """Another pod, whose /ready is green or red."""

    status = 200


class Desk(BaseHTTPRequestHandler):
    """Answers for it."""

    server: Pod

    def do_GET(self) -> None:
        self.send_response(self.server.status if self.path == "/ready" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def pod(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pod]:
    """Seen from a pod of another name, which has no address here."""
    monkeypatch.setattr("socket.gethostname", lambda: "no-such-host.invalid")
    with Pod(("127.0.0.1", 0), Desk) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "sight"), [(200, Sight.READY), (503, Sight.COMING)])
def test_another_pod_is_asked_whether_it_is_ready(pod: Pod, status: int, sight: Sight) -> None:
    pod.status = status

    assert handover.look("127.0.0.1", pod.server_address[1]) is sight


def test_a_name_that_nobody_has_is_nobody() -> None:
    assert handover.look("no-such-service.invalid", 8000) is Sight.NOBODY


def test_a_pod_does_not_wait_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "127.0.0.1")

    assert handover.look("127.0.0.1", 8000) is Sight.NOBODY
