"""The base of the test images: a small Debian with Python that knows this machine's mirrors.

What a machine needs to reach its package mirrors (a CA, addresses) is copied from the machine
when the base is made. So it is neither in the repository nor in the product's Dockerfile.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.cluster.node import house, places
from tests.cluster.node.builder import REGISTRY, Build
from tests.cluster.node.shell import run

_PACKAGES = "ca-certificates,python3"  # as python:slim has them
_CERTIFICATES = Path("/usr/local/share/ca-certificates")
_SETTINGS = (  # how apt, pip and uv reach the network here
    "etc/apt/sources.list",
    "etc/apt/sources.list.d/debian.sources",
    "etc/apt/apt.conf.d/*prox*",
    "etc/pip.conf",
    "etc/uv/uv.toml",
)
_VARIABLES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX")
_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


def tag() -> str:
    """Names its contents, so that other mirrors make another base."""
    digest = hashlib.sha256(_PACKAGES.encode())
    for path in _settings():
        digest.update(path.read_bytes())
    digest.update(repr(sorted(_variables().items())).encode())
    return digest.hexdigest()[:12]


def image() -> str:
    return f"{REGISTRY}/debian-python:{tag()}"


def make() -> Build:
    """Bootstrap it and say how to build the image from it."""
    shutil.rmtree(places.BASE, ignore_errors=True)
    root = places.BASE / "root"
    root.mkdir(parents=True)
    house.ask(  # it mounts; inside, that is gone with the node
        *("debootstrap", "--variant=minbase", f"--include={_PACKAGES}", "bookworm"),
        *(root, _mirror()),
    )
    for path in _settings():
        place = root / path.relative_to("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    house.ask("chroot", root, "update-ca-certificates")
    shutil.rmtree(root / "var/cache/apt/archives", ignore_errors=True)
    run("tar", "--create", "--file", places.BASE / "debian.tar", "--directory", root, ".")
    shutil.rmtree(root)
    return Build(
        f"debian-python:{tag()}",
        context=places.BASE,
        dockerfile=_dockerfile(places.BASE / "Dockerfile"),
    )


def clear() -> None:
    """The image has it all."""
    shutil.rmtree(places.BASE)


def _dockerfile(path: Path) -> Path:
    variables = {"SSL_CERT_FILE": _BUNDLE, "PIP_CERT": _BUNDLE, **_variables()}
    lines = ["FROM scratch", "ADD debian.tar /"]
    lines += [f'ENV {name}="{value}"' for name, value in variables.items()]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def _variables() -> dict[str, str]:
    return {name: os.environ[name] for name in _VARIABLES if name in os.environ}


def _settings() -> Iterator[Path]:
    for pattern in _SETTINGS:
        yield from sorted(Path("/").glob(pattern))
    yield from sorted(_CERTIFICATES.glob("*.crt"))


def _mirror() -> str:
    """Where this machine has Debian 12 from, or else Debian's own."""
    sites = run(
        *("apt-get", "indextargets", "--format", "$(SITE)"),
        *("Created-By: Packages", "Codename: bookworm", "Origin: Debian"),
    )
    return (sites.split() or ["http://deb.debian.org/debian"])[0]
