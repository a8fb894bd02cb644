"""Real completions of a version that has no users yet, through the gateway that they will use."""

import time
from collections.abc import Callable

import httpx

from k8s.errors import Unreachable
from k8s.road.pins import VERSION_HEADER

_QUESTION = {"messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 16}
_AGAIN_S = 1.0


def warm(
    client: httpx.Client,
    version: str,
    times: int,
    patience_s: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> float:
    """Ask until it has answered so often in a row; return the seconds of the last answer.

    In a row, for a gateway of several replicas learns a new route one by one, and whoever does not
    know it yet answers by the stable version. Raises Unreachable.
    """
    deadline, row, last, why = clock() + patience_s, 0, 0.0, "no answer"
    while row < times:
        if clock() >= deadline:
            raise Unreachable(f"{version} was not warm after {patience_s:.0f} s: {why}")
        began = clock()
        why = _asked(client, version)
        last, row = clock() - began, 0 if why else row + 1
        if why:
            sleep(_AGAIN_S)
    return last


def _asked(client: httpx.Client, version: str) -> str:
    """Why that was no answer of this version; empty if it was one."""
    try:
        models = client.get("/v1/models", headers={VERSION_HEADER: version})
        models.raise_for_status()
        question = _QUESTION | {"model": models.json()["data"][0]["id"]}
        answer = client.post(
            "/v1/chat/completions", json=question, headers={VERSION_HEADER: version}
        )
        answer.raise_for_status()
        said = answer.json()["choices"][0]["message"]["content"]
    except httpx.HTTPError as error:
        return str(error) or type(error).__name__
    except (ValueError, LookupError) as error:
        return f"an answer in no known form ({type(error).__name__})"
    by = answer.headers.get(VERSION_HEADER, "nobody")
    if by != version:
        return f"{by} answered in its place"
    return "" if said else "an empty answer"
