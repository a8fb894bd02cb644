"""One server for all tests that leave it as they found it; kernels are interpreted on the CPU.

Tests that start servers, or speak to that one, run one after the other also where others run beside
them. Triton decides whether to interpret when it is first imported, so that is settled before
anything else is.
"""

import os

os.environ["TRITON_INTERPRET"] = "1"

from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings

from tests.served.server import Server, serving

settings.register_profile("unhurried", deadline=None)  # a busy machine proves nothing wrong
settings.load_profile("unhurried")

SERVERS = pytest.mark.xdist_group("servers")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if {"served", "docs"} & set(item.path.parts):
            item.add_marker(SERVERS)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    """The log is the process's: what one test configures would decide what the next one sees."""
    yield
    structlog.reset_defaults()
