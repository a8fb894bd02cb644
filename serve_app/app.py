"""7. The binding: the three deployments with their options, as one Serve application."""

import math
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ray import serve

from serve_app import configuration
from serve_app.deployments import EngineFactory, Ingress, ModelReplica, SafetyFilter
from serve_app.loading import load_engine
from serve_app.messages import Serving
from serve_app.models import catalogue
from serve_app.settings import Settings
from serve_app.tuning import FAREWELL_S

NAME = "glm"
INGRESS = "Ingress"
MODEL = "ModelReplica"

HEALTH_S = 2.0  # three in a row are believed; until then a broken replica is still asked

_CODE_VERSION = "1"


def build(
    settings: Settings, serving: Serving, factory: EngineFactory = load_engine
) -> serve.Application:
    """Ingress -> SafetyFilter and Ingress -> ModelReplica.

    `factory` makes the engine inside the replica's process; benchmarks pass a stub.
    Run again with another `serving` it changes what is served: replicas that run are
    reconfigured, those that start later begin with it.
    """
    safety = _deployment(SafetyFilter, settings, settings.replicas.safety).bind(settings)
    model = _reconfigurable(_model_deployment(settings), serving)
    ingress = _reconfigurable(
        _deployment(Ingress, settings, settings.replicas.ingress, name=INGRESS), serving
    )
    replicas = model.bind(settings, serving, factory)
    return ingress.bind(settings, serving, safety, replicas)


def configured(arguments: Mapping[str, str]) -> serve.Application:
    """The application of the file `config`, as KubeRay asks Serve for it: by name, with arguments.

    Raises BadSettings or BadModel.
    """
    settings = configuration.load(Path(arguments["config"]), os.environ).settings
    return build(settings, Serving(catalogue.find(settings.model).card))


def _reconfigurable(deployment: serve.Deployment, serving: Serving) -> serve.Deployment:
    """Without a version of ours, Serve gives each run a random one and restarts every replica."""
    return deployment.options(user_config=asdict(serving), version=_CODE_VERSION, _internal=True)


def _deployment(
    cls: type, settings: Settings, replicas: int | None, **options: Any
) -> serve.Deployment:
    defaults = {
        "num_replicas": replicas,
        "max_ongoing_requests": 4096,  # the engine's waiting line is where requests are refused
        "graceful_shutdown_timeout_s": math.ceil(settings.server.max_stream_s) + FAREWELL_S,
        "graceful_shutdown_wait_loop_s": 0.5,
        "max_constructor_retry_count": 2,
        "health_check_period_s": HEALTH_S,
        "ray_actor_options": {"num_cpus": 0.1},
        "logging_config": {"enable_access_log": False},  # one record a request, and it is ours
    }
    return serve.deployment(**defaults | options)(cls)


def _model_deployment(settings: Settings) -> serve.Deployment:
    replicas = settings.replicas
    options: dict[str, Any] = {
        "ray_actor_options": {"num_cpus": 0.1, "num_gpus": replicas.model_gpus},
        "max_replicas_per_node": replicas.model_per_node,
    }
    if replicas.model_max > replicas.model_min:
        options["autoscaling_config"] = {
            "min_replicas": replicas.model_min,
            "max_replicas": replicas.model_max,
            "upscale_delay_s": replicas.scale_up_after_s,
            "downscale_delay_s": replicas.scale_down_after_s,
            "policy": {
                "policy_function": "serve_app.scaling:Pressure",
                "policy_kwargs": {
                    "requests": replicas.target_requests,
                    "waiting_tokens": replicas.target_waiting_tokens,
                },
            },
        }
        return _deployment(ModelReplica, settings, None, **options)
    return _deployment(ModelReplica, settings, replicas.model_min, **options)
