"""Why a server cannot listen is said with the field that would mend it."""

import socket

import pytest

from serve_app.errors import BadSettings, PortTaken
from serve_app.ports import SparePorts, require_free
from serve_app.settings import ServerSettings


def test_a_port_somebody_listens_on_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(PortTaken, match=rf"^server\.port: .* 127\.0\.0\.1:{port};"):
            require_free("127.0.0.1", port)


@pytest.mark.parametrize(
    "host", ["::1", "192.0.2.1", "no such name", "n" * 64, "a..b"], ids=lambda host: host[:9]
)
def test_an_address_that_is_not_this_machines_is_no_taken_port(host: str) -> None:
    with SparePorts() as ports:
        port = next(ports)

    with pytest.raises(BadSettings, match=r"^server\.host: .* cannot be listened on; .* IPv4"):
        require_free(host, port)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])  # noqa: S104 -- what may be set
def test_a_free_port_is_free(host: str) -> None:
    with SparePorts() as ports:
        port = next(ports)

    require_free(host, port)


def test_an_open_server_is_asked_at_loopback() -> None:
    settings = ServerSettings(host="0.0.0.0", port=81)  # noqa: S104 -- nothing listens

    assert settings.url == "http://127.0.0.1:81"
