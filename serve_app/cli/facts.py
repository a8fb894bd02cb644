"""Gathers what the doctor looks at; everything here reads, nothing judges."""

import os
import resource
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from serve_app import configuration, ports
from serve_app.errors import BadModel, BadSettings, PortTaken
from serve_app.models import catalogue, device
from serve_app.models.plan import MemoryPlan, place
from serve_app.settings import Settings

_DISTRIBUTION = "glm-serve"
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 -- where Linux keeps it
_GPU_FILES = "nvidia[0-9]*"
_COMPILED_MODULE = "cuda_utils.so"  # Dockerfile puts it there, ci/triton/cc hands it out


@dataclass(frozen=True, slots=True)
class Package:
    """A requirement such as `ray[serve]>=2.60` and what is installed; None: nothing."""

    requirement: Requirement
    installed: str | None


@dataclass(frozen=True, slots=True)
class Space:
    """Bytes of one file system."""

    total: int
    free: int


@dataclass(frozen=True, slots=True)
class Facts:
    """This machine as it is; a `problem` is the sentence of the error met on the way."""

    python: tuple[int, int]
    packages: tuple[Package, ...]
    settings_problem: str | None
    cores: int
    gpus_usable: tuple[str, ...]
    gpus_present: int
    gpus_taken: float
    device: str
    kv_dtype: str
    compiler_problem: str | None
    memory: MemoryPlan | None
    model: str
    model_problem: str | None
    placement_problem: str | None
    address: str
    port_problem: str | None
    shared_memory: Space | None
    disk: Space
    open_files: int

    @property
    def serves_on_gpu(self) -> bool:
        """Whether a GPU is there, given to the model and wanted for it."""
        return bool(self.gpus_usable and self.gpus_taken) and self.device != "cpu"


def gather(file: Path | None, environ: Mapping[str, str]) -> Facts:
    """Look around; wrong settings are a fact, and the defaults are examined instead."""
    settings, settings_problem = _settings(file, environ)
    memory, model_problem, placement_problem = _memory(settings)
    return Facts(
        python=sys.version_info[:2],
        packages=_packages(),
        settings_problem=settings_problem,
        cores=len(os.sched_getaffinity(0)),
        gpus_usable=device.gpu_names(),
        gpus_present=len(list(Path("/dev").glob(_GPU_FILES))),
        gpus_taken=settings.replicas.model_gpus,
        device=settings.model.device,
        kv_dtype=settings.engine.kv_dtype,
        compiler_problem=_compiler_problem(environ),
        memory=memory,
        model=settings.model.name,
        model_problem=model_problem,
        placement_problem=placement_problem,
        address=f"{settings.server.host}:{settings.server.port}",
        port_problem=_port_problem(settings),
        shared_memory=_space(_SHARED_MEMORY) if _SHARED_MEMORY.is_dir() else None,
        disk=_space(Path(tempfile.gettempdir())),
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    )


def _settings(file: Path | None, environ: Mapping[str, str]) -> tuple[Settings, str | None]:
    try:
        return configuration.load(file, environ).settings, None
    except BadSettings as error:
        return Settings(), error.message


def _memory(settings: Settings) -> tuple[MemoryPlan | None, str | None, str | None]:
    """The plan, else what is wrong with the model, or with where and how it is to be held."""
    try:
        folder = catalogue.find(settings.model)
        gpu_seen = bool(device.gpu_names()) and settings.replicas.model_gpus > 0  # Ray hides others
        placement = place(settings.model, cuda_available=gpu_seen)
        return device.plan_memory(folder, placement, settings), None, None
    except BadModel as error:
        return None, error.message, None
    except BadSettings as error:
        return None, None, error.message


def _compiler_problem(environ: Mapping[str, str]) -> str | None:
    """Look for what Triton will, in its order; a CC that is set it runs, even an empty one."""
    named = environ.get("CC")
    wanted = ("gcc", "clang") if named is None else (named,)
    found = next(filter(None, map(shutil.which, wanted)), None)
    if found:
        return None if _brings_module(found) else _headers_problem()
    if named is None:
        return "neither gcc nor clang is on the PATH"
    return f"CC is {named!r}, which cannot be run"


def _brings_module(compiler: str) -> bool:
    """Whether it is our image's, which hands out the module that lies compiled beside it."""
    return Path(compiler).with_name(_COMPILED_MODULE).is_file()


def _headers_problem() -> str | None:
    header = Path(sysconfig.get_paths(scheme="posix_prefix")["include"]) / "Python.h"
    return None if header.is_file() else f"{header} is missing"


def _port_problem(settings: Settings) -> str | None:
    try:
        ports.require_free(settings.server.host, settings.server.port)
    except (BadSettings, PortTaken) as error:
        return error.message
    return None


def _packages() -> tuple[Package, ...]:
    needed = map(Requirement, metadata.requires(_DISTRIBUTION) or ())
    here = (r for r in needed if r.marker is None or r.marker.evaluate())
    return tuple(Package(requirement, _installed(requirement.name)) for requirement in here)


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _space(folder: Path) -> Space:
    usage = shutil.disk_usage(folder)
    return Space(usage.total, usage.free)
