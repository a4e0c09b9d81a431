"""How far a script is: checked where it is said, told now and then, and always at last."""

from __future__ import annotations

import math
import os
import pty
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from companion_app.task_reporter import Remembered

import edgeloop_task
from edgeloop_shared.errors import InvalidInputError
from edgeloop_shared.progress import ProgressReported
from edgeloop_shared.run_events import ResultReported

from .companion_fixtures import linked_companion
from .link_peer import LinkPeer
from .received_run import Run

MILLION = """
import edgeloop_task
for number in range(1_000_001):
    edgeloop_task.report_progress(number, 1_000_000, "image")
edgeloop_task.report_result(good=True)
"""


@pytest.fixture
async def peer(tmp_path: Path) -> AsyncIterator[LinkPeer]:
    async with LinkPeer().serving() as peer, linked_companion(tmp_path / "state", peer):
        yield peer


def progresses(run: Run) -> list[ProgressReported]:
    return [event for event in run.events() if isinstance(event, ProgressReported)]


def on_terminal(folder: Path, script: str) -> tuple[str, str]:
    """Run a script whose standard error is a terminal; return its output and what the terminal got."""
    (folder / "task.py").write_text(script)
    control, terminal = pty.openpty()
    with os.fdopen(control, "rb", buffering=0) as shown:
        running = subprocess.Popen(
            [sys.executable, "task.py"], cwd=folder, stdout=subprocess.PIPE, stderr=terminal, text=True
        )
        os.close(terminal)
        text = b""
        try:
            while piece := shown.read(4096):
                text += piece
        except OSError:  # the other end is closed
            pass
        output, _ = running.communicate(timeout=60)
    assert running.returncode == 0, text
    return output, text.decode()


@pytest.mark.parametrize(
    ("done", "total", "text", "words"),
    [
        (math.nan, 10, "", "done is nan, and no number from 0 to 2**53"),
        (-1, None, "", "done is -1, and no number"),
        (math.inf, None, "", "done is inf, and no number"),
        (10**400, None, "", "done is 1000"),
        (None, 10, "", "done is None"),
        ("3", 10, "", "done is '3', and no number"),
        (np.zeros(3), 10, "", "done is array"),
        (3, math.nan, "", "total is nan, and no number"),
        (3, 10**17, "", "total is 100000000000000000, and no number"),
        (3, "10", "", "total is '10'"),
        (11, 10, "", "done is 11, more than the total of 10"),
        (1, 2, b"text", "text is b'text', and no text"),
    ],
)
def test_what_is_no_progress_is_refused_with_what_to_do(
    reported: Remembered, done: Any, total: Any, text: Any, words: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        edgeloop_task.report_progress(done, total, text)
    assert caught.value.message.startswith(f"Progress cannot be reported: {words}")
    assert "report_progress(3, 10, 'resizing')" in (caught.value.hint or "")
    assert not reported.progresses


def test_a_terminal_shows_a_line_that_is_drawn_anew_and_ends_with_the_last(tmp_path: Path) -> None:
    output, shown = on_terminal(tmp_path, MILLION)
    assert output == '{"good": true}\n'
    lines = shown.split("\r\x1b[K")
    assert lines[1] == "[                    ]   0% 0 of 1,000,000 image"
    assert re.fullmatch(r"\[#{20}\] 100% 1,000,000 of 1,000,000 image\r\n", lines[-1])
    assert len(lines) < 1000


def test_a_pipe_gets_no_progress(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MILLION], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    assert (done.stdout, done.stderr) == ('{"good": true}\n', "")


def test_a_child_of_the_script_says_how_far_it_is_too(tmp_path: Path) -> None:
    script = """
import os, edgeloop_task
for number in range(3):
    edgeloop_task.report_progress(number, text="parent")
if os.fork() == 0:
    edgeloop_task.report_progress(7, text="child")
    os._exit(0)
os.wait()
"""
    _, shown = on_terminal(tmp_path, script)
    assert "7 child" in shown
    assert "2 parent" in shown


async def test_a_tight_loop_is_told_now_and_then_and_its_last_word_always(peer: LinkPeer) -> None:
    run = await peer.run({"task.py": MILLION})
    found = progresses(run)
    assert found[0] == ProgressReported(0.0, 1e6, "image")
    assert found[-1] == ProgressReported(1e6, 1e6, "image")
    assert len(found) < 1000
    assert ResultReported({"good": True}) in run.events()


@pytest.mark.parametrize("end", ["raise SystemExit(3)", "1 / 0", "import atexit; atexit.register(say, 9, 'bye')"])
async def test_the_last_word_of_a_script_arrives_however_it_ends(peer: LinkPeer, end: str) -> None:
    script = f"from edgeloop_task import report_progress as say\nsay(1)\nsay(8)\nsay(9, text='bye')\n{end}\n"
    run = await peer.run({"task.py": script.replace("9, 'bye'", "9, None, 'bye'")})
    assert progresses(run)[-1] == ProgressReported(9, None, "bye")


async def test_the_last_word_arrives_while_the_script_says_no_more(peer: LinkPeer, tmp_path: Path) -> None:
    script = f"""
import edgeloop_task, decimal, numpy, pathlib, time
edgeloop_task.report_progress(0, 3)
edgeloop_task.report_progress(numpy.int64(1), numpy.float32(3))
edgeloop_task.report_progress(decimal.Decimal("2"), numpy.array(3), "two\\nlines\\ud800 " + 300 * "x")
while not pathlib.Path({str(tmp_path / "go")!r}).exists():
    time.sleep(0.01)
"""
    run = await peer.start({"task.py": script})
    last = ProgressReported(2, 3, "two lines  " + 189 * "x")
    await peer.until(lambda: last in progresses(run))
    assert not run.is_complete
    (tmp_path / "go").touch()
    await peer.until(lambda: run.is_complete)
    assert (progresses(run)[0], progresses(run)[-1]) == (ProgressReported(0, 3), last)
