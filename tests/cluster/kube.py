"""A cluster as its user sees it: kubectl, helm, and what tests wait for."""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.cluster.node import places

Object = dict[str, Any]

_FORWARDED = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")


class Refused(Exception):
    """What kubectl or helm said."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """One namespace of it."""

    kubeconfig: Path
    namespace: str = "default"

    def within(self, namespace: str) -> "Cluster":
        return replace(self, namespace=namespace)

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        return self._run("kubectl", *arguments, given=given)

    def helm(self, *arguments: str | Path) -> str:
        return self._run("helm", *map(str, arguments))

    def apply(self, *objects: Object) -> None:
        items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "--server-side", "--filename=-", given=json.dumps(items))

    def get(self, kind: str, name: str = "", *arguments: str) -> Object:
        names = [name] if name else []
        answer: Object = json.loads(self.kubectl("get", kind, *names, *arguments, "--output=json"))
        return answer

    def wait(self, what: str, condition: str, seconds: float) -> None:
        """`condition` as `kubectl wait --for` takes it."""
        self.kubectl("wait", what, f"--for={condition}", f"--timeout={seconds:.0f}s")

    def pod_output(self, pod: Object, seconds: float = 300.0) -> str:
        """Run it to its end and return what it wrote; it is gone afterwards."""
        name = pod["metadata"]["name"]
        self.apply(pod)
        try:
            phase = self._final_phase(name, seconds)
            output = self.kubectl("logs", name)
        finally:
            self.kubectl("delete", "pod", name, "--wait=false", "--grace-period=1")
        if phase != "Succeeded":
            raise Refused(f"pod {name}: {phase}\n{output}")
        return output

    @contextmanager
    def forwarded(self, target: str, port: int) -> Iterator[str]:
        """A URL on this machine for a port of a pod or service."""
        command = self._command("kubectl", "port-forward", target, f":{port}")
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as forward:
            try:
                line = forward.stdout.readline() if forward.stdout else ""
                found = _FORWARDED.search(line)
                if found is None:
                    raise Refused(f"kubectl port-forward {target} said: {line!r}")
                yield f"http://127.0.0.1:{found[1]}"
            finally:
                forward.terminate()

    def _final_phase(self, pod: str, seconds: float) -> str:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            status = self.get("pod", pod)["status"]
            if status.get("phase") in {"Succeeded", "Failed"}:
                return str(status["phase"])
            time.sleep(0.5)
        raise Refused(f"pod {pod} has not ended after {seconds:g} s: {json.dumps(status)}")

    def _run(self, program: str, *arguments: str, given: str | None = None) -> str:
        done = subprocess.run(
            self._command(program, *arguments),
            input=given,
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Refused(f"{program} {' '.join(arguments)}\n{done.stderr or done.stdout}")
        return done.stdout

    def _command(self, program: str, *arguments: str) -> list[str]:
        own = places.BIN / program
        path = str(own) if own.exists() else shutil.which(program) or program
        common = [f"--kubeconfig={self.kubeconfig}", f"--namespace={self.namespace}"]
        return [path, *common, *arguments]

    def _environment(self) -> Mapping[str, str]:
        """Helm without plugins and repositories of whoever runs the tests."""
        nowhere = str(places.CACHE / "nowhere")
        return os.environ | {f"HELM_{kind}_HOME": nowhere for kind in ("CACHE", "CONFIG", "DATA")}
