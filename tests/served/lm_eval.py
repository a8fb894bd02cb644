"""The evaluation harness against a server of its own: python -m tests.served.lm_eval.

`make lm-eval` sets up what it needs. Not a part of the suite, for that is 70 packages more.
"""

import os
import subprocess
import tempfile
from pathlib import Path

from serve_app.models.nano.evaluate import WEIGHTS
from tests.served.server import serving

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-lm-eval" / "bin" / "python"
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as server:
        client = ROOT / "tests" / "clients" / "lm_eval_client.py"
        subprocess.run(
            [PYTHON, client, server.url, WEIGHTS / "glm-nano"],
            cwd=ROOT,
            env=os.environ | OFFLINE,
            check=True,
        )


if __name__ == "__main__":
    main()
