"""The product's image and its bill of materials, by BuildKit, known by digest alone."""

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from ci.release.programs import run

_METADATA = Path("build.json")


def build(name: str, arguments: Mapping[str, str], output: str) -> str:
    """Build and push; return the digest. BUILDKIT_HOST says who builds."""
    run(
        *_build(arguments),
        f"--output=type=image,name={name},oci-mediatypes=true,{output}",
        f"--metadata-file={_METADATA}",
    )
    digest: str = json.loads(_METADATA.read_text(encoding="utf-8"))["containerimage.digest"]
    return digest


def credentials(registry: str, user: str, password: str) -> str:
    """config.json of DOCKER_CONFIG, from which buildctl knows who pushes."""
    word = base64.b64encode(f"{user}:{password}".encode()).decode()
    return json.dumps({"auths": {registry: {"auth": word}}})


def bill(arguments: Mapping[str, str]) -> None:
    """Leave sbom.cdx.json here; every layer is there already."""
    run(*_build(arguments), "--opt=target=sbom", "--output=type=local,dest=.")


def _build(arguments: Mapping[str, str]) -> Sequence[str]:
    given = (f"--opt=build-arg:{name}={value}" for name, value in arguments.items())
    return (
        *("buildctl", "build", "--frontend=dockerfile.v0", "--progress=plain"),
        *("--local=context=.", "--local=dockerfile=."),
        *given,
    )
