"""Which cluster, and as whom: from inside a pod, or as kubectl does."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import urllib3
from kubernetes import client, config
from urllib3.exceptions import InsecureRequestWarning
from yaml import MarkedYAMLError, YAMLError

from k8s.cluster.rest import Rest
from k8s.errors import Refused, Unreachable

_OWN_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def connect(context: str | None = None, namespace: str | None = None) -> Rest:
    """Raises Unreachable where there is no cluster, or nothing to sign in to it with.

    Refused where the kubeconfig has no such context.
    """
    made = client.Configuration()
    made.retries = False  # a look that failed is taken again, and soon
    try:
        with _complaints() as complaints:
            own = _read(made, context)
    except MarkedYAMLError as error:
        raise Unreachable(_misspelt(error)) from error
    except (
        config.ConfigException,
        OSError,
        YAMLError,
        TypeError,
        AttributeError,
        ValueError,
    ) as error:
        first, *_ = str(error).splitlines() or [type(error).__name__]
        raise Unreachable(f"No cluster is configured ({first}); look at KUBECONFIG.") from error
    if complaints:
        told = "; ".join(complaints)
        raise Unreachable(f"Nothing to sign in with: {told}. Look at `exec` in the kubeconfig.")
    if not made.verify_ssl:  # the kubeconfig says so; kubectl does not warn at every call either
        urllib3.disable_warnings(InsecureRequestWarning)
    return Rest(client.ApiClient(made), namespace or own)


def _read(made: client.Configuration, context: str | None) -> str:
    """Fill it in; return the namespace where nobody names another."""
    if _OWN_NAMESPACE.exists() and context is None:
        config.load_incluster_config(client_configuration=made)
        return _OWN_NAMESPACE.read_text().strip()
    own = _namespace_of(context)
    config.load_kube_config(context=context, client_configuration=made)
    return own


def _namespace_of(context: str | None) -> str:
    contexts, active = config.list_kube_config_contexts()
    known = {each["name"]: each for each in contexts}
    if context is not None and context not in known:
        raise Refused(f"No context {context} in the kubeconfig; there is {', '.join(known)}.")
    chosen = known[context] if context else active
    return chosen["context"].get("namespace") or "default"


def _misspelt(error: MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    place = f" {mark.name}, line {mark.line + 1}" if mark else ""
    what = error.problem or error.context or "no YAML"
    return f"The kubeconfig cannot be read:{place}: {what}."


class _Complaints(logging.Handler):
    """What the library only logs, to go on as a nobody: a program that gave no credentials."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(record.getMessage())


@contextmanager
def _complaints() -> Iterator[list[str]]:
    handler, root = _Complaints(), logging.getLogger()
    root.addHandler(handler)
    try:
        yield handler.heard
    finally:
        root.removeHandler(handler)
