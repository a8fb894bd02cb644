"""Objects of any kind as the API server speaks them, and its errors as ours."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from kubernetes import client
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from k8s.errors import Conflict, Refused, Unreachable
from k8s.road import API_VERSION, GROUP, PLURAL

Json = dict[str, Any]

_TIMEOUT_S: Final = 5.0
_BAD: Final = re.compile(r"certificate verify failed: (.+?)(?: \(_ssl\.c:\d+\))?$")
_UNTRUSTED: Final = re.compile(r"self.signed|unable to get")
_REFUSALS: Final = frozenset(
    {HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY}
)
_MERGE: Final = "application/merge-patch+json"


@dataclass(frozen=True, slots=True)
class Kind:
    """Where objects of a kind live; `core` ones have no group."""

    path: str
    plural: str


SERVICES: Final = Kind("/api/v1", "services")
PODS: Final = Kind("/api/v1", "pods")
CONFIG_MAPS: Final = Kind("/api/v1", "configmaps")
EVENTS: Final = Kind("/api/v1", "events")
SLICES: Final = Kind("/apis/discovery.k8s.io/v1", "endpointslices")
LEASES: Final = Kind("/apis/coordination.k8s.io/v1", "leases")
ROUTES: Final = Kind("/apis/gateway.networking.k8s.io/v1", "httproutes")
ROADS: Final = Kind(f"/apis/{GROUP}/{API_VERSION}", PLURAL)


class Rest:
    """One namespace of a cluster. Reads give None for what is not there."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self.namespace = namespace
        self._api = api

    def get(self, kind: Kind, name: str) -> Json | None:
        return self._call("GET", self._path(kind, name), missing_ok=True)

    def list(self, kind: Kind, *, missing_ok: bool = False, **selectors: str) -> Sequence[Json]:
        """Selectors as in the API: `labelSelector`, `fieldSelector`.

        Raises Refused where the server has no such kind, unless that is as good as none.
        """
        path = self._path(kind)
        found = self._call("GET", path, query=selectors, missing_ok=missing_ok)
        items: list[Json] = found["items"] if found else []
        return items

    def everywhere(self, kind: Kind) -> Sequence[Json] | None:
        """In all namespaces; None where the server has no such kind."""
        found = self._call("GET", f"{kind.path}/{kind.plural}", missing_ok=True)
        items: list[Json] | None = found["items"] if found else None
        return items

    def has_namespace(self) -> bool:
        path = f"/api/v1/namespaces/{self.namespace}"
        return self._call("GET", path, missing_ok=True) is not None

    def create(self, kind: Kind, body: Mapping[str, Any]) -> Json:
        """Raises Conflict where it is there already."""
        return self._call("POST", self._path(kind), body=dict(body)) or {}

    def replace(self, kind: Kind, name: str, body: Mapping[str, Any], part: str = "") -> Json:
        """Raises Conflict where `metadata.resourceVersion` is no longer the one that stands."""
        return self._call("PUT", self._path(kind, name, part), body=dict(body)) or {}

    def merge(self, kind: Kind, name: str, changes: Mapping[str, Any], manager: str) -> Json:
        """A merge patch, in which None removes; raises Refused where admission does."""
        path, query = self._path(kind, name), {"fieldManager": manager}
        return self._call("PATCH", path, body=dict(changes), query=query) or {}

    def watch(self, kind: Kind, seconds: int) -> Iterator[Json]:
        """What is there, then every change as it comes, until the server ends the watch."""
        query = {"watch": "true", "timeoutSeconds": str(seconds)}
        with _translated():
            response = self._send("GET", self._path(kind), None, query, timeout_s=seconds + 5.0)
            if response.status >= HTTPStatus.MULTIPLE_CHOICES:
                raise _error_of(response.status, response.read())
            for line in lines(response.response.stream(amt=None)):
                event = _read(line)
                if event["type"] == "ERROR":
                    raise Unreachable(event["object"]["message"])
                yield event

    def _path(self, kind: Kind, *parts: str) -> str:
        return "/".join(
            (kind.path, "namespaces", self.namespace, kind.plural, *filter(None, parts))
        )

    def _call(
        self,
        method: str,
        path: str,
        *,
        body: Json | None = None,
        query: Mapping[str, str] | None = None,
        missing_ok: bool = False,
    ) -> Json | None:
        with _translated():
            response = self._send(method, path, body, query or {}, _TIMEOUT_S)
            text = response.read()
        if response.status == HTTPStatus.NOT_FOUND and missing_ok:
            return None
        if response.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise _error_of(response.status, text)
        return _read(text)

    def _send(
        self, method: str, path: str, body: Json | None, query: Mapping[str, str], timeout_s: float
    ) -> Any:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = _MERGE if method == "PATCH" else "application/json"
        asked = self._api.param_serialize(
            method,
            path,
            query_params=list(query.items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        return self._api.call_api(*asked, _request_timeout=timeout_s)


class Part:
    """What of a cluster is seen through a Rest."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest


def lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Whole lines, however the pieces were cut."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from filter(None, whole)


def _read(text: bytes) -> Json:
    try:
        read: Json = json.loads(text)
    except ValueError as error:
        raise Unreachable("What answers there is no API server.") from error
    return read


def _error_of(status: int, text: bytes) -> Exception:
    try:
        message = str(json.loads(text)["message"])
    except (ValueError, KeyError):
        message = f"the API server said {status}"
    if status == HTTPStatus.CONFLICT:
        return Conflict(message)
    if status == HTTPStatus.UNAUTHORIZED:
        return Unreachable("The API server does not know you; the kubeconfig's token may be old.")
    if status in _REFUSALS:
        return Refused(message)
    return Unreachable(message)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except ApiException as error:
        if error.status:
            raise _error_of(error.status, error.body or b"") from error
        raise Unreachable(_unheard(str(error.reason))) from error
    except (HTTPError, OSError) as error:
        raise Unreachable(_unheard(type(error).__name__)) from error


def _unheard(reason: str) -> str:
    """Of the library: an error's name, then its words."""
    if bad := _BAD.search(reason):
        known = _UNTRUSTED.search(bad[1])
        hint = ": compare certificate-authority in the kubeconfig" if known else ""
        return f"The API server's certificate is refused ({bad[1]}){hint}."
    return f"The API server does not answer ({reason.splitlines()[0]})."
