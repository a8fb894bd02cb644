"""One version: its pods find each other, its drains outlast its streams, its content is fixed."""

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from serve_app import configuration, nodes, tuning
from serve_app.settings import ServerSettings
from tests.chart import helm
from tests.chart.helm import Object, examples, objects, of_kind, the

PLAIN = helm.chart("glm-model") / "ci" / "gpu-plain-values.yaml"
RAY = helm.chart("glm-model") / "ci" / "gpu-rayservice-values.yaml"
NANO = helm.chart("glm-model") / "ci" / "nano-values.yaml"
KEDA = helm.chart("glm-model") / "ci" / "keda-values.yaml"

ANNOTATION = "glm-serve.io/config"
LONGEST_S = 900  # of both GPU examples
STARTUP_S = 240 + 15 * 18  # likewise: the chart's base and what each GiB of weights takes


def variables(pod: Object) -> dict[str, Any]:
    (ray,) = pod["spec"]["containers"]
    return {each["name"]: each.get("value") for each in ray["env"]}


def deployments(values: Path, *arguments: str) -> dict[str, Object]:
    among = of_kind("Deployment", objects("glm-model", values, *arguments))
    return {each["metadata"]["name"]: each["spec"]["template"] for each in among}


@pytest.mark.parametrize("values", examples("glm-model"), ids=lambda values: values.stem)
def test_settings_of_every_pod_are_taken_by_glm_serve(values: Path, tmp_path: Path) -> None:
    given = yaml.safe_load(values.read_text(encoding="utf-8"))
    for pod in helm.pod_templates(objects("glm-model", values)):
        if ANNOTATION not in pod["metadata"]["annotations"]:
            continue  # that of `helm test`, which only asks
        file = tmp_path / "config.yaml"
        file.write_text(pod["metadata"]["annotations"][ANNOTATION], encoding="utf-8")

        settings = configuration.load(file, {}).settings

        assert settings.model.digest == given["model"]["digest"]
        assert settings.server.host == "0.0.0.0"  # noqa: S104 - a pod is reached from outside
        assert settings.replicas.model_max == given.get("replicas", {}).get("max", 1)


@pytest.mark.parametrize("values", [PLAIN, RAY], ids=lambda values: values.stem)
def test_a_worker_has_a_gpu_for_each_rank_of_its_one_replica(values: Path, tmp_path: Path) -> None:
    rendered = objects("glm-model", values, "--set", "replicas.gpus=4")
    pods = [
        pod for pod in helm.pod_templates(rendered) if ANNOTATION in pod["metadata"]["annotations"]
    ]
    gpus = [
        pod["spec"]["containers"][0]["resources"]["limits"].get("nvidia.com/gpu") for pod in pods
    ]
    file = tmp_path / "config.yaml"
    file.write_text(pods[0]["metadata"]["annotations"][ANNOTATION], encoding="utf-8")

    settings = configuration.load(file, {}).settings

    assert [each for each in gpus if each] == [4]
    assert settings.engine.tensor_parallel == settings.replicas.model_gpus == 4
    assert settings.replicas.model_per_node == 1


def test_a_worker_is_asked_where_it_answers_for_itself() -> None:
    (ray,) = deployments(PLAIN)["glm-v42-worker"]["spec"]["containers"]

    ports = {each["name"]: each["containerPort"] for each in ray["ports"]}

    assert ports[ray["readinessProbe"]["httpGet"]["port"]] == tuning.READINESS_PORT
    assert "startupProbe" not in ray


@pytest.mark.parametrize(
    ("values", "name", "deadline_s"),
    [(PLAIN, "worker", 15), (PLAIN, "worker", 7.5), (NANO, "head", 5)],
)
def test_a_kubelet_waits_longer_than_the_model_may_take_to_say_no(
    values: Path, name: str, deadline_s: float
) -> None:
    given = ("--set-json", f"config.server.ready_deadline_s={deadline_s}")
    pods = deployments(values, *(given if deadline_s != ServerSettings().ready_deadline_s else ()))
    (pod,) = (each for each in pods if each.endswith(name))
    (ray,) = pods[pod]["spec"]["containers"]
    probes = [ray[each] for each in ("startupProbe", "readinessProbe") if each in ray]

    assert probes
    assert {each["timeoutSeconds"] for each in probes} == {math.ceil(deadline_s) + 1}


@pytest.mark.parametrize("deadline_s", [1, 7.5, 15, 60])
def test_a_start_whose_every_look_hangs_ends_with_its_time(deadline_s: float) -> None:
    """One look begins when the one before has been answered, and no sooner than its period."""
    given = ("--set-json", f"config.server.ready_deadline_s={deadline_s}")
    pods = helm.pod_templates(objects("glm-model", RAY, *given))
    rays = [each for pod in pods for each in pod["spec"]["containers"]]
    (probe,) = (each["startupProbe"] for each in rays if "startupProbe" in each)

    look_s = max(probe["periodSeconds"], deadline_s)

    assert STARTUP_S <= probe["failureThreshold"] * look_s < STARTUP_S + look_s


def test_new_workers_find_the_new_head_and_old_ones_the_old() -> None:
    """An upgrade has both heads side by side: a head is known by the content of its generation."""
    before, after = deployments(PLAIN), deployments(PLAIN, "--set", "config.engine.max_running=8")

    for pods in (before, after):
        head, worker = pods["glm-v42-head"]["spec"], pods["glm-v42-worker"]["spec"]
        address = f"{head['hostname']}.{head['subdomain']}:6379"
        assert worker["containers"][0]["args"][:2] == ["worker", address]
    names = {pods["glm-v42-head"]["spec"]["hostname"] for pods in (before, after)}
    assert len(names) == 2


@pytest.mark.parametrize(
    "change",
    [
        "image.digest=sha256:" + "3" * 64,
        "model.hub.revision=" + "4" * 40,
        "workers.resources.limits.memory=64Gi",
        "head.resources.limits.memory=9Gi",
        "ray.redis.address=other:6379",
        "drain.notice=20",
    ],
)
def test_every_content_has_a_generation_of_its_own(change: str) -> None:
    heads = [deployments(PLAIN, *set_)["glm-v42-head"] for set_ in ((), ("--set", change))]

    assert len({head["spec"]["hostname"] for head in heads}) == 2


def test_what_is_no_content_of_pods_starts_no_new_pods() -> None:
    others = ("--set", "podDisruptionBudget.enabled=false,autoscaling.timeToFirstToken=1")

    assert deployments(PLAIN) == deployments(PLAIN, *others)


def test_a_pod_template_holds_its_settings_itself() -> None:
    """So `kubectl rollout undo` brings settings back too: nothing lies beside it."""
    among = objects("glm-model", PLAIN)

    assert of_kind("ConfigMap", among) == []
    assert of_kind("Secret", among) == []


@pytest.mark.parametrize("values", [PLAIN, RAY], ids=["plain", "rayservice"])
def test_every_pod_may_outlast_the_longest_stream(values: Path) -> None:
    for pod in helm.pod_templates(objects("glm-model", values)):
        if pod["spec"].get("restartPolicy") != "Never":  # but that of `helm test`
            assert pod["spec"]["terminationGracePeriodSeconds"] > LONGEST_S + 10
            assert "preStop" in pod["spec"]["containers"][0]["lifecycle"]


NO_REDIS = "ray.redis.address=,ray.redis.passwordSecret.name="


def test_kuberay_empties_the_store_however_long_the_last_stream_was() -> None:
    """From its being told to go it waits that long for its Job, which follows the last head."""
    service = the("RayService", "glm-v43", objects("glm-model", RAY))
    limit_s = int(service["metadata"]["annotations"]["ray.io/gcs-ft-deletion-timeout"])
    (without,) = of_kind("RayService", objects("glm-model", RAY, "--set", NO_REDIS))
    job_s = 300  # at most, as KubeRay makes it

    assert limit_s >= head_grace(service) + job_s
    assert "ray.io/gcs-ft-deletion-timeout" not in without["metadata"]["annotations"]


def head_grace(service: Object) -> int:
    pod = service["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]
    return int(pod["spec"]["terminationGracePeriodSeconds"])


def test_workers_may_drain_as_long_as_they_want_and_heads_longer(tmp_path: Path) -> None:
    pods = deployments(PLAIN)
    file = tmp_path / "config.yaml"
    file.write_text(pods["glm-v42-worker"]["metadata"]["annotations"][ANNOTATION])
    wanted_s = tuning.node_drain_s(configuration.load(file, {}).settings.server)
    notice_s = 10

    grace = {name: pod["spec"]["terminationGracePeriodSeconds"] for name, pod in pods.items()}

    assert grace["glm-v42-worker"] >= notice_s + wanted_s
    assert grace["glm-v42-head"] > 2 * grace["glm-v42-worker"]  # half of the workers at a time


@pytest.mark.parametrize("values", [PLAIN, NANO], ids=["workers", "head alone"])
def test_an_upgrade_starts_before_it_stops(values: Path) -> None:
    for each in of_kind("Deployment", objects("glm-model", values)):
        assert each["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_the_service_leads_to_who_holds_the_model() -> None:
    """Not to a head beside workers: a lost head then cuts no stream."""
    for values, name, component in (
        (PLAIN, "glm-v42", "worker"),
        (RAY, "glm-v43", "worker"),
        (NANO, "glm-v1", "head"),
    ):
        service = the("Service", name, objects("glm-model", values))
        assert service["spec"]["selector"]["app.kubernetes.io/component"] == component
        assert service["spec"]["ports"] == [{"name": "http", "port": 8000, "targetPort": "serve"}]


def test_start_up_has_more_time_for_a_larger_model() -> None:
    def patience_s(size: str) -> int:
        head = deployments(NANO, "--set", f"model.sizeGiB={size}")["glm-v1-head"]
        probe = head["spec"]["containers"][0]["startupProbe"]
        return int(probe["failureThreshold"] * probe["periodSeconds"])

    assert patience_s("400") - patience_s("1") == pytest.approx(399 * 15, abs=5)


def test_kuberay_is_told_the_ray_that_the_image_has() -> None:
    """From it KubeRay infers which probes and which autoscaler there are."""
    lock = (helm.ROOT / "requirements.lock").read_text(encoding="utf-8")
    service = the("RayService", "glm-v43", objects("glm-model", RAY))["spec"]

    assert f"\nray=={service['rayClusterConfig']['rayVersion']} " in lock.replace("[serve]", "")


def test_kuberays_head_outlasts_its_workers() -> None:
    """All are told to leave at once, and without the head's control store streams end."""
    service = the("RayService", "glm-v43", objects("glm-model", RAY))["spec"]["rayClusterConfig"]
    head = service["headGroupSpec"]["template"]["spec"]
    (workers,) = service["workerGroupSpecs"]
    worker_s = workers["template"]["spec"]["terminationGracePeriodSeconds"]

    waits = head["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]

    assert waits == ["glm-serve", "outlast", "--limit", str(worker_s)]
    assert head["terminationGracePeriodSeconds"] > worker_s


def test_kuberays_workers_drain_as_long_as_plain_ones(tmp_path: Path) -> None:
    (workers,) = the("RayService", "glm-v43", objects("glm-model", RAY))["spec"][
        "rayClusterConfig"
    ]["workerGroupSpecs"]
    file = tmp_path / "config.yaml"
    file.write_text(workers["template"]["metadata"]["annotations"][ANNOTATION], encoding="utf-8")
    wanted_s = tuning.node_drain_s(configuration.load(file, {}).settings.server)

    (worker,) = workers["template"]["spec"]["containers"]

    drain = worker["lifecycle"]["preStop"]["exec"]["command"][-1]
    assert f"--deadline-remaining-seconds {wanted_s:.0f}" in drain


def test_an_upgrade_by_kuberay_leaves_the_choice_of_pods_to_their_readiness() -> None:
    """Its own service is led to the new cluster as soon as Serve runs there, ready or not."""
    service = the("RayService", "glm-v43", objects("glm-model", RAY))["spec"]

    assert "serveService" not in service
    assert service["rayClusterDeletionDelaySeconds"] > 60


def test_kuberays_pods_spare_their_memory_for_the_model() -> None:
    cluster = the("RayService", "glm-v43", objects("glm-model", RAY))["spec"]["rayClusterConfig"]

    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        store = int(group["rayStartParams"]["object-store-memory"])
        assert store == nodes.OBJECT_STORE_BYTES


def test_kuberays_pods_have_the_chain_of_glm_serve(tmp_path: Path) -> None:
    for pod in helm.pod_templates(of_kind("RayService", objects("glm-model", RAY))):
        file = tmp_path / "config.yaml"
        file.write_text(pod["metadata"]["annotations"][ANNOTATION], encoding="utf-8")
        chain = tuning.chain(configuration.load(file, {}).settings.server)

        assert chain.items() <= variables(pod).items()


def test_kuberay_finds_the_application_by_the_name_it_is_given(tmp_path: Path) -> None:
    config = the("RayService", "glm-v43", objects("glm-model", RAY))["spec"]["serveConfigV2"]
    (application,) = yaml.safe_load(config)["applications"]
    (tmp_path / "config.yaml").write_text("model: {name: glm-nano}", encoding="utf-8")
    module, _, name = application["import_path"].partition(":")

    asked = f"from {module} import {name}; print({name}({{'config': 'config.yaml'}}))"
    done = subprocess.run(
        [sys.executable, "-c", asked], cwd=tmp_path, capture_output=True, text=True, check=False
    )  # Ray is never imported where warnings are errors

    assert "Application" in done.stdout, done.stderr
    assert application["args"] == {"config": "/etc/glm-serve/config.yaml"}


def test_a_version_that_grows_leaves_the_number_of_workers_to_its_scaler() -> None:
    """Helm and a scaler that both write it would take workers from each other."""
    among = objects("glm-model", PLAIN)

    assert "replicas" not in the("Deployment", "glm-v42-worker", among)["spec"]
    (scaler,) = of_kind("HorizontalPodAutoscaler", among)
    assert scaler["spec"]["scaleTargetRef"]["name"] == "glm-v42-worker"
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (2, 6)
    assert {each["type"] for each in scaler["spec"]["metrics"]} == {"External"}  # never CPU


@pytest.mark.parametrize("values", [PLAIN, KEDA, NANO], ids=lambda values: values.stem)
def test_a_suspended_version_keeps_its_name_and_no_pods(values: Path) -> None:
    among = objects("glm-model", values, "--set", "suspended=true")

    assert {each["spec"]["replicas"] for each in of_kind("Deployment", among)} == {0}
    assert {each["kind"] for each in among}.isdisjoint({"HorizontalPodAutoscaler", "ScaledObject"})
    assert of_kind("Service", among)
    assert deployments(values) == deployments(values, "--set", "suspended=true")


def test_kuberay_suspends_a_version() -> None:
    (service,) = of_kind("RayService", objects("glm-model", RAY, "--set", "suspended=true"))

    assert service["spec"]["suspend"] is True


def test_keda_scales_by_what_waits_and_by_the_first_token() -> None:
    (scaled,) = of_kind("ScaledObject", objects("glm-model", KEDA))

    queries = [each["metadata"]["query"] for each in scaled["spec"]["triggers"]]

    assert "glm_waiting_tokens" in queries[0]
    assert "time_to_first_token" in queries[1]


@pytest.mark.parametrize(
    ("versions", "kind"), [((), "Deployment"), (("--api-versions", "ray.io/v1"), "RayService")]
)
def test_auto_takes_kuberay_where_it_is(versions: tuple[str, ...], kind: str) -> None:
    among = objects("glm-model", PLAIN, "--set", "workloads=auto", *versions)

    assert of_kind(kind, among)


def test_workers_of_one_generation_are_spread_among_themselves() -> None:
    """Counted with those that are about to go, all new ones might come to one node."""
    worker = deployments(PLAIN)["glm-v42-worker"]
    (kuberays,) = the("RayService", "glm-v43", objects("glm-model", RAY))["spec"][
        "rayClusterConfig"
    ]["workerGroupSpecs"]

    for template, label in ((worker, "glm-serve.io/generation"), (kuberays["template"], None)):
        for spread in template["spec"]["topologySpreadConstraints"]:
            (key,) = spread["matchLabelKeys"]
            assert key == (label or "ray.io/cluster")
    assert "glm-serve.io/generation" in worker["metadata"]["labels"]


def test_nobody_makes_the_folder_of_a_node_with_roots_rights() -> None:
    """The kubelet would, and no pod could write it."""
    cached = ("--set", "cache.type=hostPath,cache.hostPath=/weights,cache.claim=")

    for pod in deployments(PLAIN, *cached).values():
        (models,) = (each for each in pod["spec"]["volumes"] if each["name"] == "models")
        assert models["hostPath"] == {"path": "/weights", "type": "Directory"}


def test_a_digest_may_say_what_it_is() -> None:
    told = "model.digest=sha256:" + "2" * 64

    assert deployments(NANO) == deployments(NANO, "--set", told)


def test_weights_are_written_by_the_step_that_pulls_alone() -> None:
    for pod in deployments(PLAIN).values():
        pull, verify = pod["spec"]["initContainers"]
        (ray,) = pod["spec"]["containers"]
        writable = [
            mount
            for container in (pull, verify, ray)
            for mount in container["volumeMounts"]
            if mount["name"] == "models" and not mount["readOnly"]
        ]
        assert writable == [mount for mount in pull["volumeMounts"] if mount["name"] == "models"]
