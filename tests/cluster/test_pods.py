"""The image as pods: alone, and as head and worker of one cluster."""

import json
import urllib.request

import pytest

from tests.cluster.kube import Cluster
from tests.cluster.pods import TOKEN, headless, pod
from tests.cluster.roads import until

pytestmark = pytest.mark.timeout(1800)  # a machine of two cores starts Ray in half a minute

_MAX_STREAM_S = "20"
_READY_S = 420.0
_END_S = 300.0


def test_alone_it_serves_the_model_in_the_box(namespace: Cluster, image: str) -> None:
    namespace.apply(pod("alone", image, ready=True))
    namespace.wait("pod/alone", "condition=Ready", _READY_S)
    with namespace.forwarded("pod/alone", 8000) as url:
        assert _answer(url)


def test_told_to_end_it_ends_well_and_without_a_traceback(namespace: Cluster, image: str) -> None:
    namespace.apply(pod("alone", image, ready=True))
    namespace.wait("pod/alone", "condition=Ready", _READY_S)
    log = _log_of_its_end(namespace, "alone")
    assert "draining" in log
    assert log.rstrip().endswith("stopped")
    assert "Traceback" not in log


@pytest.fixture
def pair(namespace: Cluster, image: str) -> Cluster:
    """A head that takes no replicas, and a worker that takes all."""
    environment = {
        "RAY_AUTH_TOKEN": TOKEN,
        "GLM_SERVER__MAX_STREAM_S": _MAX_STREAM_S,
    }
    head = pod(
        "head",
        image,
        arguments=["head", "--cpus", "0"],
        environment=environment,
        ready=True,
    )
    worker = pod(
        "worker",
        image,
        arguments=["worker", "head:6379", "--cpus", "2"],
        environment=environment,
        ready=True,
    )
    namespace.apply(headless("head", {"app": "head"}, 6379), head, worker)
    for name in ("head", "worker"):
        namespace.wait(f"pod/{name}", "condition=Ready", _READY_S)
    return namespace


def test_a_worker_takes_the_replicas_and_both_pods_answer(pair: Cluster) -> None:
    for name in ("head", "worker"):
        with pair.forwarded(f"pod/{name}", 8000) as url:
            assert _answer(url)
    until(lambda: _replicas(pair, "worker") == 3, "three on the worker")
    assert _replicas(pair, "head") == 0


def test_a_worker_that_is_told_to_end_finishes_and_the_head_goes_last(pair: Cluster) -> None:
    assert _log_of_its_end(pair, "worker").rstrip().endswith("stopped")
    log = _log_of_its_end(pair, "head")
    assert "all workers have left" in log
    assert "Traceback" not in log


def test_a_head_without_a_token_refuses_to_start(namespace: Cluster, image: str) -> None:
    namespace.apply(pod("open", image, arguments=["head"]))
    namespace.wait("pod/open", "jsonpath={.status.phase}=Failed", _READY_S)
    assert "RAY_AUTH_TOKEN" in namespace.kubectl("logs", "open")


def _answer(url: str) -> str:
    body = {
        "model": "glm-nano",
        "messages": [{"role": "user", "content": "Hello!"}],
        "max_tokens": 8,
    }
    request = urllib.request.Request(  # noqa: S310 -- our own forwarded port
        f"{url}/v1/chat/completions",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
        said: str = json.load(response)["choices"][0]["message"]["content"]
    return said


def _replicas(cluster: Cluster, pod_name: str) -> int:
    """Processes of Serve's replicas in a pod, by the names they give themselves."""
    count = (
        "import pathlib; print(sum(each.read_bytes().startswith(b'ray::ServeReplica')"
        " for each in pathlib.Path('/proc').glob('[0-9]*/cmdline')))"
    )
    return int(cluster.kubectl("exec", pod_name, "--", "python3", "-c", count))


def _log_of_its_end(cluster: Cluster, pod_name: str) -> str:
    """Tell it to end as the kubelet does."""
    told = "import os, signal; os.kill(1, signal.SIGTERM)"
    cluster.kubectl("exec", pod_name, "--", "python3", "-c", told)
    ended = ".status.containerStatuses[0].state.terminated"
    cluster.wait(f"pod/{pod_name}", f"jsonpath={{{ended}.reason}}", _END_S)
    log = cluster.kubectl("logs", pod_name)
    code = cluster.kubectl("get", "pod", pod_name, f"--output=jsonpath={{{ended}.exitCode}}")
    assert code == "0", log
    return log
