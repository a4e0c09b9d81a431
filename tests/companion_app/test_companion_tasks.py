"""Running tasks: what a script prints, reports, raises, and how it dies."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edgeloop_companion.events import RunChanged
from edgeloop_companion.runtime.run_folder import RunFolder
from edgeloop_companion.runtime.trace_batches import TracesReported, merged
from edgeloop_shared.models import RunState
from edgeloop_shared.operator_hits import OperatorHitReported
from edgeloop_shared.run_events import FileAnnounced, MetricReported, ResultReported, TaskFinished, TaskStarted
from edgeloop_shared.traces import TraceBatch, pack_batch, unpack_batch

from .companion_fixtures import Observer, linked_companion
from .link_peer import LinkPeer
from .received_run import failure


@pytest.fixture
async def peer(tmp_path: Path) -> AsyncIterator[LinkPeer]:
    async with LinkPeer().serving() as peer, linked_companion(tmp_path / "state", peer):
        yield peer


async def test_a_script_runs_with_its_arguments_beside_its_files(peer: LinkPeer) -> None:
    script = """
import sys, os, helper
print(sys.argv[1:], __name__, open("data/words.txt").read())
print(helper.answer, file=sys.stderr)
"""
    files = {"task.py": script, "helper.py": "answer = 42", "data/words.txt": "hello"}
    run = await peer.run(files, "--fast", "3")
    assert run.finished is not None
    assert run.finished.error is None
    assert run.finished.state is RunState.SUCCEEDED
    assert run.text("stdout") == ["['--fast', '3'] __main__ hello"]
    assert run.text("stderr") == ["42"]


async def test_a_run_whose_folder_goes_before_it_is_tidied_up_ends_for_who_looks_on_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_gone(folder: RunFolder) -> None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder.root))

    monkeypatch.setattr(RunFolder, "remove_work", is_gone)
    observer = Observer()
    async with LinkPeer().serving() as peer, linked_companion(tmp_path, peer, observer):
        await peer.run({"task.py": ""})
        await observer.until(
            lambda: any(isinstance(one, RunChanged) and one.state is RunState.SUCCEEDED for one in observer.events)
        )


async def test_reports_arrive_in_order_between_start_and_end(peer: LinkPeer) -> None:
    script = """
import edgeloop_task
for step in range(3):
    edgeloop_task.report_metric("loss", 1.0 / (step + 1), step=step)
edgeloop_task.report_result(accuracy=0.5)
"""
    run = await peer.run({"task.py": script})
    kinds = [type(event) for event in run.events()]
    assert kinds[-6:] == [TaskStarted, MetricReported, MetricReported, MetricReported, ResultReported, TaskFinished]
    metrics = [event for event in run.events() if isinstance(event, MetricReported)]
    assert [(metric.step, metric.value) for metric in metrics] == [(0, 1.0), (1, 0.5), (2, 1.0 / 3)]


async def test_a_breakpoint_on_an_operator_is_an_event_and_its_dump_a_file(peer: LinkPeer, models: Path) -> None:
    script = f"""
import edgeloop_task
model = edgeloop_task.load_model({str(models / "planted.mnn")!r})
with edgeloop_task.watch("nan_count > 0", action="dump"):
    model([[0.5, 1.0, 1.5], [2.0, -1.0, 3.0]])
"""
    run = await peer.run({"task.py": script})
    (hit,) = [event for event in run.events() if isinstance(event, OperatorHitReported)]
    assert (hit.operator, hit.index, hit.tensors[0].nan_count) == ("root", 1, 1)
    (file,) = [event for event in run.events() if isinstance(event, FileAnnounced)]
    assert file.name == "operators/planted.mnn/0-1-root.out0.npy"


async def test_a_file_cannot_be_reported_under_a_name_outside_its_folder(peer: LinkPeer) -> None:
    error = failure(await peer.run({"task.py": "import edgeloop_task\nedgeloop_task.report_file('task.py', '../x')"}))
    assert error["details"]["cause"]["code"] == "invalid-bundle"


async def test_an_endless_loop_can_be_cancelled(peer: LinkPeer) -> None:
    run = await peer.start({"task.py": "print('begun', flush=True)\nwhile True: pass"})
    await peer.until(lambda: run.text("stdout") == ["begun"])
    await peer.cancel(run)
    await peer.until(lambda: run.is_complete)
    assert run.finished is not None
    assert run.finished.state is RunState.CANCELLED
    assert peer.results[-1].error is None


async def test_a_script_that_ignores_the_request_to_stop_is_killed_with_its_children(peer: LinkPeer) -> None:
    script = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", stubborn], stdout=subprocess.PIPE)
child.stdout.readline()
print(os.getpid(), child.pid, flush=True)
time.sleep(600)
"""
    run = await peer.start({"task.py": script})
    await peer.until(lambda: len(run.text("stdout")) == 1)
    await peer.cancel(run)
    await peer.until(lambda: run.is_complete)
    for process_id in map(int, run.text("stdout")[0].split()):
        assert not lives(process_id)


async def test_what_a_script_leaves_running_ends_with_it(peer: LinkPeer) -> None:
    script = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid)
"""
    run = await peer.run({"task.py": script})
    assert run.finished is not None
    assert run.finished.state is RunState.SUCCEEDED
    assert not lives(int(run.text("stdout")[0]))


async def test_files_come_back_as_they_were_when_they_were_reported(peer: LinkPeer) -> None:
    script = """
import edgeloop_task, os
open("numbers.bin", "wb").write(b"7" * 5_000_000)
edgeloop_task.report_file("numbers.bin")
os.remove("numbers.bin")
open("empty.txt", "w").close()
edgeloop_task.report_file("empty.txt", name="nothing.txt")
"""
    run = await peer.run({"task.py": script})
    assert run.finished is not None
    assert run.finished.error is None
    announced = [event for event in run.events() if isinstance(event, FileAnnounced)]
    assert [(file.name, file.size) for file in announced] == [("numbers.bin", 5_000_000), ("nothing.txt", 0)]
    assert bytes(peer.blobs.uploads[announced[0].sha256]) == b"7" * 5_000_000
    assert bytes(peer.blobs.uploads[announced[1].sha256]) == b""


async def test_traces_arrive_as_they_were_packed(peer: LinkPeer) -> None:
    batches = [pack_batch(TraceBatch(0, [index], [0], [index * 10], [5])) for index in range(300)]
    script = f"""
from edgeloop_task import reporting
for batch in {batches!r}:
    reporting.current().trace_batch(batch)
"""
    run = await peer.run({"task.py": script})
    assert run.finished is not None
    arrived = [unpack_batch(data) for data in run.traces()]
    assert 1 <= run.finished.traces == len(arrived) < 300  # those that wait together travel together
    assert [time for batch in arrived for time in batch.begin_ns] == [index * 10 for index in range(300)]
    assert [index for batch in arrived for index in batch.operator] == list(range(300))


async def test_batches_travel_together_only_within_their_session_and_kind() -> None:
    def batch(session: int, count: int) -> TracesReported:
        operators = TraceBatch(session, range(count), [0] * count, range(count), [1] * count)
        return TracesReported(pack_batch(operators), operators)

    sent = [batch(1, 3), batch(1, 2), TracesReported(b"spans"), batch(1, 2000), batch(1, 48), batch(1, 1), batch(2, 1)]
    arrived = list(merged(sent))
    assert arrived[1] == b"spans"
    assert [(one.session, len(one)) for one in map(unpack_batch, (arrived[0], *arrived[2:]))] == [
        (1, 5),
        (1, 2048),
        (1, 1),
        (2, 1),
    ]


async def test_odd_output_arrives_as_text(peer: LinkPeer) -> None:
    script = r"""
import os, sys
os.write(1, b"half a ")
os.write(1, b"line\ninvalid \xff byte\nprogress 1\rprogress 2\r\n")
os.write(1, "é".encode()[:1]); os.write(1, "é".encode()[1:])
os.write(1, b"\n" + b"x" * 40000 + b"\nno newline at the end \x00")
"""
    run = await peer.run({"task.py": script})
    lines = run.text("stdout")
    assert lines[:5] == ["half a line", "invalid \ufffd byte", "progress 1", "progress 2", "é"]
    assert [len(line) for line in lines[5:8]] == [16384, 16384, 40000 - 2 * 16384]
    assert lines[8:] == ["no newline at the end \x00"]


async def test_a_flood_of_output_waits_in_the_worker_and_arrives_whole(peer: LinkPeer) -> None:
    run = await peer.run({"task.py": "for number in range(50_000): print(number, 'x' * 240)"})
    lines = run.text("stdout")
    assert len(lines) == 50_000
    assert lines[-1].startswith("49999 ")


async def test_two_runs_may_change_their_files_without_harm(peer: LinkPeer) -> None:
    files = {
        "task.py": "import pathlib; p = pathlib.Path('data.txt'); print(p.read_text()); p.write_text('changed')",
        "data.txt": "original",
    }
    for _ in range(2):
        assert (await peer.run(files)).text("stdout") == ["original"]


@pytest.mark.parametrize("path", ["../escaped.py", "/etc/escaped.py", "a/../../escaped.py", "a\\b.py", "TASK.py"])
async def test_a_bundle_with_a_dangerous_path_is_refused(peer: LinkPeer, tmp_path: Path, path: str) -> None:
    sha256 = peer.blobs.add(b"print('never')")
    files = [{"path": name, "sha256": sha256, "size": 14, "mode": 0o644} for name in ("task.py", path)]
    command = peer.command_for(json.dumps({"files": files}).encode())  # as a hostile daemon writes it
    await peer.send(command)
    run = peer.runs[command.run_id]
    await peer.until(lambda: run.is_complete)
    error = failure(run)
    assert error["code"] == "invalid-bundle"
    assert run.lines() == []
    assert not list(tmp_path.rglob("escaped.py"))


async def test_a_bundle_without_the_script_is_refused(peer: LinkPeer) -> None:
    command = peer.command({"other.py": "pass"})
    await peer.send(command)
    run = peer.runs[command.run_id]
    await peer.until(lambda: run.is_complete)
    assert failure(run)["code"] == "invalid-bundle"


async def test_a_repeated_command_is_carried_out_once(peer: LinkPeer) -> None:
    command = peer.command({"task.py": "print('once')"})
    await peer.send(command)
    await peer.send(command)
    run = peer.runs[command.run_id]
    await peer.until(lambda: run.is_complete and len(peer.results) == 2)
    await peer.send(command)
    await peer.until(lambda: len(peer.results) == 3)
    assert [result.error for result in peer.results] == [None, None, None]
    assert run.text("stdout") == ["once"]


async def test_a_script_cannot_break_the_report_channel(peer: LinkPeer) -> None:
    script = """
import os
from edgeloop_task import reporting
reporter = reporting.current()
for payload in (b'{"type": "metric"}', b"not json", b'{"type": "finished"}'):
    reporter._send(1, payload)
print("still here")
"""
    run = await peer.run({"task.py": script})
    assert run.finished is not None
    assert run.finished.state is RunState.SUCCEEDED
    assert len(run.text("system")) == 3
    assert run.text("stdout") == ["still here"]
    assert sum(isinstance(event, TaskFinished) for event in run.events()) == 1


def lives(process_id: int) -> bool:
    """Return whether a process runs (a zombie does not)."""
    status = Path(f"/proc/{process_id}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
