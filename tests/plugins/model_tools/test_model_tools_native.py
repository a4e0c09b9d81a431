from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgeloop_plugins.model_tools import native_tools
from edgeloop_shared.errors import ConversionError, NotFoundError

# Runs all four tools in a process that notes every process start and every socket. What a child process of it does is
# noted too: the same hook is installed there through sitecustomize.
WATCH = """
import os, sys
_log = os.environ["EDGELOOP_TEST_AUDIT"]
_modules = ("_tools", "MNN.tools", "aliyun", "pip", "requests")
def _hook(event, arguments):
    if event == "import" and str(arguments[0]).startswith(_modules):
        with open(_log, "a") as file:
            file.write(f"import {arguments[0]}\\n")
    if event.startswith(("socket.", "os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "urllib.")):
        with open(_log, "a") as file:
            file.write(f"{event} {arguments!r}\\n")
sys.addaudithook(_hook)
"""
DRIVER = """
import sys
from pathlib import Path
from edgeloop_plugins.model_tools.compare import compare
from edgeloop_plugins.model_tools.convert import convert
from edgeloop_plugins.model_tools.inspect import inspect
from edgeloop_plugins.model_tools.parameters import (
    CompareParameters, ConvertParameters, InspectParameters, QuantizeParameters
)
from edgeloop_plugins.model_tools.quantize import quantize

class Context:
    job_id = "job-1"
    workspace = folder = Path(sys.argv[1])
    def progress(self, fraction, message=""): pass
    def log(self, message): pass

convert(ConvertParameters("small.onnx"), Context())
quantize(QuantizeParameters("small.mnn", bits=4), Context())
quantize(QuantizeParameters("small.mnn", fp16=True), Context())
inspect(InspectParameters("small-int4.mnn"), Context())
compare(CompareParameters("small.mnn", ("small-int4.mnn",), samples=2), Context())
for name in ("MNN.tools", "MNN.tools.utils", "MNN.tools.utils.log", "aliyun", "pip"):
    assert name not in sys.modules, name
print("all four ran")
"""


def run_all_tools(folder: Path, prefix: list[str] | None = None) -> Path:
    """Run the four tools under the audit hook in a process of their own and return the log of what they started."""
    hooks = folder / "hooks"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(WATCH)
    log = folder / "audit.log"
    log.touch()
    paths = [str(hooks), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "EDGELOOP_TEST_AUDIT": str(log)}
    command = [*(prefix or []), sys.executable, "-c", DRIVER, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "all four ran" in done.stdout
    return log


@pytest.fixture
def folder(onnx_file: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "tools"
    folder.mkdir()
    shutil.copy(onnx_file, folder / "small.onnx")
    return folder


def test_the_tools_start_nothing_but_mnns_converter_and_open_no_socket(folder: Path) -> None:
    before = {distribution.name: distribution.version for distribution in importlib.metadata.distributions()}

    events = run_all_tools(folder).read_text().splitlines()

    started = [event for event in events if event.startswith("subprocess.Popen ")]
    assert len(started) >= 3
    assert all("'edgeloop_plugins.model_tools.native_tools'" in event for event in started)
    assert events.count("import _tools") >= len(started), "each converter ran in a child that was watched too"
    assert set(events) - set(started) == {"import _tools"}
    after = {distribution.name: distribution.version for distribution in importlib.metadata.distributions()}
    assert after == before


@pytest.mark.skipif(sys.platform != "linux", reason="strace is a tool of Linux")
def test_not_even_native_code_opens_a_connection(folder: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("needs Debian package strace")
    if subprocess.run([strace, "-o", os.devnull, "true"], capture_output=True, check=False).returncode:
        pytest.skip("strace may not trace here")
    trace = folder / "strace.log"

    run_all_tools(folder, [strace, "-f", "-qq", "-s", "400", "-e", "trace=network,execve", "-o", str(trace)])

    lines = trace.read_text().splitlines()
    calls = [line.split(maxsplit=1)[1] for line in lines]
    assert sum("native_tools" in call for call in calls if call.startswith("execve")) >= 3, "strace saw no converter"
    started = [call for call in calls if call.startswith("execve") and "= 0" in call]
    assert all(sys.executable in call or "native_tools" in call for call in started), started
    foreign = [call for call in calls if call.startswith(("connect(", "sendto(", "bind(")) and "AF_UNIX" not in call]
    assert foreign == []


def test_a_crash_of_the_converter_is_told_and_not_shared(tmp_path: Path) -> None:
    (tmp_path / "odd.mnn").write_bytes(b"not a model at all" * 10)

    run = native_tools.run_converter(
        ["-f", "MNN", "--modelFile", str(tmp_path / "odd.mnn"), "--MNNModel", str(tmp_path / "new.mnn")]
    )

    assert run.exit_status < 0
    assert run.ending.startswith("MNN's converter crashed (Segmentation fault")


def test_a_converter_that_takes_too_long_is_stopped() -> None:
    with pytest.raises(ConversionError, match=r"stopped after 0\.01 s"):
        native_tools.run_converter(["--help"], timeout=0.01)


def test_what_mnn_prints_is_captured_without_its_banner() -> None:
    lines = native_tools.run_converter(["--version"]).lines

    assert not any("The device supports" in line for line in lines)
    assert any("3." in line for line in lines)


def test_the_converters_scratch_files_do_not_reach_the_users_folders(
    tmp_path: Path, mnn_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    native_tools.run_converter(
        [
            "-f",
            "MNN",
            "--modelFile",
            str(mnn_file),
            "--MNNModel",
            str(mnn_file.with_name("external.mnn")),
            "--saveExternalData",
        ]
    )
    native_tools.run_converter(
        [
            "-f",
            "MNN",
            "--modelFile",
            str(mnn_file.with_name("external.mnn")),
            "--MNNModel",
            str(mnn_file.with_name("x.mnn")),
        ]
    )

    assert [path.name for path in here.iterdir()] == []


def test_a_written_file_appears_in_one_step_with_ordinary_rights(tmp_path: Path) -> None:
    target = tmp_path / "models" / "new.mnn"
    with native_tools.written_file(target) as draft:
        assert draft.suffix == ".mnn"
        draft.write_bytes(b"new")
        draft.with_name(draft.name + ".weight").write_bytes(b"weights")
        assert not target.exists()

    assert target.read_bytes() == b"new"
    assert (tmp_path / "models" / "new.mnn.weight").read_bytes() == b"weights"
    assert sorted(path.name for path in target.parent.iterdir()) == ["new.mnn", "new.mnn.weight"]
    plain = tmp_path / "plain"
    plain.touch()
    assert target.stat().st_mode == plain.stat().st_mode


def test_a_half_written_file_is_removed(tmp_path: Path) -> None:
    target = tmp_path / "new.mnn"

    def write_half() -> None:
        with native_tools.written_file(target) as draft:
            draft.write_bytes(b"half")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        write_half()

    assert [path.name for path in tmp_path.iterdir()] == []


def test_an_output_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with (
        pytest.raises(NotFoundError, match="Nothing can be written"),
        native_tools.written_file(tmp_path / "file" / "new.mnn"),
    ):
        pass
