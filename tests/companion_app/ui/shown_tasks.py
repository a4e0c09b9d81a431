"""Tasks on the screens: runs as a companion would tell of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from edgeloop_companion.link.pairing import Pairing
from edgeloop_companion.runtime.observing import OnSeen, ScriptPaused, Seen, TakenRun
from edgeloop_companion.store.tasks import Tasks
from edgeloop_shared.messages import RunTask
from edgeloop_shared.models import RunState
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


def take(
    tasks: Tasks,
    script: str,
    *arguments: str,
    computer: str = "studio",
    workspace: str = "digits",
    run: str = "r1",
    on_stop: Callable[[], None] = lambda: None,
) -> OnSeen:
    """Have a computer give a task to the device; return what is to be told of it."""

    async def stop() -> None:
        on_stop()

    pairing = Pairing(f"d{computer}", "0a" * 32, "0b" * 32, ("10.0.0.2",), 443, computer)
    command = RunTask(run, run, "w1", "ab" * 32, 512, script, arguments, workspace_name=workspace)
    return tasks.observe(pairing, TakenRun(command, False, stop))


def lines(*texts: str, source: str = "stdout") -> list[Seen]:
    return [LogLine(time.time_ns(), source, text) for text in texts]  # type: ignore[arg-type]


def started(seconds_ago: float = 0.0) -> list[Seen]:
    return [TaskStarted(time.time_ns() - int(seconds_ago * 1e9)), RunState.RUNNING]


def ended(state: RunState = RunState.SUCCEEDED, error: Mapping[str, object] | None = None) -> list[Seen]:
    return [TaskFinished(time.time_ns(), state, 0, 0, error), state]


def image(folder: Path, tasks: Tasks, name: str = "inputs/seven.png") -> FileAnnounced:
    """Report a picture of 28 by 28 pixels."""
    x, y = np.meshgrid(np.arange(28), np.arange(28))
    grey = (255 * np.exp(-(((x + y / 2 - 22) / 3) ** 2)) * (y > 5) * (y < 24)).astype(np.uint8)[:, :, np.newaxis]
    (folder / "picture.png").write_bytes(png(grey))
    return FileAnnounced(name, *tasks._blobs.take(folder / "picture.png"))


def operators(seconds: Sequence[float] = (0.0421, 0.0188, 0.0042, 0.0009)) -> list[Seen]:
    """Report a trace of a model."""
    names = (
        ("mobilenetv2/features.18/0/Conv", "Convolution"),
        ("features.1/conv.0/dw", "ConvolutionDepthwise"),
        ("classifier.1/Gemm", "InnerProduct"),
        ("softmax", "Softmax"),
    )
    table = OperatorTable(0, "mobilenet.mnn", "cpu", 0, tuple(Operator(name, kind) for name, kind in names))
    durations = tuple(int(one * 1e9) for one in seconds)
    return [table, TraceBatch(0, tuple(range(len(seconds))), (0,) * len(seconds), (0,) * len(seconds), durations)]


def many(folder: Path, tasks: Tasks) -> None:
    """One task of each kind, of three computers."""
    bad = {
        "code": "task-failed",
        "message": "ValueError: cannot reshape array of size 12 into shape (3,5) (prepare.py, line 41)",
        "hint": "The traceback in details says where.",
        "details": {
            "traceback": "\n".join(
                (
                    "Traceback (most recent call last):",
                    '  File "evaluate.py", line 12, in <module>',
                    "    batch = prepare(image)",
                    '  File "prepare.py", line 41, in prepare',
                    "    return image.reshape(3, 5)",
                    "ValueError: cannot reshape array of size 12 into shape (3,5)",
                )
            )
        },
    }
    stopped = {"code": "cancelled", "message": "The run was stopped on the device, by its user."}
    take(tasks, "stopped.py", run="r7")(started(99) + ended(RunState.CANCELLED, stopped))
    take(tasks, "evaluate.py", computer="thinkpad", workspace="mobilenet", run="r6")(
        started(75) + ended(RunState.FAILED, bad)
    )
    take(tasks, "bench.py", run="r5")([*started(61), ResultReported({"p50_ms": 7.86, "accuracy": 0.9731}), *ended()])
    take(tasks, "eval/all.py", computer="mini", workspace="speech", run="r4")([TaskWaiting(3, 2, 8, 5)])
    take(tasks, "deploy.py", computer="mini", workspace="speech", run="r3")([TransferProgress(6_400_000, 9_800_000)])
    take(tasks, "debug_me.py", computer="thinkpad", workspace="mobilenet", run="r2")(
        [*started(222), ScriptPaused("helper.py", 31)]
    )
    see = take(tasks, "classify.py", "--model", "digits.mnn", "--limit", "500")
    see([*started(83), *lines("loading digits.mnn", "500 images"), *operators(), image(folder, tasks)])
    see(lines("image 12: no digit found", source="stderr"))
    see([ProgressReported(15, 500, "classifying")])
    see([MetricReported("loss", 1 / (1 + step / 9) + (step % 5) / 40, step) for step in range(60)])
    see([MetricReported("images per second", 412.7), ResultReported({"accuracy": 0.9731, "classes": ["0", "1", "2"]})])
    see(lines("image 13: 7 (0.98)", "image 14: 2 (0.91)"))
