"""A head whose Ray has ended keeps nobody waiting; tests/cluster/kuberay has one with workers."""

import socket
from collections.abc import Callable
from typing import Any

import pytest

from serve_app import tuning
from serve_app.cli import outlast


def test_where_ray_has_ended_there_is_nobody_to_outlast(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unheard:
        unheard.bind((outlast.HERE, 0))  # and nobody listens
        monkeypatch.setattr(tuning, "GCS_PORT", unheard.getsockname()[1])

        outlast.outlast(limit=3600)


def test_it_must_be_told_how_long_to_wait(glm_serve: Callable[..., Any]) -> None:
    assert "--limit" in glm_serve("outlast").stderr
