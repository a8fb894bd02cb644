"""`python -m tests.cluster up|down|status`: a one-node Kubernetes for the tests."""

import argparse
import sys

from tests.cluster.node import cluster
from tests.cluster.node.shell import Failed


def main() -> int:
    """Do it; a failure is told in words."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    parser.add_argument("command", choices=("up", "down", "status"))
    wanted = parser.parse_args().command
    try:
        {"up": cluster.up, "down": cluster.down, "status": _tell}[wanted]()
    except Failed as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


def _tell() -> None:
    for name, state in cluster.status().items():
        print(f"{name:24} {state}")


if __name__ == "__main__":
    sys.exit(main())
