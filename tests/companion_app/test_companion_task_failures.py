"""How tasks fail: what a script raises, how it ends itself, how it dies, and what its user is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edgeloop_shared.models import RunState

from .companion_fixtures import linked_companion
from .link_peer import LinkPeer
from .received_run import failure


@pytest.fixture
async def peer(tmp_path: Path) -> AsyncIterator[LinkPeer]:
    async with LinkPeer().serving() as peer, linked_companion(tmp_path / "state", peer):
        yield peer


async def test_an_exception_names_the_users_file_and_line(peer: LinkPeer) -> None:
    files = {
        "task.py": "import numbers_of_mine\nnumbers_of_mine.divide(0)\n",
        "numbers_of_mine.py": "def divide(by):\n    return 1 / by\n",
    }
    run = await peer.run(files)
    error = failure(run)
    assert error["code"] == "task-failed"
    assert error["message"] == "ZeroDivisionError: division by zero (numbers_of_mine.py, line 2)"
    assert (error["details"]["file"], error["details"]["line"]) == ("numbers_of_mine.py", 2)
    traceback = error["details"]["traceback"]
    assert 'File "task.py", line 2, in <module>' in traceback
    assert "return 1 / by" in traceback
    assert "runpy" not in traceback
    assert "worker.py" not in traceback
    assert run.text("stderr") == traceback.splitlines()


async def test_causes_of_an_exception_are_shown_with_relative_paths(peer: LinkPeer, tmp_path: Path) -> None:
    script = """
try:
    {}["missing"]
except KeyError as error:
    raise RuntimeError("no such thing") from error
"""
    traceback = failure(await peer.run({"task.py": script}))["details"]["traceback"]
    assert 'File "task.py", line 3, in <module>' in traceback
    assert "direct cause" in traceback
    assert str(tmp_path) not in traceback


@pytest.mark.parametrize(
    ("raised", "begins"),
    [
        ("class Odd(Exception):\n    def __str__(self):\n        raise ValueError\nraise Odd", "Odd: (its text"),
        ("raise ValueError('\\udc80\\x00')", "ValueError: \\udc80\x00 ("),
        ("raise ValueError('long' * 1_000_000)", "ValueError: longlong"),
        (
            "from edgeloop_shared.errors import ModelError\nraise ModelError('Broken.', details={'x': object()})",
            "ModelError: B",
        ),
        (
            "from edgeloop_shared.errors import ModelError\nraise ModelError('Broken.', details={'x': 'y' * 10**7})",
            "ModelError: B",
        ),
        ("def f():\n    f()\nf()", "RecursionError"),
    ],
)
async def test_an_odd_exception_is_reported_all_the_same(peer: LinkPeer, raised: str, begins: str) -> None:
    error = failure(await peer.run({"task.py": raised}))
    assert error["message"].startswith(begins)
    assert len(error["message"]) < 2200
    assert error["details"]["file"] == "task.py"


async def test_an_error_of_the_task_library_keeps_its_code_and_hint(peer: LinkPeer) -> None:
    files: dict[str, bytes | str] = {
        "task.py": "import edgeloop_task\nedgeloop_task.load_model('m.mnn')",
        "m.mnn": b"rubbish",
    }
    error = failure(await peer.run(files))
    assert error["message"].startswith("ModelError: ")
    assert error["details"]["cause"]["code"] == "model-error"
    assert error["hint"] == error["details"]["cause"]["hint"]
    assert (error["details"]["file"], error["details"]["line"]) == ("task.py", 2)


@pytest.mark.parametrize(
    ("files", "file", "line"),
    [
        ({"task.py": "x = 1\nif x\n    pass\n"}, "task.py", 2),
        ({"task.py": "import part\n", "part.py": "\ndef broken(:\n"}, "part.py", 2),
    ],
)
async def test_a_syntax_error_names_file_line_and_text(
    peer: LinkPeer, files: dict[str, str], file: str, line: int
) -> None:
    error = failure(await peer.run(files))
    assert error["message"].startswith("SyntaxError: ")
    assert error["message"].endswith(f"({file}, line {line})")
    assert (error["details"]["file"], error["details"]["line"]) == (file, line)
    assert error["details"]["text"] in files[file]


@pytest.mark.parametrize(("code", "succeeds"), [("", True), ("0", True), ("3", False), ("'model is bad'", False)])
async def test_sys_exit_ends_a_script_as_it_ends_python(peer: LinkPeer, code: str, succeeds: bool) -> None:
    run = await peer.run({"task.py": f"import sys\nsys.exit({code})"})
    if succeeds:
        assert run.finished is not None
        assert run.finished.state is RunState.SUCCEEDED
    else:
        assert code.strip("'") in failure(run)["message"]


@pytest.mark.parametrize(
    ("crash", "signals"),
    [
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", {"SIGSEGV"}),
        ("import ctypes\nctypes.string_at(0)", {"SIGSEGV", "SIGBUS"}),
        ("import os\nos.abort()", {"SIGABRT"}),
    ],
)
async def test_a_native_crash_is_reported_with_its_signal_line_and_last_words(
    peer: LinkPeer, crash: str, signals: set[str]
) -> None:
    run = await peer.run({"task.py": f"print('last words', flush=True)\n{crash}\n"})
    error = failure(run)
    assert error["code"] == "task-crashed"
    assert error["details"]["signal"] in signals
    assert "last words" in error["details"]["native_output"]
    assert (error["details"]["file"], error["details"]["line"]) == ("task.py", 3)


async def test_what_native_code_printed_before_a_crash_is_not_lost(peer: LinkPeer) -> None:
    script = "import ctypes\nctypes.CDLL(None).printf(b'native words\\n')\nctypes.string_at(0)\n"
    assert "native words" in failure(await peer.run({"task.py": script}))["details"]["native_output"]


async def test_a_worker_that_ends_itself_is_reported_with_its_exit_code(peer: LinkPeer) -> None:
    error = failure(await peer.run({"task.py": "import os; os._exit(7)"}))
    assert (error["code"], error["details"]["exit_code"]) == ("task-crashed", 7)


async def test_a_task_that_crashes_leaves_its_neighbour_alone(peer: LinkPeer, tmp_path: Path) -> None:
    waiting = """
import pathlib, sys, time
print("waiting", flush=True)
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.01)
print("went on")
"""
    signal_file = tmp_path / "go"
    neighbour = await peer.start({"task.py": waiting}, str(signal_file))
    await peer.until(lambda: neighbour.text("stdout") == ["waiting"])
    crashed = await peer.run({"task.py": "import os; os.abort()"})
    assert failure(crashed)["code"] == "task-crashed"
    assert not neighbour.is_complete
    signal_file.touch()
    await peer.until(lambda: neighbour.is_complete)
    assert neighbour.text("stdout") == ["waiting", "went on"]
    assert neighbour.finished is not None
    assert neighbour.finished.state is RunState.SUCCEEDED
