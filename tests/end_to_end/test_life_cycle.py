"""What happens to phones: they leave without a word, are suspended and come back. The daemon shows the truth, nothing is lost.

Heartbeats are shorter than in real life, so that a test need not wait for half a minute.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from companion_app.shown_codes import show_nothing, show_text
from end_to_end.discovered import DaemonThere, PhoneThere, daemon_on, paired, phone_on
from namespace_parts import NEEDED, Computer, can_be_made, ip, network

from edgeloop_companion.events import LinkLost
from edgeloop_companion.link.pairing import Pairing
from edgeloop_companion.link.pairings import Pairings
from edgeloop_companion.runtime.storage import StateFolder
from edgeloop_shared.models import RunState

pytestmark = pytest.mark.skipif(not can_be_made(), reason=NEEDED)

HEARTBEAT_SECONDS = 1.0
COUNTS = """
import pathlib, time
number = 0
while not pathlib.Path({stop!r}).exists():
    print(number)
    number += 1
    time.sleep(0.02)
"""


@pytest.fixture(scope="module")
def computers() -> Iterator[list[Computer]]:
    with network(2) as found:
        yield found


@pytest.fixture
def daemon(computers: list[Computer], tmp_path: Path) -> Iterator[DaemonThere]:
    with daemon_on(computers[0], tmp_path / "daemon") as one:
        one.heartbeat_seconds = HEARTBEAT_SECONDS
        yield one


@pytest.fixture
def phone(computers: list[Computer], tmp_path: Path) -> Iterator[PhoneThere]:
    with phone_on(computers[1], tmp_path / "phone") as one:
        one.heartbeat_seconds = HEARTBEAT_SECONDS
        yield one


@contextlib.contextmanager
def companion_process(computer: Computer, folder: Path, pairing: Pairing) -> Iterator[int]:
    """Run a companion as a process of its own on a computer; yield its id."""
    Pairings(StateFolder(folder).pairings).add(pairing)
    with process_on(computer, "edgeloop_companion", "--state", str(folder), "--name", "phone") as process:
        yield process.pid


@contextlib.contextmanager
def process_on(computer: Computer, module: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a module on a computer, with a screen that nobody sees."""
    tests = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": tests, "SDL_VIDEODRIVER": "offscreen", "LIBGL_ALWAYS_SOFTWARE": "1"}
    command = ["ip", "netns", "exec", computer.namespace, sys.executable, "-m", module, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def until_away(daemon: DaemonThere) -> None:
    daemon.until(lambda _: not daemon.device("phone").is_linked)


def worker_bytes(folder: Path) -> int:
    """Return how much the worker of the only run has said in the phone's folder that nobody has passed on."""
    return sum(path.stat().st_size for path in folder.glob("hosts/*/runs/*/journal.*"))


def check_whole(lines: list[str]) -> None:
    assert len(lines) > 10
    assert lines == [str(number) for number in range(len(lines))]


def test_a_phone_whose_network_goes_without_a_word_is_shown_away_and_its_run_goes_on_and_loses_nothing(
    daemon: DaemonThere, phone: PhoneThere, tmp_path: Path
) -> None:
    (pairing,) = paired(daemon, "phone")
    daemon.start()
    phone.start(pairing)
    daemon.until_linked("phone")
    run = daemon.run(COUNTS.format(stop=str(tmp_path / "stop")))
    daemon.until(lambda _: worker_bytes(phone.folder))
    ip("-n", phone.computer.switch, "link", "set", phone.computer.port, "down")
    try:
        until_away(daemon)
        assert daemon.device("phone").state is None
        phone.until(lambda: phone.observer.of(LinkLost))
    finally:
        ip("-n", phone.computer.switch, "link", "set", phone.computer.port, "up")
    daemon.until_linked("phone")
    (tmp_path / "stop").touch()
    assert daemon.ended(run).state is RunState.SUCCEEDED
    check_whole(daemon.lines(run))


def test_a_suspended_app_is_shown_away_while_its_worker_goes_on_and_all_of_it_comes_when_it_wakes_up(
    daemon: DaemonThere, computers: list[Computer], tmp_path: Path
) -> None:
    (pairing,) = paired(daemon, "phone")
    daemon.start()
    with companion_process(computers[1], tmp_path / "phone", pairing) as process_id:
        daemon.until_linked("phone")
        run = daemon.run(COUNTS.format(stop=str(tmp_path / "stop")))
        daemon.until(lambda _: worker_bytes(tmp_path / "phone"))
        os.kill(process_id, signal.SIGSTOP)  # what Android's freezer does to an app in the background
        try:
            until_away(daemon)
            before = worker_bytes(tmp_path / "phone")
            daemon.until(lambda _: worker_bytes(tmp_path / "phone") > before)
        finally:
            os.kill(process_id, signal.SIGCONT)
        daemon.until_linked("phone")
        (tmp_path / "stop").touch()
        assert daemon.ended(run).state is RunState.SUCCEEDED
        check_whole(daemon.lines(run))


def test_the_app_is_paired_by_a_scanned_code_found_runs_a_task_and_outlives_a_cut_link_and_its_own_end(
    daemon: DaemonThere, computers: list[Computer], tmp_path: Path
) -> None:
    frames, state, stop = tmp_path / "frames", tmp_path / "phone", tmp_path / "stop"
    show_nothing(frames)
    daemon.start()
    assert daemon.services is not None
    window = daemon.computer.do(daemon.services.pairing.open())
    with process_on(computers[1], "end_to_end.scanning_phone", str(state), str(frames)) as app:
        show_text(frames, window.offer)
        daemon.until(lambda services: services.devices.list())
        daemon.until_linked("phone")
        daemon.until(lambda _: daemon.device("phone").is_nearby)
        daemon.until(lambda _: (told := daemon.device("phone").state) is not None and told.activity == "foreground")
        run = daemon.run(COUNTS.format(stop=str(stop)))
        daemon.until(lambda _: worker_bytes(state))
        port = computers[1].port
        ip("-n", computers[1].switch, "link", "set", port, "down")
        try:
            until_away(daemon)
        finally:
            ip("-n", computers[1].switch, "link", "set", port, "up")
        daemon.until_linked("phone")
        app.kill()
        until_away(daemon)
    with process_on(computers[1], "edgeloop_companion.ui", "--state", str(state), "--name", "phone"):
        daemon.until_linked("phone")
        stop.touch()
        assert daemon.ended(run).state is RunState.SUCCEEDED
        check_whole(daemon.lines(run))
