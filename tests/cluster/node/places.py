"""Where things lie on this machine, all of it outside the tree.

The node lives in namespaces of its own (see `house`), where most of these folders have the
places that its programs expect.
"""

import os
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "glm-serve-cluster"

# Dear to make: these outlive the node.
TOOLS = CACHE / "tools"  # one folder a tool and version
BIN = CACHE / "bin"  # links to their programs
BASE = CACHE / "base"  # root file system of the test images
IMAGES = CACHE / "containerd"
BUILDS = CACHE / "buildkit"
REGISTRY = CACHE / "registry"

# Of one run: made by `up`, removed by `down`.
NODE = CACHE / "node"  # /var/lib of the node
KUBERNETES = NODE / "kubernetes"  # its keys and configuration
KUBECONFIG = NODE / "kubeconfig"
BEFORE = NODE / "before.json"  # what `down` puts back
RUN = Path("/run/glm-serve-cluster")  # /run of the node

LOGS = CACHE / "logs"  # /var/log of the node, of the last run

REPOSITORY = Path(__file__).parents[3]
CONFIG = Path(__file__).parent / "config"
MANIFESTS = Path(__file__).parents[1] / "manifests"
IMAGE_SOURCES = Path(__file__).parents[1] / "images"
