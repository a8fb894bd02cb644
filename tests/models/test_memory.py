"""What a container may still take counts more than what its machine has."""

from pathlib import Path

import psutil
import pytest

from serve_app.models.device import gpu_memory
from serve_app.models.memory import _headrooms, free_on_host


def limit(group: Path, maximum: str, current: int, droppable: int) -> None:
    group.mkdir(parents=True, exist_ok=True)
    (group / "memory.max").write_text(f"{maximum}\n")
    (group / "memory.current").write_text(f"{current}\n")
    (group / "memory.stat").write_text(f"anon 1\ninactive_file {droppable}\nslab 2\n")


def test_every_group_up_to_the_root_limits_what_is_free(tmp_path: Path) -> None:
    limit(tmp_path / "pods" / "pod1", "1000", current=900, droppable=300)
    limit(tmp_path / "pods", "2000", current=1500, droppable=0)

    assert list(_headrooms(tmp_path, "/pods/pod1")) == [400, 500]


def test_a_group_without_a_limit_says_nothing(tmp_path: Path) -> None:
    limit(tmp_path / "pods", "max", current=900, droppable=0)

    assert list(_headrooms(tmp_path, "/pods")) == []


def test_a_group_past_its_limit_has_nothing_left(tmp_path: Path) -> None:
    limit(tmp_path, "1000", current=1200, droppable=100)

    assert list(_headrooms(tmp_path, "/")) == [0]


def test_a_machine_never_has_more_free_than_it_has() -> None:
    assert 0 < free_on_host() <= psutil.virtual_memory().total


def test_a_gpu_that_this_process_does_not_compute_on_is_not_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torch.cuda.is_initialized", lambda: False)
    assert gpu_memory(2) == []


def test_each_rank_has_the_memory_of_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    free = (30, 20, 10)
    monkeypatch.setattr("torch.cuda.is_initialized", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: len(free))
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda card: (free[card], 80))
    assert gpu_memory(2) == [(50, 80), (60, 80)]
