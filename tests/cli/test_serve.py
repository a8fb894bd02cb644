"""`glm-serve serve` shows its log to the end and keeps its folder only to explain itself."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from serve_app import interrupts
from serve_app.cli.serve import follow
from serve_app.errors import CannotStart
from serve_app.run_folder import run_folder


def test_the_last_lines_of_the_log_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log"

    with follow(log):
        log.write_text("the last request\n")

    assert capsys.readouterr().out == "the last request\n"


def test_the_folder_of_a_run_is_gone_afterwards() -> None:
    with run_folder() as folder:
        (folder / "session").mkdir()

    assert not folder.exists()


def test_the_folder_of_an_interrupted_run_is_gone_too() -> None:
    with pytest.raises(KeyboardInterrupt), run_folder() as folder:
        raise KeyboardInterrupt

    assert not folder.exists()


def test_a_failed_start_says_where_its_logs_are() -> None:
    with pytest.raises(CannotStart) as caught, run_folder() as folder:
        raise CannotStart("Ray did not start.")

    assert caught.value.message == f"Ray did not start. The logs of this start are in {folder}."
    folder.rmdir()


def test_a_place_too_deep_for_sockets_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/of/somebody/far/below/it")

    with (
        pytest.raises(CannotStart, match=r"^TMPDIR: /of/somebody/far/below/it is too long"),
        run_folder(),
    ):
        pass


@pytest.mark.parametrize("number", interrupts.SIGNALS)
def test_a_signal_interrupts(number: signal.Signals) -> None:
    with interrupts.held_off():  # gives the handlers of pytest back
        interrupts.interrupt()

        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)


@pytest.mark.parametrize("number", interrupts.SIGNALS)
def test_a_signal_ends_a_forked_child_without_a_word(
    number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    """As one that meets a child of Ray's before it has become its own program."""
    program = (
        "import os, signal; from serve_app import interrupts; interrupts.interrupt()\n"
        "child = os.fork()\n"
        f"if not child: signal.raise_signal({number.value})\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )

    subprocess.run([sys.executable, "-c", program], check=True)

    said = capfd.readouterr()
    assert int(said.out) == 128 + number
    assert not said.err


@pytest.mark.parametrize("number", interrupts.SIGNALS)
def test_a_signal_that_was_noted_is_waited_for_no_more_and_the_next_one_interrupts(
    number: signal.Signals,
) -> None:
    with interrupts.held_off():
        interrupts.heed()
        signal.raise_signal(number)

        interrupts.wait()

        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)


@pytest.mark.parametrize("number", interrupts.SIGNALS)
def test_a_signal_cancels_a_coroutine_and_interrupts_after_it(number: signal.Signals) -> None:
    async def wait() -> None:
        with interrupts.cancelling():
            signal.raise_signal(number)
            await asyncio.Event().wait()

    with interrupts.held_off():
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(wait())

        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)


@pytest.mark.parametrize("number", interrupts.SIGNALS)
def test_a_signal_that_was_put_off_interrupts_afterwards(number: signal.Signals) -> None:
    done: list[str] = []

    def work() -> None:
        with interrupts.put_off():
            signal.raise_signal(number)
            done.append("all of it")

    with interrupts.held_off():
        interrupts.interrupt()

        with pytest.raises(KeyboardInterrupt):
            work()

    assert done


@pytest.mark.parametrize("number", interrupts.SIGNALS)
def test_clearing_away_is_not_interrupted(number: signal.Signals) -> None:
    with interrupts.held_off():
        interrupts.interrupt()

        with interrupts.held_off():
            signal.raise_signal(number)
