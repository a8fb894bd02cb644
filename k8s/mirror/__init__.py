"""Mirroring: copies of live requests, asked of both versions, compared and forgotten."""

from k8s.mirror.desk import serve
from k8s.mirror.scorer import Pair, Scorer, pair_of

__all__ = ["Pair", "Scorer", "pair_of", "serve"]
