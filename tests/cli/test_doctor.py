"""The doctor judges facts, and gathers them from the machine it runs on."""

import json
import socket
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from serve_app.cli.checks import CHECKS, Level, examine
from serve_app.cli.facts import Facts, Package, Space, gather
from serve_app.errors import BadSettings
from serve_app.models import device
from serve_app.models.plan import MemoryPlan

Run = Callable[..., Any]

GIB = 2**30
RAY = Requirement("ray[serve]>=2.60,<2.61")
WELL = Facts(
    python=(3, 12),
    packages=(Package(RAY, "2.60.1"),),
    settings_problem=None,
    cores=4,
    gpus_usable=(),
    gpus_present=0,
    gpus_taken=0,
    device="auto",
    kv_dtype="auto",
    compiler_problem=None,
    memory=MemoryPlan(GIB, kv_bytes_per_token=1024, kv_tokens=1024, free_bytes=8 * GIB),
    model="glm-nano",
    model_problem=None,
    placement_problem=None,
    address="127.0.0.1:8000",
    port_problem=None,
    shared_memory=Space(total=4 * GIB, free=4 * GIB),
    disk=Space(total=100 * GIB, free=50 * GIB),
    open_files=65_536,
)


def test_a_machine_that_is_well_is_green_and_needs_no_mend() -> None:
    findings = examine(WELL)

    assert len(findings) == len(CHECKS)
    assert {finding.level for finding in findings} == {Level.GREEN}
    assert {finding.mend for finding in findings} == {""}


ILLS: dict[str, tuple[dict[str, Any], str, Level, str, str]] = {
    "an old Python": ({"python": (3, 10)}, "Python", Level.RED, "3.10", "Install Python 3.11"),
    "a missing package": (
        {"packages": (Package(RAY, None),)},
        "packages",
        Level.RED,
        "ray is missing, needed <2.61,>=2.60",
        "make setup",
    ),
    "a package too new": (
        {"packages": (Package(RAY, "2.61.0"),)},
        "packages",
        Level.RED,
        "ray is 2.61.0, needed <2.61,>=2.60",
        "make setup",
    ),
    "wrong settings": (
        {"settings_problem": "server.port: no"},
        "settings",
        Level.RED,
        "server.port: no",
        "Correct them",
    ),
    "a GPU that torch cannot use": (
        {"gpus_present": 1},
        "processors",
        Level.YELLOW,
        "1 GPU that torch cannot use",
        "Install a torch",
    ),
    "a GPU that is hidden": (
        {"gpus_usable": ("NVIDIA H200",), "gpus_present": 1},
        "processors",
        Level.YELLOW,
        "NVIDIA H200, hidden from the model: replicas.model_gpus is 0",
        "GLM_REPLICAS__MODEL_GPUS=1",
    ),
    "no compiler beside a GPU": (
        {"gpus_usable": ("NVIDIA H200",), "gpus_taken": 1, "compiler_problem": "no gcc"},
        "compiler",
        Level.YELLOW,
        "no gcc",
        "python3-dev",
    ),
    "no compiler for 8-bit keys and values": (
        {
            "gpus_usable": ("NVIDIA H200",),
            "gpus_taken": 1,
            "kv_dtype": "fp8",
            "compiler_problem": "no gcc",
        },
        "compiler",
        Level.RED,
        "no gcc",
        "set engine.kv_dtype to auto",
    ),
    "one core": (
        {"cores": 1},
        "processors",
        Level.YELLOW,
        "1 CPU core, no GPU",
        "at least 2 cores",
    ),
    "no model": (
        {"memory": None, "model_problem": "No model 'x'."},
        "model",
        Level.RED,
        "No model 'x'.",
        "models list",
    ),
    "what the device cannot do": (
        {"memory": None, "placement_problem": "engine.kv_dtype: expected auto"},
        "model",
        Level.RED,
        "engine.kv_dtype: expected auto",
        "Correct the setting",
    ),
    "a need that is not known": (
        {"memory": None},
        "memory",
        Level.YELLOW,
        "not known",
        "the model first",
    ),
    "a model that does not fit": (
        {"memory": MemoryPlan(9 * GIB, 1024, 1024, free_bytes=8 * GIB)},
        "memory",
        Level.RED,
        "needs 9.25 GiB, 8.00 GiB are free",
        "smaller model",
    ),
    "a cache that does not fit": (
        {"memory": MemoryPlan(GIB, 2**20, 8192, free_bytes=8 * GIB)},
        "memory",
        Level.RED,
        "needs 9.25 GiB",
        "engine.kv_tokens to 6912",
    ),
    "a taken port": (
        {"port_problem": "server.port: taken"},
        "port",
        Level.RED,
        "server.port: taken",
        "this server",
    ),
    "Docker's shared memory": (
        {"shared_memory": Space(64 * 2**20, 64 * 2**20)},
        "shared memory",
        Level.YELLOW,
        "0.06 GiB free in /dev/shm",
        "--shm-size",
    ),
    "no shared memory": (
        {"shared_memory": None},
        "shared memory",
        Level.YELLOW,
        "no /dev/shm",
        "--shm-size",
    ),
    "a full disk": (
        {"disk": Space(10 * GIB, GIB // 2)},
        "disk",
        Level.RED,
        "0.50 GiB of 10.00",
        "TMPDIR",
    ),
    "a disk that Ray calls full": (
        {"disk": Space(100 * GIB, 4 * GIB)},
        "disk",
        Level.YELLOW,
        "4.00 GiB",
        "95 %",
    ),
    "few open files": (
        {"open_files": 1024},
        "open files",
        Level.YELLOW,
        "1,024 at once",
        "ulimit -n 4096",
    ),
    "hardly any open files": (
        {"open_files": 256},
        "open files",
        Level.RED,
        "256 at once",
        "ulimit -n 4096",
    ),
}


@pytest.mark.parametrize(
    ("change", "name", "level", "fact", "mend"), ILLS.values(), ids=ILLS.keys()
)
def test_every_ill_is_told_with_its_mend(
    change: dict[str, Any], name: str, level: Level, fact: str, mend: str
) -> None:
    (finding,) = [f for f in examine(replace(WELL, **change)) if f.name == name]

    assert finding.level is level
    assert fact in finding.fact
    assert mend in finding.mend


@pytest.mark.parametrize(("taken", "device"), [(1, "auto"), (1, "cuda"), (0.5, "auto"), (0, "cpu")])
def test_a_gpu_that_is_taken_or_not_wanted_is_named_and_green(taken: float, device: str) -> None:
    gpu = {"gpus_usable": ("NVIDIA H100",), "gpus_present": 1, "cores": 1}
    findings = examine(replace(WELL, **gpu, gpus_taken=taken, device=device))

    assert "1 CPU core; NVIDIA H100" in [finding.fact for finding in findings]
    assert {finding.level for finding in findings} == {Level.GREEN}


@pytest.mark.parametrize(
    ("gpus", "taken", "device"),
    [((), 0, "auto"), ((), 1, "auto"), (("NVIDIA H100",), 0, "cpu"), (("NVIDIA H100",), 1, "cpu")],
)
def test_a_compiler_is_missed_only_where_a_gpu_serves(
    gpus: tuple[str, ...], taken: float, device: str
) -> None:
    facts = replace(WELL, gpus_usable=gpus, gpus_taken=taken, device=device)
    findings = examine(replace(facts, compiler_problem="no gcc"))

    assert {finding.level for finding in findings} == {Level.GREEN}


def test_a_limit_that_is_none_is_green() -> None:
    assert "no limit" in [finding.fact for finding in examine(replace(WELL, open_files=-1))]


def test_facts_come_from_this_machine(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"model: {{folder: {tmp_path}, name: none}}")

    facts = gather(file, {})

    assert facts.python == sys.version_info[:2]
    assert "torch" in {package.requirement.name for package in facts.packages}
    assert all(package.installed for package in facts.packages)
    assert facts.cores >= 1
    assert facts.disk.total >= facts.disk.free > 0
    assert facts.settings_problem is None
    assert facts.model_problem is not None
    assert "No model 'none'" in facts.model_problem


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of the PATH and all of Python's headers."""
    monkeypatch.setattr(sysconfig, "get_paths", lambda **_: {"include": str(tmp_path)})
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def compiler_problem(**environ: str) -> str | None:
    return gather(None, environ).compiler_problem


def test_the_compiler_is_looked_for_as_triton_does(machine: Path) -> None:
    (machine / "Python.h").touch()
    assert compiler_problem() == "neither gcc nor clang is on the PATH"

    (machine / "gcc").touch(mode=0o755)
    assert compiler_problem() is None
    assert compiler_problem(CC="gcc") is None
    assert compiler_problem(CC="nocc") == "CC is 'nocc', which cannot be run"
    assert compiler_problem(CC="") == "CC is '', which cannot be run"


def test_only_the_images_own_compiler_needs_no_headers(machine: Path) -> None:
    for compiler in (machine / "gcc", machine / "libexec/cc"):
        compiler.parent.mkdir(exist_ok=True)
        compiler.touch(mode=0o755)
    (machine / "libexec/cuda_utils.so").touch()

    assert compiler_problem() == f"{machine}/Python.h is missing"
    assert compiler_problem(CC="gcc") == f"{machine}/Python.h is missing"
    assert compiler_problem(CC=str(machine / "libexec/cc")) is None


def test_what_the_device_cannot_do_is_no_fault_of_the_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise BadSettings("engine.kv_dtype: expected auto")

    monkeypatch.setattr(device, "plan_memory", refuse)
    facts = gather(None, {})

    assert facts.placement_problem == "engine.kv_dtype: expected auto"
    assert facts.model_problem is None


def test_settings_say_which_gpus_are_taken_and_for_what(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("replicas: {model_gpus: 2}\nmodel: {device: cuda}\nengine: {kv_dtype: fp8}\n")

    facts = gather(file, {})

    assert (facts.gpus_taken, facts.device, facts.kv_dtype) == (2, "cuda", "fp8")


def test_red_is_exit_code_one_and_every_finding_is_told(glm_serve: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = glm_serve("doctor", "--json", GLM_SERVER__PORT=port)

    findings = {finding["name"]: finding for finding in json.loads(done.stdout)}
    assert done.returncode == 1
    assert len(findings) == len(CHECKS)
    assert findings["port"]["level"] == "red"
    assert port in findings["port"]["fact"]


def test_wrong_settings_do_not_stop_the_doctor(glm_serve: Run) -> None:
    done = glm_serve("doctor", GLM_SERVER__PORT="none")

    assert done.returncode == 1
    assert "server.port: expected a whole number" in done.stdout
    assert "127.0.0.1:8000" in done.stdout
