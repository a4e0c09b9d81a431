"""The store of tasks, without any screen."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest

from edgeloop_companion.events import Forgotten
from edgeloop_companion.link.pairing import Pairing
from edgeloop_companion.runtime.observing import OnSeen, ScriptPaused, ScriptResumed, TakenRun
from edgeloop_companion.runtime.storage import BlobStore
from edgeloop_companion.store.log_tail import MAX_CHARACTERS, MAX_LINE, MAX_LINES, ShownLine
from edgeloop_companion.store.task import MAX_FILES, MAX_METRICS, MAX_POINTS, MAX_RESULTS, Pause, Phase, TaskDetail
from edgeloop_companion.store.task_history import MAX_TASKS
from edgeloop_companion.store.tasks import SHOW_SECONDS, TaskList, Tasks, opened_tasks
from edgeloop_shared.errors import NotFoundError
from edgeloop_shared.messages import RunTask
from edgeloop_shared.models import RunState
from edgeloop_shared.operator_hits import OperatorHitReported
from edgeloop_shared.operator_stops import OperatorResumed, OperatorStopped
from edgeloop_shared.progress import ProgressReported
from edgeloop_shared.run_events import (
    FileAnnounced,
    LogLine,
    MetricReported,
    ResultReported,
    TaskFinished,
    TaskStarted,
    TaskWaiting,
    TransferProgress,
)
from edgeloop_shared.traces import Operator, OperatorTable, TraceBatch
from edgeloop_task.images import png


def pairing(name: str = "desk") -> Pairing:
    return Pairing(f"d{name}", "0a" * 32, "0b" * 32, ("10.0.0.2",), 443, name)


async def nothing() -> None:
    pass


def taken(
    run_id: str = "r1",
    *arguments: str,
    workspace: str | None = "digits",
    is_taken_over: bool = False,
    stop: Callable[[], object] | None = None,
) -> TakenRun:
    async def stopping() -> None:
        if stop is not None:
            stop()

    command = RunTask(run_id, run_id, "w1", "ab" * 32, 512, "task.py", arguments, workspace_name=workspace)
    return TakenRun(command, is_taken_over, stopping)


def line(text: str, source: str = "stdout") -> LogLine:
    return LogLine(1, source, text)  # type: ignore[arg-type]


def stopped(stop: int, operator: str) -> OperatorStopped:
    hit = OperatorHitReported(1, "op:*", "m.mnn", operator, "Conv", 0, 0, "after", "continue", 1, 0, ())
    return OperatorStopped(stop, hit, (), ())


async def until(tasks: Tasks, holds: Callable[[TaskList], bool]) -> TaskList:
    """Wait until what is listed is so."""
    seen = asyncio.Event()
    stop = tasks.list.watch(lambda listed: seen.set() if holds(listed) else None)
    try:
        async with asyncio.timeout(30):
            await seen.wait()
    finally:
        stop()
    return tasks.list.value


async def detail(tasks: Tasks, task_id: str, holds: Callable[[TaskDetail], bool]) -> TaskDetail:
    """Wait until the details of a task are so."""
    found: list[TaskDetail] = []
    seen = asyncio.Event()

    def look(detail: TaskDetail) -> None:
        if holds(detail):
            found.append(detail)
            seen.set()

    stop = tasks.watch(task_id, look)
    try:
        async with asyncio.timeout(30):
            await seen.wait()
    finally:
        stop()
    return found[-1]


@pytest.fixture
async def tasks(tmp_path: Path) -> AsyncIterator[Tasks]:
    async with opened_tasks(tmp_path / "tasks.json", BlobStore(tmp_path / "blobs")) as tasks:
        yield tasks


@pytest.fixture
async def see(tasks: Tasks) -> OnSeen:
    return tasks.observe(pairing(), taken())


async def test_a_task_is_listed_from_its_arrival_to_its_end(tasks: Tasks) -> None:
    see = tasks.observe(pairing(), taken("r1", "--fast", "3"))
    (task,) = (await until(tasks, lambda listed: bool(listed.at_work))).at_work
    assert (task.computer, task.workspace, task.script, task.arguments) == ("desk", "digits", "task.py", "--fast 3")
    see([RunState.PREPARING, TransferProgress(5, 20)])
    (task,) = (await until(tasks, lambda listed: any(one.transfer is not None for one in listed.at_work))).at_work
    assert (task.phase, task.transfer) == (Phase.PREPARING, (5, 20))
    see([TaskWaiting(3, 2, 8, 5)])
    (task,) = (await until(tasks, lambda listed: any(one.phase is Phase.WAITING for one in listed.at_work))).at_work
    assert task.queue == TaskWaiting(3, 2, 8, 5)
    see([TaskStarted(7_000_000_000), RunState.RUNNING, line("hello")])
    (task,) = (await until(tasks, lambda listed: any(one.phase is Phase.RUNNING for one in listed.at_work))).at_work
    assert (task.started_at, task.queue, task.transfer, task.last_line) == (7.0, None, None, "hello")
    see([TaskFinished(9_000_000_000, RunState.SUCCEEDED, 1, 0), RunState.SUCCEEDED])
    listed = await until(tasks, lambda listed: not listed.at_work)
    assert [(task.phase, task.ended_at) for task in listed.recent] == [(Phase.SUCCEEDED, 9.0)]


async def test_a_task_without_the_workspaces_name_shows_its_id(tasks: Tasks) -> None:
    tasks.observe(pairing(), taken(workspace=None))
    assert (await until(tasks, lambda listed: bool(listed.at_work))).at_work[0].workspace == "w1"


async def test_a_failure_is_shown_with_its_hint_and_traceback(tasks: Tasks, see: OnSeen) -> None:
    error = {
        "code": "task-failed",
        "message": "ValueError: mine\x1b[2J",
        "hint": "Look at line 3.",
        "details": {"traceback": "Traceback\n  File \x1b[31mtask.py\n"},
    }
    see([TaskFinished(1, RunState.FAILED, 0, 0, error), RunState.FAILED])
    (task,) = (await until(tasks, lambda listed: bool(listed.recent))).recent
    assert task.error is not None
    assert (task.error.message, task.error.hint) == ("ValueError: mine", "Look at line 3.")
    assert task.error.trace == "Traceback\n  File task.py"


async def test_a_breakpoint_is_seen_with_its_place_until_the_task_goes_on(tasks: Tasks, see: OnSeen) -> None:
    see([RunState.RUNNING, ScriptPaused("helper.py", 3)])
    (task,) = (await until(tasks, lambda listed: any(one.phase is Phase.PAUSED for one in listed.at_work))).at_work
    assert task.pause == Pause(file="helper.py", line=3)
    see([ScriptResumed()])
    await until(tasks, lambda listed: any(one.phase is Phase.RUNNING for one in listed.at_work))
    see([stopped(1, "conv_1"), stopped(2, "conv_2")])
    (task,) = (await until(tasks, lambda listed: any(one.phase is Phase.PAUSED for one in listed.at_work))).at_work
    assert task.pause == Pause(operator="conv_1")
    see([OperatorResumed(1, 1, "continue")])
    await until(tasks, lambda listed: any(one.pause == Pause(operator="conv_2") for one in listed.at_work))
    see([OperatorResumed(1, 2, "continue")])
    (task,) = (await until(tasks, lambda listed: any(one.phase is Phase.RUNNING for one in listed.at_work))).at_work
    assert task.pause is None


async def test_what_a_script_reports_is_shown_as_short_harmless_text(tasks: Tasks, see: OnSeen) -> None:
    see([ResultReported({"accuracy": 0.9731234567, "classes": ["a", "b"], "ok": True, "nothing": None})])
    see(
        [
            ResultReported(
                {"\x1b[1mname": "[b]bold[/b]\u202e", "long": ["x" * 1000] * 1000, "deep": {"a": {"b": [1, 2]}}}
            )
        ]
    )
    task = (await until(tasks, lambda listed: bool(listed.at_work and len(listed.at_work[0].results) > 4))).at_work[0]
    results = {result.name: result.value for result in task.results}
    assert results["accuracy"] == "0.973123"
    assert (results["classes"], results["ok"], results["nothing"]) == ("[a, b]", "true", "null")
    assert results["name"] == "[b]bold[/b]\N{REPLACEMENT CHARACTER}"
    assert results["deep"] == "{a: {b: [1, 2]}}"
    assert len(results["long"]) == 200


async def test_how_far_a_script_is_is_its_newest_word_and_harmless(tasks: Tasks, see: OnSeen) -> None:
    see([ProgressReported(1, 10), ProgressReported(3, 10, "a\u061cb\N{ZERO WIDTH SPACE}")])
    task = (await until(tasks, lambda listed: bool(listed.at_work and listed.at_work[0].progress))).at_work[0]
    assert task.progress == ProgressReported(3, 10, "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}")


async def test_everything_that_a_script_reports_has_a_bound(tasks: Tasks, see: OnSeen) -> None:
    see([ResultReported({f"value {number}": number}) for number in range(1000)])
    see([MetricReported(f"metric {number}", 1.0) for number in range(1000)])
    see([MetricReported("metric 1", float(step), step) for step in range(10_000)])
    see([FileAnnounced(f"file-{number}.png", "ab" * 32, 5) for number in range(1000)])
    see([LogLine(1, "stdout", "x" * 16_000)] * 100_000)
    shown = await detail(tasks, "ddesk.r1", lambda detail: bool(detail.lines))
    assert (len(shown.task.results), len(shown.task.metrics), len(shown.task.files)) == (
        MAX_RESULTS,
        MAX_METRICS,
        MAX_FILES,
    )
    curve = shown.task.metrics[1]
    assert (curve.value, curve.step) == (9999.0, 9999)
    assert MAX_POINTS // 2 <= len(curve.points) <= MAX_POINTS
    assert list(curve.points[1:]) == sorted(curve.points[1:])
    assert sum(len(one.text) for one in shown.lines) <= MAX_CHARACTERS
    assert all(len(one.text) <= MAX_LINE for one in shown.lines)


async def test_the_last_lines_are_kept_with_their_numbers(tasks: Tasks, see: OnSeen) -> None:
    see([line(f"line {number}") for number in range(1, 2001)])
    see([line("bad\x07\ttab", "stderr")])
    shown = await detail(tasks, "ddesk.r1", lambda detail: bool(detail.lines))
    assert len(shown.lines) == MAX_LINES
    assert shown.lines[-2] == ShownLine(2000, "stdout", "line 2000")
    assert shown.lines[-1] == ShownLine(2001, "stderr", "bad\N{REPLACEMENT CHARACTER}    tab")


async def test_much_output_is_shown_in_few_changes(tasks: Tasks, see: OnSeen) -> None:
    changes: list[tuple[float, int]] = []
    loop = asyncio.get_running_loop()
    stop = tasks.watch("ddesk.r1", lambda detail: changes.append((loop.time(), len(detail.lines))))
    for number in range(100):
        see([line(f"line {number}")])
        await asyncio.sleep(0)
    await detail(tasks, "ddesk.r1", lambda detail: len(detail.lines) == 100)
    await until(tasks, lambda listed: bool(listed.at_work and listed.at_work[0].last_line == "line 99"))
    stop()
    assert changes[-1][1] == 100
    # The first two may follow at once, as the store has been quiet before.
    times = [time for time, _ in changes[1:]]
    assert all(later - earlier > SHOW_SECONDS / 2 for earlier, later in itertools.pairwise(times))


async def test_operators_are_summed_up_and_the_longest_come_first(tasks: Tasks, see: OnSeen) -> None:
    operators = tuple(
        Operator(name, kind) for name, kind in (("conv", "Conv"), ("relu\x07", "ReLU"), ("never", "Pool"))
    )
    see([RunState.RUNNING, OperatorTable(0, "m.mnn", "cpu", 0, operators)])
    for _ in range(3):
        see([TraceBatch(0, (0, 1, 7), (0, 0, 0), (0, 300, 400), (300, 100, 9_999))])
    see([TraceBatch(5, (0,), (0,), (0,), (9_999,))])  # of a session that nobody has announced
    task = (await until(tasks, lambda listed: bool(listed.at_work and listed.at_work[0].operators))).at_work[0]
    shown = [(one.name, one.type, one.model, one.count, one.total_ns, one.share) for one in task.operators]
    assert shown[0] == ("conv", "Conv", "m.mnn", 3, 900, 0.75)
    assert shown[1] == ("relu\N{REPLACEMENT CHARACTER}", "ReLU", "m.mnn", 3, 300, 0.25)
    assert len(shown) == 2
    assert task.has_valid_times


async def test_times_of_operators_on_a_gpu_are_marked(tasks: Tasks, see: OnSeen) -> None:
    see([OperatorTable(0, "m.mnn", "opencl", 0, (Operator("conv", "Conv"),)), TraceBatch(0, (0,), (0,), (0,), (5,))])
    see([TaskFinished(1, RunState.SUCCEEDED, 0, 1), RunState.SUCCEEDED])
    assert not (await until(tasks, lambda listed: bool(listed.recent))).recent[0].has_valid_times


async def test_a_task_is_stopped_once_and_shows_it(tasks: Tasks) -> None:
    asked: list[None] = []
    see = tasks.observe(pairing(), taken(stop=lambda: asked.append(None)))
    see([RunState.RUNNING])
    await tasks.stop("ddesk.r1")
    assert asked == [None]
    assert (await until(tasks, lambda listed: any(one.is_stopping for one in listed.at_work))).at_work[
        0
    ].phase is Phase.RUNNING
    see([TaskFinished(1, RunState.CANCELLED, 0, 0), RunState.CANCELLED])
    (task,) = (await until(tasks, lambda listed: bool(listed.recent))).recent
    assert (task.phase, task.is_stopping) == (Phase.CANCELLED, False)
    with pytest.raises(NotFoundError):
        await tasks.stop("ddesk.r1")


async def test_tasks_of_several_computers_stand_side_by_side_the_newest_first(tasks: Tasks) -> None:
    for name in ("ann", "bob", "cleo"):
        for run in ("r1", "r2"):
            tasks.observe(pairing(name), taken(run))
    listed = await until(tasks, lambda listed: len(listed.at_work) == 6)
    assert [task.id for task in listed.at_work] == ["dcleo.r2", "dcleo.r1", "dbob.r2", "dbob.r1", "dann.r2", "dann.r1"]


async def test_the_tasks_of_a_forgotten_computer_are_forgotten(tasks: Tasks) -> None:
    for name in ("ann", "bob"):
        tasks.observe(pairing(name), taken())
    tasks.listen(Forgotten("ann", "dann", is_told=True))
    assert [task.id for task in (await until(tasks, lambda listed: len(listed.at_work) == 1)).at_work] == ["dbob.r1"]
    with pytest.raises(NotFoundError):
        tasks.watch("dann.r1", print)


async def test_only_the_last_tasks_are_remembered_and_those_at_work_stay(tasks: Tasks) -> None:
    tasks.observe(pairing(), taken("first"))
    for number in range(MAX_TASKS + 20):
        see = tasks.observe(pairing(), taken(f"r{number}"))
        see([TaskFinished(number, RunState.SUCCEEDED, 0, 0), RunState.SUCCEEDED])
    listed = await until(tasks, lambda listed: bool(listed.recent))
    assert [task.run_id for task in listed.at_work] == ["first"]
    assert len(listed.recent) == MAX_TASKS - 1
    assert listed.recent[0].run_id == f"r{MAX_TASKS + 19}"
    tasks.clear()
    assert not (await until(tasks, lambda listed: not listed.recent)).recent


async def test_an_image_is_shown_as_long_as_it_is_here(tasks: Tasks, see: OnSeen, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(png(np.zeros((2, 3, 3), np.uint8)))
    sha256, size = BlobStore(tmp_path / "blobs").take(tmp_path / "image")
    see(
        [
            FileAnnounced("a/Image.PNG", sha256, size),
            FileAnnounced("gone.png", "ab" * 32, 5),
            FileAnnounced("x.txt", sha256, 5),
        ]
    )
    task = (await until(tasks, lambda listed: any(one.files for one in listed.at_work))).at_work[0]
    assert [file.is_image for file in task.files] == [True, True, False]
    image = await tasks.image(task.files[0])
    assert (image.format, image.width, image.height) == ("png", 3, 2)
    with pytest.raises(NotFoundError):
        await tasks.image(task.files[1])


class TestRestart:
    """Another app on the same folder."""

    async def test_what_has_ended_is_remembered_without_its_output(self, tmp_path: Path) -> None:
        async with opened_tasks(tmp_path / "tasks.json", BlobStore(tmp_path / "blobs")) as tasks:
            see = tasks.observe(pairing(), taken())
            see([RunState.RUNNING, line("hello"), ResultReported({"a": 1}), TaskWaiting(1)])
            see([TaskFinished(5, RunState.SUCCEEDED, 1, 0), RunState.SUCCEEDED])
            await until(tasks, lambda listed: bool(listed.recent))
            before = tasks.list.value
        async with opened_tasks(tmp_path / "tasks.json", BlobStore(tmp_path / "blobs")) as tasks:
            assert tasks.list.value == before
            assert (await detail(tasks, "ddesk.r1", lambda _: True)).lines == ()

    async def test_a_run_that_goes_on_keeps_what_was_known_of_it(self, tmp_path: Path) -> None:
        async with opened_tasks(tmp_path / "tasks.json", BlobStore(tmp_path / "blobs")) as tasks:
            see = tasks.observe(pairing(), taken())
            see([TaskStarted(3_000_000_000), RunState.RUNNING, ResultReported({"a": 1}), ScriptPaused("task.py", 2)])
            await until(tasks, lambda listed: bool(listed.at_work))
        async with opened_tasks(tmp_path / "tasks.json", BlobStore(tmp_path / "blobs")) as tasks:
            (task,) = tasks.list.value.recent
            assert task.phase is Phase.LOST
            see = tasks.observe(pairing(), taken(is_taken_over=True))
            see([RunState.PREPARING, RunState.RUNNING])
            (task,) = (await until(tasks, lambda listed: bool(listed.at_work))).at_work
            assert (task.phase, task.pause) == (Phase.PAUSED, Pause(file="task.py", line=2))
            assert (task.started_at, task.is_taken_over, task.results[0].value) == (3.0, True, "1")
            see([ScriptResumed()])
            await until(tasks, lambda listed: any(one.phase is Phase.RUNNING for one in listed.at_work))

    async def test_a_damaged_file_is_a_lost_memory_only(self, tmp_path: Path) -> None:
        path = tmp_path / "tasks.json"
        path.write_bytes(b'{"version": 1, "tasks": [{"device_id": 4}]}')
        async with opened_tasks(path, BlobStore(tmp_path / "blobs")) as tasks:
            assert tasks.list.value == TaskList()
            tasks.observe(pairing(), taken())
            await until(tasks, lambda listed: bool(listed.at_work))
        async with opened_tasks(path, BlobStore(tmp_path / "blobs")) as tasks:
            assert len(tasks.list.value.recent) == 1
