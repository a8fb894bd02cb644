"""`python -m k8s scorer`: what the Deployment beside the gateway runs."""

from typing import Annotated

import typer

from k8s.cli.options import Name


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

    from k8s.cli.options import find, read
    from k8s.errors import ReleaseError
    from k8s.mirror import Pair, Scorer, serve
    from k8s.road import Road

    cluster, found = find(road, namespace, None)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())

    def pair_of(seen: Road) -> Pair | None:
        status = seen.status
        if status.under_way and status.stable and status.candidate:
            return Pair(status.stable, status.candidate)
        return None

    pair = pair_of(found)
    with httpx.Client() as client, ThreadPoolExecutor(at_once, "copies") as executor:
        taken = Scorer(client, lambda: pair, executor, at_once=at_once, max_tokens=max_tokens)
        server = serve(port, taken)
        while not stopping.wait(2.0):
            try:
                pair = pair_of(read(cluster, found.name))
            except ReleaseError:
                continue  # the pair of before may still be right; a wrong one only costs answers
        server.shutdown()
