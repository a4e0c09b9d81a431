"""Runs on devices, from their start to their last record, with a device that does what each test asks of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from daemon.device_daemon import DeviceDaemon, device_daemon
from daemon.device_peer import Identity, Link, link
from daemon.device_runs import begin, ended, line

from edgeloop_daemon.devices.run_events import Quotas
from edgeloop_daemon.devices.run_table import Transfer
from edgeloop_shared.clocks import ClockCompared
from edgeloop_shared.errors import (
    BundleError,
    ConflictError,
    DeviceUnavailableError,
    InvalidInputError,
    NotFoundError,
    TaskFailedError,
    TooLargeError,
)
from edgeloop_shared.messages import CancelTask, CommandResult, RunTask, encode_message
from edgeloop_shared.models import RunState
from edgeloop_shared.progress import ProgressReported
from edgeloop_shared.run_events import (
    FileAnnounced,
    MetricReported,
    ResultReported,
    TaskFinished,
    TaskStarted,
    TransferProgress,
)

QUOTAS = Quotas(record_bytes=200_000, result_bytes=1000, metric_names=5, metric_points=20, files=3, file_bytes=5000)


@pytest_asyncio.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[DeviceDaemon]:
    async with device_daemon(tmp_path, quotas=QUOTAS) as running:
        (running.workspace.root / "task.py").write_text("print(1)")
        yield running


async def test_a_run_goes_from_queued_to_succeeded(daemon: DeviceDaemon, linked: Link) -> None:
    run = await begin(daemon, linked)
    events = f"{run.id}.events"
    assert (run.state, run.script, run.device, run.workspace) == ("queued", "task.py", linked.identity.id, "w1")
    await linked.acknowledged(events, await linked.report(run.id, TransferProgress(3, 10)))
    run = await daemon.runs.get(run.id)
    assert (run.state, run.transfer, run.started_at) == (RunState.PREPARING, Transfer(3, 10), None)
    await linked.acknowledged(events, await linked.report(run.id, TaskStarted(1)))
    run = await daemon.runs.get(run.id)
    assert run.state is RunState.RUNNING
    await linked.report(run.id, TaskFinished(2, RunState.SUCCEEDED, 0, 0))
    run = await ended(daemon, run)
    assert run.state is RunState.SUCCEEDED
    assert run.error is None
    assert run.started_at is not None
    assert run.ended_at is not None
    assert run.created_at <= run.started_at <= run.ended_at


async def test_the_device_is_told_what_to_run(daemon: DeviceDaemon, linked: Link) -> None:
    (daemon.workspace.root / "model.mnn").write_text("m")
    run = await daemon.runs.start(daemon.workspace, "task.py", ("model.mnn", "--fast"), trace=True)
    task = await linked.receive(RunTask)
    assert (task.run_id, task.script, task.arguments, task.trace) == (run.id, "task.py", ("model.mnn", "--fast"), True)


async def test_a_run_ends_only_when_all_of_its_output_is_here(daemon: DeviceDaemon, linked: Link) -> None:
    run = await begin(daemon, linked)
    await linked.report(run.id, TaskStarted(1))
    # Events go first, so the end is known before the last lines come.
    last = await linked.report(run.id, TaskFinished(2, RunState.SUCCEEDED, logs=2, traces=0))
    await linked.acknowledged(f"{run.id}.events", last)
    assert (await daemon.runs.get(run.id)).state is RunState.RUNNING
    await linked.send(f"{run.id}.logs", line("one"))
    await linked.send(f"{run.id}.logs", line("two"))
    await ended(daemon, run)
    page = await daemon.runs.log(run.id)
    assert [item.text for item in page.items] == ["one", "two"]


async def test_output_is_followed_page_by_page_until_the_end(daemon: DeviceDaemon, linked: Link) -> None:
    run = await begin(daemon, linked)
    following = asyncio.create_task(daemon.runs.log(run.id, wait=10))
    await linked.send(f"{run.id}.logs", line("one") + b"\n" + line("two"))
    page = await following
    assert ([item.text for item in page.items], page.ended) == (["one", "two"], False)
    following = asyncio.create_task(daemon.runs.log(run.id, page.next_offset, wait=10))
    await linked.send(f"{run.id}.logs", line("three"))
    page = await following
    assert [item.text for item in page.items] == ["three"]
    following = asyncio.create_task(daemon.runs.log(run.id, page.next_offset, wait=10))
    await linked.report(run.id, TaskFinished(2, RunState.SUCCEEDED, logs=2, traces=0))
    page = await following
    assert (page.items, page.ended) == ((), True)


async def test_a_long_output_is_cut_into_pages(daemon: DeviceDaemon, linked: Link) -> None:
    run = await begin(daemon, linked)
    for number in range(5):
        last = await linked.send(f"{run.id}.logs", line(f"{number}" * 1000))
    await linked.acknowledged(f"{run.id}.logs", last)
    seen: list[str] = []
    offset = 0
    while len(seen) < 5:
        page = await daemon.runs.log(run.id, offset, limit=2000)
        assert 0 < len(page.items) <= 2
        seen += [item.text[0] for item in page.items]
        offset = page.next_offset
    assert seen == ["0", "1", "2", "3", "4"]


async def test_a_line_that_cannot_be_read_is_shown_as_such(daemon: DeviceDaemon, linked: Link) -> None:
    run = await begin(daemon, linked)
    last = await linked.send(f"{run.id}.logs", b'{"time_ns":1,"source":"keyboard","text":"x"}\n' + line("fine"))
    await linked.acknowledged(f"{run.id}.logs", last)
    page = await daemon.runs.log(run.id)
    assert [item.source for item in page.items] == ["system", "stdout"]


async def test_metrics_and_results_are_kept(daemon: DeviceDaemon, linked: Link) -> None:
    run = await begin(daemon, linked)
    for step, value in ((0, 2.0), (1, 1.5), (1, 1.0)):
        await linked.report(run.id, MetricReported("loss", value, step))
    await linked.report(run.id, MetricReported("accuracy", 0.9))
    await linked.report(run.id, ResultReported({"a": 1, "b": [1, 2]}))
    await linked.acknowledged(f"{run.id}.events", await linked.report(run.id, ResultReported({"a": 2})))
    metrics = [(metric.tag, metric.step, metric.value) for metric in await daemon.runs.metrics(run.id)]
    assert metrics == [("accuracy", None, 0.9), ("loss", 0, 2.0), ("loss", 1, 1.0)]
    assert (await daemon.runs.get(run.id)).result == {"a": 2, "b": [1, 2]}


async def test_how_far_a_script_is_is_kept_as_its_newest_also_when_it_has_failed(
    daemon: DeviceDaemon, linked: Link
) -> None:
    run = await begin(daemon, linked)
    assert run.progress is None
    for done in range(100):
        await linked.report(run.id, ProgressReported(done, 100, "resizing"))
    last = await linked.report(run.id, ProgressReported(3.5))
    await linked.acknowledged(f"{run.id}.events", last)
    assert (await daemon.runs.get(run.id)).progress == ProgressReported(3.5)
    await linked.report(run.id, TaskFinished(1, RunState.FAILED, 0, 0))
    assert (await ended(daemon, run)).progress == ProgressReported(3.5)


async def test_the_error_of_a_failed_task_is_the_devices_own(daemon: DeviceDaemon, linked: Link) -> None:
    run = await begin(daemon, linked)
    error = TaskFailedError("ZeroDivisionError: division by zero (task.py, line 3)", details={"line": 3})
    await linked.report(run.id, TaskFinished(1, RunState.FAILED, 0, 0, error.as_dict()))
    run = await ended(daemon, run)
    assert (run.state, run.error) == (RunState.FAILED, error.as_dict())


async def test_a_file_that_did_not_travel_is_named_with_what_to_do(daemon: DeviceDaemon, linked: Link) -> None:
    (daemon.workspace.root / "data.npy").touch()
    run = await begin(daemon, linked)
    error = TaskFailedError("FileNotFoundError: [Errno 2] No such file or directory: 'data.npy' (task.py, line 1)")
    await linked.report(run.id, TaskFinished(1, RunState.FAILED, 0, 0, error.as_dict()))
    run = await ended(daemon, run)
    assert run.error is not None
    assert "`--include data.npy`" in run.error["hint"]


async def test_a_device_that_refuses_a_run_says_why(daemon: DeviceDaemon, linked: Link) -> None:
    run = await daemon.runs.start(daemon.workspace, "task.py")
    task = await linked.receive(RunTask)
    refused = CommandResult(task.command_id, ConflictError("The battery is empty.").as_dict())
    await linked.socket.send_str(encode_message(refused))
    run = await ended(daemon, run)
    assert (run.state, run.error) == (RunState.FAILED, {"code": "conflict", "message": "The battery is empty."})


async def test_cancelling_asks_the_device(daemon: DeviceDaemon, linked: Link) -> None:
    run = await begin(daemon, linked)
    assert (await daemon.runs.cancel(run.id)).state is RunState.QUEUED
    assert (await linked.receive(CancelTask)).run_id == run.id
    await linked.report(run.id, TaskFinished(1, RunState.CANCELLED, 0, 0))
    assert (await ended(daemon, run)).state is RunState.CANCELLED


async def test_cancelling_what_has_ended_changes_nothing(daemon: DeviceDaemon, linked: Link) -> None:
    run = await begin(daemon, linked)
    await linked.report(run.id, TaskFinished(1, RunState.SUCCEEDED, 0, 0))
    await ended(daemon, run)
    assert (await daemon.runs.cancel(run.id)).state is RunState.SUCCEEDED


# Devices that are lost


async def test_what_a_run_has_reported_counts_against_its_quota_also_after_a_restart(tmp_path: Path) -> None:
    quotas = Quotas(trace_clocks=2)
    async with device_daemon(tmp_path, quotas=quotas) as daemon:
        (daemon.workspace.root / "task.py").touch()
        phone = await daemon.pair()
        async with link(phone) as linked:
            run = await begin(daemon, linked)
            for number in range(2):
                last = await linked.report(run.id, ClockCompared(number, 10**18, 40_000, 8))
            await linked.acknowledged(f"{run.id}.events", last)
    async with device_daemon(tmp_path, quotas=quotas) as daemon:
        streams = (f"{run.id}.events",)
        async with link(phone, streams=streams, runs=(run.id,), last={streams[0]: last}) as linked:
            await linked.report(run.id, ClockCompared(2, 10**18, 40_000, 8))
            run = await ended(daemon, run)
    assert run.error is not None
    assert "more than 2 comparisons of clocks" in run.error["message"]


@pytest.mark.parametrize(
    "events",
    [
        [ResultReported({"text": "x" * 1001})],
        [MetricReported(f"m{number}", 1.0) for number in range(6)],
        [MetricReported("m", 1.0, number) for number in range(21)],
        [FileAnnounced(f"f{number}", f"{number}" * 64, 1) for number in range(4)],
        [FileAnnounced("a", "0" * 64, 4000), FileAnnounced("b", "1" * 64, 2000)],
        [FileAnnounced("a", "0" * 64, 2**60)],
    ],
)
async def test_a_run_that_reports_too_much_is_ended(daemon: DeviceDaemon, linked: Link, events: list[Any]) -> None:
    run = await begin(daemon, linked)
    for event in events:
        await linked.report(run.id, event)
    assert (await linked.receive(CancelTask)).run_id == run.id
    run = await ended(daemon, run)
    assert run.error is not None
    assert run.error["code"] == TooLargeError.code


async def test_a_run_that_prints_too_much_is_ended(daemon: DeviceDaemon, linked: Link) -> None:
    run = await begin(daemon, linked)
    for _ in range(5):
        await linked.send(f"{run.id}.logs", line("x" * 15_000) + (b"\n" + line("y" * 15_000)) * 2)
    await linked.receive(CancelTask)
    run = await ended(daemon, run)
    assert run.error is not None
    assert run.error["code"] == TooLargeError.code
    await linked.acknowledged(f"{run.id}.logs", 5)  # it may forget them


@pytest.mark.parametrize(
    "event",
    [
        b"{",
        b'{"type":"surprise"}',
        b'{"type":"metric","name":"m","value":"1"}',
        b'{"type":"metric","name":"m","value":1,"step":9223372036854775808}',
        b'{"type":"metric","name":"m\\n","value":1}',
        b'{"type":"progress","done":2,"total":1}',
        b'{"type":"progress","done":1,"text":"\\u001b[2J"}',
        b'{"type":"file","name":"../../etc/cron.d/x","sha256":"' + b"0" * 64 + b'","size":1}',
        b'{"type":"file","name":"/etc/passwd","sha256":"' + b"0" * 64 + b'","size":1}',
        b'{"type":"file","name":"a","sha256":"../../../../etc/passwd","size":1}',
        b'{"type":"finished","time_ns":1,"state":"running","logs":0,"traces":0}',
    ],
)
async def test_a_report_that_cannot_be_understood_ends_the_run_and_not_the_link(
    daemon: DeviceDaemon, linked: Link, event: bytes
) -> None:
    run = await begin(daemon, linked)
    await linked.send(f"{run.id}.events", event)
    run = await ended(daemon, run)
    assert run.error is not None
    assert run.error["code"] == "invalid-message"
    assert daemon.devices.get(linked.identity.id).is_linked


async def test_nothing_counts_after_the_end(daemon: DeviceDaemon, linked: Link) -> None:
    run = await begin(daemon, linked)
    await linked.report(run.id, TaskFinished(1, RunState.SUCCEEDED, 0, 0))
    last = await linked.report(run.id, MetricReported("late", 1.0))
    await linked.acknowledged(f"{run.id}.events", last)
    assert await daemon.runs.metrics(run.id) == ()


# Which device


async def test_without_a_linked_device_the_user_is_told_what_to_do(daemon: DeviceDaemon, phone: Identity) -> None:
    with pytest.raises(DeviceUnavailableError, match="No device is linked"):
        await daemon.runs.start(daemon.workspace, "task.py")
    with pytest.raises(DeviceUnavailableError, match="not linked now"):
        await daemon.runs.start(daemon.workspace, "task.py", device="phone")


async def test_with_several_devices_one_is_named_by_id_or_by_a_name_of_its_own(
    daemon: DeviceDaemon, linked: Link
) -> None:
    async with link(await daemon.pair("tablet")) as tablet, link(await daemon.pair("tablet")) as twin:
        with pytest.raises(InvalidInputError, match="3 devices are linked"):
            await daemon.runs.start(daemon.workspace, "task.py")
        with pytest.raises(InvalidInputError, match=tablet.identity.id):
            await daemon.runs.start(daemon.workspace, "task.py", device="tablet")
        with pytest.raises(NotFoundError):
            await daemon.runs.start(daemon.workspace, "task.py", device="nobody")
        for wanted, peer in (("phone", linked), (twin.identity.id, twin)):
            run = await daemon.runs.start(daemon.workspace, "task.py", device=wanted)
            assert run.device == peer.identity.id
            await peer.accept()


async def test_a_script_outside_the_workspace_makes_no_run(daemon: DeviceDaemon, linked: Link) -> None:
    with pytest.raises(BundleError):
        await daemon.runs.start(daemon.workspace, "../task.py")
    assert await daemon.runs.list() == ()


async def test_runs_are_listed_newest_first_by_workspace_and_device(daemon: DeviceDaemon, linked: Link) -> None:
    first, second = await begin(daemon, linked), await begin(daemon, linked)
    assert [run.id for run in await daemon.runs.list("w1")] == [second.id, first.id]
    assert [run.id for run in await daemon.runs.list(limit=1)] == [second.id]
    assert await daemon.runs.list("other") == ()
    assert await daemon.runs.list(device="other") == ()
    assert daemon.devices.get(linked.identity.id).runs == 2


async def test_an_unknown_run_is_named(daemon: DeviceDaemon) -> None:
    for question in (daemon.runs.get, daemon.runs.cancel, daemon.runs.log, daemon.runs.metrics):
        with pytest.raises(NotFoundError, match="rnothing"):
            await question("rnothing")
