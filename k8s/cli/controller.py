"""`python -m k8s controller`: what the Deployment in the cluster runs."""

import os
from typing import Annotated

import typer


def controller(
    *,
    prometheus: Annotated[
        str, typer.Option(envvar="GLM_PROMETHEUS_URL", help="Where metrics are asked for.")
    ],
    selector: Annotated[
        str,
        typer.Option(
            envvar="GLM_PROMETHEUS_SELECTOR", help='Narrows every query: namespace="models".'
        ),
    ] = "",
    identity: Annotated[
        str, typer.Option(envvar="POD_NAME", help="Who holds the lease; default: nobody else.")
    ] = "",
    namespace: Annotated[str | None, typer.Option(envvar="POD_NAMESPACE")] = None,
    port: Annotated[
        int, typer.Option(envvar="GLM_METRICS_PORT", help="/metrics, /healthz.")
    ] = 9100,
    lease_s: Annotated[float, typer.Option(envvar="GLM_LEASE_S", min=1.0)] = 15.0,
) -> None:
    """Walk every ModelRoad of the namespace along, as the leader or waiting to be it."""
    import logging
    import signal
    import socket
    import threading
    import time
    import uuid
    from concurrent.futures import ThreadPoolExecutor

    import httpx

    from k8s import faults
    from k8s.clocks import Clocks
    from k8s.cluster import Cluster, connect
    from k8s.controller import Controller
    from k8s.exposition import Metrics, serve
    from k8s.lease import Candidacy
    from k8s.loop import Loop
    from k8s.prometheus import Prometheus
    from k8s.sampler import Sampler

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for every query
    cluster, wake, metrics = Cluster(connect(namespace=namespace)), threading.Event(), Metrics()
    with httpx.Client() as client, ThreadPoolExecutor(4, "prometheus") as executor:
        source = Prometheus(client, prometheus.rstrip("/"), selector)

        def new_sampler() -> Sampler:
            return Sampler(source, executor, time.monotonic, wake.set)

        clocks = Clocks(time.time, time.monotonic)
        walker = Controller(cluster, new_sampler, clocks, faults.from_environment(os.environ))
        candidacy = Candidacy(
            identity or f"{socket.gethostname()}-{uuid.uuid4()}", lease_s, time.monotonic
        )
        loop = Loop(cluster, walker, candidacy, metrics, wake)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: loop.stop())
        server = serve(port, metrics, loop.alive)
        loop.run()
        server.shutdown()
