"""An API server of a few lines: objects by path, revisions, conflicts, merge patches.

It knows no admission, and watches that end where a real one's begin to wait; a real one is asked
in tests/cluster.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

Json = dict[str, Any]
_DEPTH = 5  # slashes of what is in a namespace, at least
NAMESPACE = "models"


class Shelf(ThreadingHTTPServer):
    """Keeps whatever is put on it; `refusals` are said to the next writers of a path's end."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Desk)
        self.objects: dict[str, Json] = {}
        self.revision = 0
        self.refusal: Json | None = None
        self.stranger = False  # whether whoever asks is one
        self.confined = False  # to one namespace
        self.known: set[str] = set()  # kinds beside KINDS of which there may be none
        self.news: list[Json] = []  # events of the next watches, after what is there
        self.watch_refusal: Json | None = None

    def put(self, path: str, body: Json) -> Json:
        self.revision += 1
        metadata = {
            "namespace": NAMESPACE,
            "uid": "0123456789",
            "generation": 1,
            **body.get("metadata", {}),
            "resourceVersion": str(self.revision),
        }
        self.objects[path] = {**body, "metadata": metadata}
        return self.objects[path]

    def place(self, kind_path: str, name: str, **body: Any) -> None:
        """An object that a test wants to be there."""
        labels = body.pop("labels", {})
        path = kind_path.replace("{namespace}", NAMESPACE)
        self.put(f"{path}/{name}", {"metadata": {"name": name, "labels": labels}, **body})


class _Desk(BaseHTTPRequestHandler):
    server: Shelf

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if "watch=true" in parts.query:
            self._watch(parts.path)
            return
        found = self.server.objects.get(parts.path)
        if self.server.stranger:
            self._answer(401, {"message": "Unauthorized"})
        elif self.server.confined and parts.path.count("/") < _DEPTH:
            self._answer(403, {"message": "forbidden"})
        elif found is not None:
            self._answer(200, found)
        elif "/namespaces" not in parts.path:
            self._everywhere(parts.path.rsplit("/", 1)[-1])
        elif parts.path.rsplit("/", 1)[-1].endswith("s") and "/namespaces/" in parts.path:
            self._list(parts.path, parse_qs(parts.query))
        else:
            self._answer(404, {"message": "not found"})

    def _watch(self, path: str) -> None:
        if self.server.watch_refusal:
            self._answer(403, self.server.watch_refusal)
            return
        there = [{"type": "ADDED", "object": each} for each in self._in(path)]
        self._send(
            200, b"".join(json.dumps(each).encode() + b"\n" for each in (*there, *self.server.news))
        )

    def _in(self, path: str) -> list[Json]:
        objects = self.server.objects.items()
        return [each for place, each in objects if place.rpartition("/")[0] == path]

    def _everywhere(self, kind: str) -> None:
        objects = self.server.objects.items()
        items = [each for place, each in objects if place.split("/")[-2] == kind]
        if items or kind in self.server.known:
            self._answer(200, {"items": items})
        else:
            self._answer(404, {"message": "not found"})

    def _list(self, path: str, query: dict[str, list[str]]) -> None:
        wanted = dict(each.split("=", 1) for each in query.get("labelSelector", []))
        items = [
            each
            for each in self._in(path)
            if wanted.items() <= each["metadata"].get("labels", {}).items()
        ]
        kind = path.rsplit("/", 1)[-1]
        known = any(place.split("/")[-2] == kind for place in self.server.objects)
        if not known and kind not in KINDS | self.server.known:
            self._answer(404, {"message": "not found"})
        else:
            self._answer(200, {"items": items})

    def do_POST(self) -> None:
        body = self._body()
        path = f"{urlsplit(self.path).path}/{body['metadata']['name']}"
        if path in self.server.objects:
            self._answer(409, {"message": "already exists"})
        else:
            self._answer(201, self.server.put(path, body))

    def do_PUT(self) -> None:
        path, body = urlsplit(self.path).path, self._body()
        if part := path.endswith("/status"):
            path = path.removesuffix("/status")
        standing = self.server.objects[path]
        if self._is_old(body, standing):
            self._answer(409, {"message": "the object has been modified"})
        else:
            whole = {**standing, "status": body["status"]} if part else body
            self._answer(200, self.server.put(path, whole))

    def do_PATCH(self) -> None:
        path, body = urlsplit(self.path).path, self._body()
        standing = self.server.objects[path]
        if self.server.refusal:
            self._answer(422, self.server.refusal)
        elif self._is_old(body, standing):
            self._answer(409, {"message": "the object has been modified"})
        else:
            generation = standing["metadata"]["generation"] + 1
            changes = {**body, "metadata": {"generation": generation}}
            self._answer(200, self.server.put(path, merged(standing, changes)))

    def _is_old(self, body: Json, standing: Json) -> bool:
        revision = body.get("metadata", {}).get("resourceVersion")
        return revision is not None and revision != standing["metadata"]["resourceVersion"]

    def _body(self) -> Json:
        body: Json = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        return body

    def _answer(self, status: int, body: Json) -> None:
        self._send(status, json.dumps(body).encode())

    def _send(self, status: int, text: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


KINDS = {
    "services", "pods", "configmaps", "events", "leases", "endpointslices", "httproutes",
}  # fmt: skip


def merged(standing: Any, changes: Any) -> Any:
    """RFC 7386."""
    if not isinstance(changes, dict):
        return changes
    whole = dict(standing) if isinstance(standing, dict) else {}
    for name, value in changes.items():
        if value is None:
            whole.pop(name, None)
        else:
            whole[name] = merged(whole.get(name), value)
    return whole


@contextmanager
def serving() -> Iterator[Shelf]:
    with Shelf() as shelf:
        thread = threading.Thread(target=shelf.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield shelf
        finally:
            shelf.shutdown()
            thread.join()


def kubeconfig(shelf: Shelf, folder: Path) -> Path:
    """What kubectl reads, for this server."""
    cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{shelf.server_address[1]}"}}
    context = {"name": "x", "context": {"cluster": "c", "user": "u", "namespace": NAMESPACE}}
    written = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [cluster],
        "contexts": [context],
        "users": [{"name": "u", "user": {}}],
        "current-context": "x",
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(written))
    return path
