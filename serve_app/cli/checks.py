"""What the doctor makes of the facts: an ordered list of pure checks."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from serve_app.cli.facts import Facts, Package, Space
from serve_app.models.plan import gib

_GIB = 2**30

PYTHON_NEEDED = (3, 11)
CORES_WANTED = 2  # one for the engine, one for everything around it
SHARED_MEMORY_WANTED = 128 * 2**20  # Ray's object store; without it Ray writes to disk
DISK_NEEDED = 1 * _GIB  # logs of Ray's processes
DISK_FREE_SHARE = 0.05  # with less, Ray calls the disk full and stops spilling
OPEN_FILES_NEEDED = 1024
OPEN_FILES_WANTED = 4096  # three for each stream on its way through proxy and replica


class Level(StrEnum):
    """How bad it is, by traffic light."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; green needs no mend."""

    name: str
    level: Level
    fact: str
    mend: str = ""


Check = Callable[[Facts], Finding]


def examine(facts: Facts) -> list[Finding]:
    """Every check's finding, in order."""
    return [check(facts) for check in CHECKS]


def python(facts: Facts) -> Finding:
    """The interpreter runs what the house is written in."""
    version, needed = (".".join(map(str, v)) for v in (facts.python, PYTHON_NEEDED))
    if facts.python < PYTHON_NEEDED:
        return Finding("Python", Level.RED, version, f"Install Python {needed} or newer.")
    return Finding("Python", Level.GREEN, version)


def packages(facts: Facts) -> Finding:
    """Everything in pyproject.toml is there in a version it allows."""
    wrong = [_told(package) for package in facts.packages if not _fits(package)]
    if wrong:
        mend = "Run `make setup`, or install them with pip."
        return Finding("packages", Level.RED, "; ".join(wrong), mend)
    return Finding("packages", Level.GREEN, f"all {len(facts.packages)} as needed")


def _fits(package: Package) -> bool:
    specifier = package.requirement.specifier
    return package.installed is not None and specifier.contains(package.installed, prereleases=True)


def _told(package: Package) -> str:
    wanted = package.requirement
    return f"{wanted.name} is {package.installed or 'missing'}, needed {wanted.specifier}"


def settings(facts: Facts) -> Finding:
    """File and environment hold no mistake."""
    if facts.settings_problem:
        mend = "Correct them; the other checks used the defaults."
        return Finding("settings", Level.RED, facts.settings_problem, mend)
    return Finding("settings", Level.GREEN, "valid")


def processors(facts: Facts) -> Finding:
    """There are cores, and a GPU that is there is used."""
    cores = f"{facts.cores} CPU core{'' if facts.cores == 1 else 's'}"
    if facts.gpus_usable:
        return _with_gpus(facts, f"{cores}; {', '.join(facts.gpus_usable)}")
    if facts.gpus_present:
        fact = f"{cores}; {facts.gpus_present} GPU that torch cannot use"
        mend = "Install a torch built for this GPU's driver, or accept the CPU."
        return Finding("processors", Level.YELLOW, fact, mend)
    if facts.cores < CORES_WANTED:
        mend = f"Give at least {CORES_WANTED} cores; answers will be slow."
        return Finding("processors", Level.YELLOW, f"{cores}, no GPU", mend)
    return Finding("processors", Level.GREEN, f"{cores}, no GPU")


def _with_gpus(facts: Facts, fact: str) -> Finding:
    if facts.serves_on_gpu or facts.device == "cpu":
        return Finding("processors", Level.GREEN, fact)
    fact = f"{fact}, hidden from the model: replicas.model_gpus is 0"
    mend = (
        "Set it to 1 (GLM_REPLICAS__MODEL_GPUS=1; in the chart replicas.gpus), or model.device to "
        "cpu if the CPU is to serve."
    )
    return Finding("processors", Level.YELLOW, fact, mend)


def compiler(facts: Facts) -> Finding:
    """Triton finds what it compiles with, where a GPU serves."""
    if not facts.serves_on_gpu:
        return Finding("compiler", Level.GREEN, "not needed, for no GPU serves")
    if facts.compiler_problem:
        return _without_kernels(facts, facts.compiler_problem)
    return Finding("compiler", Level.GREEN, "there for Triton")


def _without_kernels(facts: Facts, fact: str) -> Finding:
    mend = "Install gcc and python3-dev, and correct CC where it is set"
    if facts.kv_dtype != "auto":
        mend = f"{mend}, or set engine.kv_dtype to auto: {facts.kv_dtype} needs our kernels."
        return Finding("compiler", Level.RED, fact, mend)
    mend = f"{mend}; until then the GPU serves without our kernels, slower."
    return Finding("compiler", Level.YELLOW, fact, mend)


def model(facts: Facts) -> Finding:
    """The model of the settings can be found."""
    if facts.model_problem:
        mend = "`glm-serve models list` shows what there is."
        return Finding("model", Level.RED, facts.model_problem, mend)
    if facts.placement_problem:
        mend = "Correct the setting, or serve on another device."
        return Finding("model", Level.RED, facts.placement_problem, mend)
    return Finding("model", Level.GREEN, f"{facts.model} is there (not verified)")


def memory(facts: Facts) -> Finding:
    """Weights and KV cache fit beside what already runs."""
    plan = facts.memory
    if plan is None:
        mend = "Solve the problem with the model first."
        return Finding("memory", Level.YELLOW, "its need is not known", mend)
    fact = f"{facts.model} needs {gib(plan.needed_bytes)}, {gib(plan.free_bytes)} are free"
    if not plan.fits:
        return Finding("memory", Level.RED, fact, plan.mend)
    return Finding("memory", Level.GREEN, fact)


def port(facts: Facts) -> Finding:
    """Nobody listens yet where the server will."""
    if facts.port_problem:
        mend = "Unless it is this server that listens there already."
        return Finding("port", Level.RED, facts.port_problem, mend)
    return Finding("port", Level.GREEN, f"{facts.address} is free")


def shared_memory(facts: Facts) -> Finding:
    """Ray finds room for its object store."""
    space, name = facts.shared_memory, "shared memory"
    if space is None or space.free < SHARED_MEMORY_WANTED:
        fact = f"{gib(space.free)} free in /dev/shm" if space else "there is no /dev/shm"
        mend = "In a container, start it with --shm-size=1g; Ray uses slower disk until then."
        return Finding(name, Level.YELLOW, fact, mend)
    return Finding(name, Level.GREEN, f"{gib(space.free)} free in /dev/shm")


def disk(facts: Facts) -> Finding:
    """Ray's processes find room for their logs."""
    fact = f"{gib(facts.disk.free)} of {gib(facts.disk.total)} free for temporary files"
    if facts.disk.free < DISK_NEEDED:
        mend = "Free some space, or point TMPDIR at a larger disk."
        return Finding("disk", Level.RED, fact, mend)
    if _nearly_full(facts.disk):
        mend = "Ray calls a disk full at 95 %; free some space."
        return Finding("disk", Level.YELLOW, fact, mend)
    return Finding("disk", Level.GREEN, fact)


def _nearly_full(space: Space) -> bool:
    return space.free < space.total * DISK_FREE_SHARE


def open_files(facts: Facts) -> Finding:
    """Every stream will find its file descriptors."""
    limit, name = facts.open_files, "open files"
    unlimited = limit < 0
    if unlimited or limit >= OPEN_FILES_WANTED:
        fact = "no limit" if unlimited else f"{limit:,} at once"
        return Finding(name, Level.GREEN, fact)
    level = Level.RED if limit < OPEN_FILES_NEEDED else Level.YELLOW
    mend = f"Raise the limit before starting: ulimit -n {OPEN_FILES_WANTED}"
    return Finding(name, level, f"{limit:,} at once", mend)


CHECKS: tuple[Check, ...] = (
    python,
    packages,
    settings,
    processors,
    compiler,
    model,
    memory,
    port,
    shared_memory,
    disk,
    open_files,
)
