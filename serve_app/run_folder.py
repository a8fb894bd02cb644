"""The folder of one run on this machine: Ray's session, HAProxy's sockets, the log."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serve_app import interrupts
from serve_app.errors import CannotStart

PREFIX = "glm-"
LONGEST_PLACE = 23  # HAProxy's sockets lie 74 characters below and may have 97


@contextmanager
def run_folder(*, alone: bool = False) -> Iterator[Path]:
    """Own a new folder; it outlives its run only to explain a failed start.

    `alone`: no other run can be here, so what former ones left, which were killed, is removed.
    """
    place = tempfile.gettempdir()
    if len(place) > LONGEST_PLACE:
        raise CannotStart(f"TMPDIR: {place} is too long for the paths of sockets; try /tmp.")
    for former in Path(place).glob(f"{PREFIX}*") if alone else ():
        _remove(former)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        yield folder
    except CannotStart as error:
        raise CannotStart(f"{error.message} The logs of this start are in {folder}.") from error
    except BaseException:
        _remove(folder)
        raise
    _remove(folder)


def _remove(folder: Path) -> None:
    with interrupts.held_off():
        shutil.rmtree(folder, ignore_errors=True)
