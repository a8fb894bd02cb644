"""`python -m k8s scorer`: what the Deployment beside the gateway runs."""

from typing import Annotated

import typer

from k8s.cli.options import Name

_EVERY_S = 2.0


def scorer(
    *,
    road: Name = None,
    namespace: Annotated[str | None, typer.Option(envvar="POD_NAMESPACE")] = None,
    port: Annotated[int, typer.Option(envvar="GLM_SCORER_PORT")] = 8000,
    at_once: Annotated[int, typer.Option(envvar="GLM_SCORER_AT_ONCE", min=1)] = 4,
    max_tokens: Annotated[int, typer.Option(envvar="GLM_SCORER_MAX_TOKENS", min=1)] = 128,
) -> None:
    """Compare the candidate's answers to copied requests with the stable version's."""
    import signal
    import threading
    from concurrent.futures import ThreadPoolExecutor

    import httpx

    from k8s.cluster import Cluster, connect
    from k8s.errors import ReleaseError
    from k8s.mirror import Pair, Scorer, pair_of, serve

    cluster = Cluster(connect(namespace=namespace))
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    pair: Pair | None = None
    with httpx.Client() as client, ThreadPoolExecutor(at_once, "copies") as executor:
        taken = Scorer(client, lambda: pair, executor, at_once=at_once, max_tokens=max_tokens)
        server = serve(port, taken)
        while not stopping.wait(_EVERY_S):
            try:
                names = [road] if road else cluster.road_names()
                pair = pair_of([cluster.road(name) for name in names])
            except ReleaseError:
                continue  # the pair of before may still be right; a wrong one only costs answers
        server.shutdown()
