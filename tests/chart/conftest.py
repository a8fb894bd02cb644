"""Helm is there before the first test: making it takes longer than a test may."""

import pytest

from tests.chart import helm


def pytest_collection_finish(session: pytest.Session) -> None:
    """Only where tests of charts were chosen; their modules render nothing at import."""
    if any("tests/chart/" in item.nodeid for item in session.items):
        helm.binary()
