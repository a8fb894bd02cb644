"""The cluster as it is; nobody else knows Kubernetes."""

from k8s.cluster.cluster import Cluster
from k8s.cluster.kubeconfig import connect
from k8s.cluster.rest import Rest

__all__ = ["Cluster", "Rest", "connect"]
