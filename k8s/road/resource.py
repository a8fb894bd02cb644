"""The whole resource, read from and written to what the API server speaks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from k8s.errors import BadRoad
from k8s.road.spec import Spec
from k8s.road.status import Status

GROUP: Final = "glm-serve.io"
API_VERSION: Final = "v1alpha1"
KIND: Final = "ModelRoad"
PLURAL: Final = "modelroads"

_SPEC: Final = TypeAdapter(Spec)
_STATUS: Final = TypeAdapter(Status)


@dataclass(frozen=True, slots=True, kw_only=True)
class Road:
    """A ModelRoad as it was read; `resource_version` guards what is written back."""

    name: str
    namespace: str
    uid: str
    generation: int
    resource_version: str
    spec: Spec
    status: Status


def parse(resource: Mapping[str, Any]) -> Road:
    """Raises BadRoad, which tells the first field that cannot be read."""
    metadata = resource["metadata"]
    try:
        spec = _SPEC.validate_python(resource.get("spec", {}))
        status = _STATUS.validate_python(resource.get("status") or {})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BadRoad(f"{metadata['name']}: {place}: {first['msg']}") from error
    return Road(
        name=metadata["name"],
        namespace=metadata["namespace"],
        uid=metadata.get("uid", ""),
        generation=metadata.get("generation", 0),
        resource_version=metadata.get("resourceVersion", ""),
        spec=spec,
        status=status,
    )


def render_spec(spec: Spec) -> dict[str, Any]:
    """As it stands in YAML, without what is not set."""
    rendered: dict[str, Any] = _rendered(_SPEC.dump_python(spec, mode="json", by_alias=True))
    return rendered


def render_status(status: Status) -> dict[str, Any]:
    """As it stands in YAML, without what is not set."""
    rendered: dict[str, Any] = _rendered(_STATUS.dump_python(status, mode="json", by_alias=True))
    return rendered


def _rendered(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rendered(each) for name, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_rendered(each) for each in value]
    return value
