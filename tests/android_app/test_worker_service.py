"""The staged script of a worker's service, run as python-for-android runs it, with a Java of a few lines."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgeloop_companion.runtime.order import Order
from edgeloop_companion.runtime.run_folder import RunFolder
from edgeloop_shared.codec import encode_json
from edgeloop_shared.process_lock import held

JNIUS = """
import os
BEGUN = os.getpid()
def autoclass(name):
    assert name == "org.kivy.android.PythonService"
    return PythonService
class PythonService:
    class mService:
        def getSystemService(name):
            assert name == "power"
            return Power
class Power:
    def newWakeLock(level, tag):
        assert (level, tag) == (1, "edgeloop:worker")
        return WakeLock
class WakeLock:
    def acquire(): tell("awake")
    def release(): tell("asleep")
def tell(text):
    assert os.getpid() == BEGUN, "Java does not outlive a fork"
    with open(os.environ["TOLD"], "a") as file:
        file.write(text + " ")
"""


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "jnius.py").write_text(JNIUS)
    folder = RunFolder(tmp_path / "run")
    folder.files.mkdir(parents=True)
    return folder


def serve(staged: Path, folder: RunFolder, script: str) -> int:
    """Run the service for a script, of a companion that lives; return its exit code."""
    base = folder.root.parent
    (folder.files / "task.py").write_text(script)
    folder.write_order(Order("task.py", companion=str(base / "companion")))
    argument = encode_json({"run": str(folder.root), "slot": str(base / "slot")}).decode()
    with held(base / "companion"):
        # python-for-android sets PYTHONOPTIMIZE to 2, and its own path is relative to the app's folder.
        return subprocess.run(
            [sys.executable, "worker_service.py"],
            cwd=staged / "app",
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": f".:{base / 'modules'}",
                "PYTHONOPTIMIZE": "2",
                "PYTHON_SERVICE_ARGUMENT": argument,
                "TOLD": str(base / "told"),
            },
        ).returncode


WHERE = "import edgeloop_task, os\nprint(os.path.dirname(edgeloop_task.__file__), flush=True)\n"


def test_a_run_is_worked_on_by_what_is_staged_while_the_phone_stays_awake(staged: Path, folder: RunFolder) -> None:
    assert serve(staged, folder, WHERE) == 0
    end = folder.end()
    assert end is not None
    assert (end.code, end.last_lines) == (0, (str(staged / "app" / "edgeloop_task"),))
    assert (folder.root.parent / "told").read_text() == "awake asleep "


def test_a_script_that_crashes_leaves_the_service_alive_to_say_so(staged: Path, folder: RunFolder) -> None:
    assert serve(staged, folder, "import os\nos.abort()\n") == 0
    end = folder.end()
    assert end is not None
    assert end.code == -6
    assert (folder.root.parent / "told").read_text() == "awake asleep "


def test_a_service_whose_slot_is_taken_works_on_nothing(staged: Path, folder: RunFolder) -> None:
    with held(folder.root.parent / "slot"):
        assert serve(staged, folder, "print('never')\n") == 0
    assert not folder.has_begun


def test_a_script_that_loads_a_model_is_told_where_mnn_is_missing(staged: Path, folder: RunFolder) -> None:
    hide = "import sys\nsys.modules['MNN'] = None\n"
    (folder.files / "model.mnn").write_bytes(b"x" * 64)
    script = hide + "import edgeloop_task\nedgeloop_task.load_model('model.mnn')\n"
    assert serve(staged, folder, script) == 0
    end = folder.end()
    assert end is not None
    assert end.code == 1
    assert "MNN" in end.last_lines[-1]
