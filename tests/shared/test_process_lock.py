"""The lock that tells whether a process lives, between real processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeloop_shared import process_lock

HOLDER = """
import sys
from pathlib import Path
from edgeloop_shared import process_lock
with process_lock.held(Path(sys.argv[1])) as ours:
    print("held" if ours else "taken", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def process_holding(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a process that holds the lock until its standard input closes."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_nobody_holds_a_lock_that_was_never_taken(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not process_lock.is_held(path)
    assert not process_lock.signal_holder(path)
    assert not path.exists()


def test_a_lock_is_held_for_the_block_and_names_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with process_lock.held(path) as ours:
        assert ours
        assert process_lock.is_held(path)
        assert path.read_text() == str(os.getpid())
        assert path.stat().st_mode & 0o777 == 0o600
    assert not process_lock.is_held(path)
    assert path.read_text() == ""


def test_a_lock_is_freed_when_the_block_raises(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with pytest.raises(KeyError), process_lock.held(path):
        raise KeyError
    with process_lock.held(path) as ours:
        assert ours


def test_a_second_holder_is_turned_away_and_takes_nothing_from_the_first(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with process_lock.held(path) as first:
        with process_lock.held(path) as second:
            assert (first, second) == (True, False)
        assert process_lock.is_held(path)
        assert path.read_text() == str(os.getpid())


def test_another_process_is_seen_and_keeps_us_out(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with process_holding(path) as process:
        assert process_lock.is_held(path)
        assert path.read_text() == str(process.pid)
        with process_lock.held(path) as ours:
            assert not ours
        assert process_lock.is_held(path)


def test_a_clean_end_frees_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with process_holding(path) as process:
        process.communicate(timeout=30)
        assert process.returncode == 0
        assert not process_lock.is_held(path)


def test_a_killed_process_frees_the_lock_although_its_id_still_stands_there(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with process_holding(path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
        assert path.read_text() == str(process.pid)
        assert not process_lock.is_held(path)
        assert not process_lock.signal_holder(path, signal.SIGKILL)
        with process_lock.held(path) as ours:
            assert ours


def test_the_holder_can_be_signalled_through_its_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with process_holding(path) as process:
        assert process_lock.signal_holder(path, signal.SIGTERM)
        assert process.wait(timeout=30) == -signal.SIGTERM
        assert not process_lock.is_held(path)


def test_a_whole_group_can_be_signalled_through_its_leaders_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    leader = HOLDER.replace("import sys", "import subprocess, sys").replace(
        'print("held"', 'child = subprocess.Popen(["sleep", "60"]); print("held"'
    )
    with subprocess.Popen(
        [sys.executable, "-c", leader, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert process_lock.signal_holder(path, signal.SIGKILL, group=True)
        assert process.wait(timeout=30) == -signal.SIGKILL
        assert process.stdout.read() == b""  # ends only once the child, which shares it, is gone too


def test_a_child_of_the_holder_does_not_keep_the_lock_alive(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with contextlib.ExitStack() as at_end:
        with process_lock.held(path):
            child = at_end.enter_context(
                subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL, close_fds=False)  # returns after its exec
            )
            at_end.callback(child.kill)
        assert not process_lock.is_held(path)
        assert child.poll() is None


def test_probing_never_keeps_a_holder_out(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    prober = "import sys; from pathlib import Path; from edgeloop_shared import process_lock\n"
    prober += "print('probing', flush=True)\nwhile True: process_lock.is_held(Path(sys.argv[1]))"
    with subprocess.Popen([sys.executable, "-c", prober, str(path)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "probing\n"
            for _ in range(50):
                with process_lock.held(path) as ours:
                    assert ours
        finally:
            process.kill()
