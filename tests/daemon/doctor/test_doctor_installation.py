"""The doctor on Python, packages, MNN, Git and plugins: each check on what is well and on what is really broken."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from edgeloop_daemon.doctor.debugger import check_debugger
from edgeloop_daemon.doctor.distributions import TELEMETRY, check_versions, needed
from edgeloop_daemon.doctor.finding import FailedPlugin, Finding, RunningDaemon, Subject
from edgeloop_daemon.doctor.git import check_git
from edgeloop_daemon.doctor.inference import check_inference
from edgeloop_daemon.doctor.interpreter import Interpreter, check_python
from edgeloop_daemon.doctor.plugins import check_plugins
from edgeloop_daemon.store.folders import Folders
from edgeloop_shared import __version__
from edgeloop_shared.marks import Mark


def assert_problem(finding: Finding, found: str, remedy: str) -> None:
    assert finding.mark is Mark.PROBLEM
    assert found in finding.found
    assert remedy in finding.remedy


def test_this_python_will_do() -> None:
    finding = check_python(Interpreter())
    assert finding.mark is Mark.OK
    assert sys.prefix in finding.found


def test_an_old_python_is_a_problem() -> None:
    assert_problem(check_python(Interpreter(version=(3, 10, 4))), "3.10.4 is too old", "Python 3.11")


def test_a_python_that_an_upgrade_has_removed_is_a_problem(tmp_path: Path) -> None:
    gone = tmp_path / "python3.11"
    gone.symlink_to(tmp_path / "removed")
    assert_problem(check_python(Interpreter(executable=str(gone))), f"{gone} is gone", "virtual environment anew")


def test_the_systems_own_python_is_a_warning() -> None:
    finding = check_python(Interpreter(prefix="/usr", base_prefix="/usr"))
    assert finding.mark is Mark.WARNING
    assert "no virtual environment" in finding.found


@pytest.mark.parametrize(("release", "is_slow"), [((3, 11, 9), True), ((3, 12, 0), False)])
def test_debugpy_is_made_ready_and_what_it_costs_depends_on_the_python(release: tuple[int, ...], is_slow: bool) -> None:
    finding = check_debugger(Interpreter(version=release))
    assert finding.mark is Mark.OK
    assert f"debugpy {version('debugpy')} is ready" in finding.found
    assert ("2 to 10 times slower" in finding.found) is is_slow
    assert ("3.12" in finding.remedy) is is_slow


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("raise ImportError('no such thing')", "debugpy cannot be used: no such thing"),
        ("import time; time.sleep(60)", "not ready within 1 s"),
    ],
)
def test_a_debugpy_that_cannot_be_used_is_a_problem(tmp_path: Path, code: str, says: str) -> None:
    (tmp_path / "debugpy.py").write_text(code)
    seconds = 1 if "within 1 s" in says else 30
    finding = check_debugger(Interpreter(), {**os.environ, "PYTHONPATH": str(tmp_path)}, seconds=seconds)
    assert_problem(finding, says, "pip install --force-reinstall debugpy")


def test_what_is_installed_fits_together() -> None:
    assert len(needed()) > 5
    finding = check_versions(needed())
    assert finding.mark is Mark.OK
    assert f"MNN {version('MNN')}" in finding.found


def installed(**changes: str | None) -> Callable[[str], str]:
    names = {name.lower(): found for name, found in changes.items()}

    def look(name: str) -> str:
        found = names[name.lower()] if name.lower() in names else version(name)
        if found is None:
            raise PackageNotFoundError(name)
        return found

    return look


@pytest.mark.parametrize(
    ("name", "found", "says"),
    [
        ("aiohttp", "3.13.9", "aiohttp 3.13.9 is installed, but >=3.14.4 is needed"),
        ("MNN", "4.0", "mnn 4.0 is installed, but "),
        ("numpy", None, "numpy is missing"),
    ],
)
def test_a_version_that_is_known_to_fail_is_a_problem(name: str, found: str | None, says: str) -> None:
    assert_problem(check_versions(needed(), installed(**{name: found})), says, "pip install")


def test_versions_are_compared_as_numbers() -> None:
    fits = check_versions(["aiohttp>=3.9,<4"], installed(aiohttp="3.14.5rc1"))
    assert fits.mark is Mark.OK


def test_metadata_of_another_version_is_a_warning() -> None:
    finding = check_versions((), installed(edgeloop="0.0.1"))
    assert finding.mark is Mark.WARNING
    assert f"code is {__version__}, its metadata 0.0.1" in finding.found


def test_the_telemetry_that_mnn_installs_is_a_warning() -> None:
    finding = check_versions((), installed(**{TELEMETRY: "0.9"}))
    assert finding.mark is Mark.WARNING
    assert f"pip uninstall {TELEMETRY}" in finding.remedy


def test_mnn_runs_a_tiny_model() -> None:
    finding = check_inference()
    assert (finding.mark, finding.remedy) == (Mark.OK, "")
    assert version("MNN") in finding.found


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("raise ImportError('libMNN.so: wrong ELF class')", "MNN cannot be imported: libMNN.so: wrong ELF class"),
        ("import os; os.kill(os.getpid(), 11)", "MNN crashed natively (SIGSEGV)"),
        ("import os; os._exit(3)", "exit status 3, without a word"),
        ("import time; time.sleep(60)", "did not run a tiny model within 1 s"),
    ],
)
def test_a_broken_mnn_is_named_and_hurts_nobody(tmp_path: Path, code: str, says: str) -> None:
    (tmp_path / "MNN.py").write_text(code)
    seconds = 1 if "within 1 s" in says else 30
    finding = check_inference({**os.environ, "PYTHONPATH": str(tmp_path)}, seconds=seconds)
    assert_problem(finding, says, "pip install --force-reinstall MNN numpy")


def test_wrong_numbers_are_a_problem(tmp_path: Path) -> None:
    # As a miscompiled kernel would: everything works, but the results are not those of the model.
    (tmp_path / "sitecustomize.py").write_text(
        "import numpy\n"
        "maximum = numpy.maximum\n"
        "class Off:\n"
        "    reduce = maximum.reduce\n"
        "    def __call__(self, a, b):\n"
        "        return maximum(a, b) + 0.25\n"
        "numpy.maximum = Off()\n"
    )
    finding = check_inference({**os.environ, "PYTHONPATH": str(tmp_path)})
    assert_problem(finding, "computes wrong numbers: off by 0.25", "pip install")


def test_git_is_there() -> None:
    finding = check_git()
    assert finding.mark is Mark.OK
    assert finding.found[0].isdigit()


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (None, "not on the PATH"),
        ("echo 'git version 2.11.0'", "git version 2.11.0 is too old"),
        ("echo 'xcrun: error: invalid active developer path' >&2; exit 1", "does not work: xcrun: error"),
        ("exit 0", "does not work: it said nothing"),
    ],
)
def test_a_git_that_is_missing_old_or_broken_is_a_problem(tmp_path: Path, script: str | None, says: str) -> None:
    if script is not None:
        program = tmp_path / "git"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    assert_problem(check_git(str(tmp_path)), says, "Install Git 2.30 or newer")


def test_plugins_that_load_are_well_without_a_daemon(tmp_path: Path) -> None:
    assert check_plugins(Subject(Folders(tmp_path))).mark is Mark.OK


def test_a_plugin_that_fails_to_load_is_named_without_a_daemon(tmp_path: Path) -> None:
    (tmp_path / "rotten.py").write_text("print('noise')\nraise RuntimeError('no licence')\n")
    metadata = tmp_path / "rotten-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: rotten\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[edgeloop]\nrotten = rotten\n")
    finding = check_plugins(Subject(Folders(tmp_path)), {**os.environ, "PYTHONPATH": str(tmp_path)})
    assert_problem(finding, "rotten: RuntimeError: no licence", "uninstall")


def test_a_plugin_that_ends_the_process_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "pluggy.py").write_text("import os\nos._exit(7)\n")
    finding = check_plugins(Subject(Folders(tmp_path)), {**os.environ, "PYTHONPATH": str(tmp_path)})
    assert_problem(finding, "exit status 7", "plugin")


def test_a_running_daemon_is_asked_for_its_plugins(tmp_path: Path) -> None:
    daemon = RunningDaemon(__version__, 1, 1, None, (), (FailedPlugin("rotten", "OSError: gone"),), frozenset())
    assert_problem(check_plugins(Subject(Folders(tmp_path), daemon)), "rotten: OSError: gone", "uninstall")


def test_of_many_plugins_that_are_left_out_the_names_are_told_and_where_the_reasons_are(tmp_path: Path) -> None:
    failed = (FailedPlugin("rotten", "OSError: gone"), FailedPlugin("twice", "It declares 'x' twice. Rename one."))
    daemon = RunningDaemon(__version__, 1, 1, None, (), failed, frozenset())
    assert_problem(check_plugins(Subject(Folders(tmp_path), daemon)), "Left out: rotten, twice.", "`edgeloop plugins`")
    alone = check_plugins(Subject(Folders(tmp_path), dataclasses.replace(daemon, failed_plugins=failed[1:])))
    assert_problem(alone, "twice: It declares 'x' twice. Rename one.", "uninstall")
    assert not alone.found.endswith("..")
