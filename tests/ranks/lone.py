"""An engine of two ranks that names the other one's process, and stays while its input does."""

import sys
from multiprocessing import active_children

from serve_app.loading import load_engine
from serve_app.settings import EngineSettings, ModelSettings, Settings


def main() -> None:
    settings = Settings(model=ModelSettings(device="cpu"), engine=EngineSettings(tensor_parallel=2))
    engine = load_engine(settings)
    engine.start()
    (other,) = active_children()
    sys.stdout.write(f"{other.pid}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
