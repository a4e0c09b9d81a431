"""Handlers that the tests of jobs run in real job processes."""

from __future__ import annotations

import ctypes
import json
import math
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeloop import JobContext
from edgeloop_shared.errors import ConversionError

REFERENCE = "daemon.jobs.job_handlers"


@dataclass(frozen=True)
class Work:
    """What to do. `gate` and `witness` are FIFOs: opening one waits for the other side."""

    text: str = ""
    number: int = 0
    gate: str = ""
    witness: str = ""


@dataclass(frozen=True)
class Answer:
    text: str
    number: int


def echo(work: Work, context: JobContext) -> Answer:
    context.log(f"echo {work.text}")
    return Answer(work.text, work.number)


def wait_at_gate(work: Work, context: JobContext) -> Answer:
    context.progress(0.25, "at the gate")
    context.metric("loss", 1, 0.5)
    context.log("before")
    word = Path(work.gate).read_text()
    context.metric("loss", 2, 0.25)
    context.metric("loss", 3, math.nan)
    context.log("after")
    return Answer(word, work.number)


def report_often(work: Work, context: JobContext) -> Answer:
    for step in range(work.number):
        context.progress(step / work.number, f"step {step}")
    context.progress(1.0, "last")
    Path(work.gate).read_text()
    return Answer("", 0)


def raise_a_bug(work: Work, context: JobContext) -> Answer:
    raise RuntimeError(f"broken by {work.text}")


def raise_an_error(work: Work, context: JobContext) -> Answer:
    raise ConversionError("Cannot convert.", hint="Try another one.", details={"operators": [{"type": work.text}]})


def raise_a_strange_error(work: Work, context: JobContext) -> Answer:
    raise ConversionError("Odd \udc80 name.", details={"value": math.nan})


def crash(work: Work, context: JobContext) -> Answer:
    ctypes.CDLL(None).printf(b"native last words\n")
    ctypes.string_at(0)
    raise AssertionError


def exit_early(work: Work, context: JobContext) -> Answer:
    os._exit(work.number)


def call_sys_exit(work: Work, context: JobContext) -> Answer:
    sys.exit(work.number)


def answer_much(work: Work, context: JobContext) -> Answer:
    return Answer("x" * work.number, 0)


def answer_nan(work: Work, context: JobContext) -> float:
    return math.nan


def answer_an_object(work: Work, context: JobContext) -> Any:
    return object()


def answer_its_surroundings(work: Work, context: JobContext) -> dict[str, str]:
    return {
        "folder": str(context.folder),
        "job": context.job_id,
        "workspace": str(context.workspace),
        "current": str(Path.cwd()),
        "json": str(json.__file__),
    }


def clean_up_at_the_end(work: Work, context: JobContext) -> Answer:
    try:
        Path(work.gate).read_text()
    finally:
        context.log("cleaned up")
    return Answer("", 0)


def refuse_to_end(work: Work, context: JobContext) -> Answer:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(work.gate).read_text()
    signal.pause()
    raise AssertionError


def leave_a_thread_running(work: Work, context: JobContext) -> Answer:
    threading.Thread(target=threading.Event().wait).start()
    return Answer("done", 0)


_CHILD = "import signal, sys; pipe = open(sys.argv[1], 'w'); pipe.write('here'); pipe.flush(); signal.pause()"


def start_a_child(work: Work, context: JobContext) -> Answer:
    """The child keeps the witness open for as long as it lives."""
    context.run([sys.executable, "-c", _CHILD, work.witness])
    return Answer("", 0)


def run_commands(work: Work, context: JobContext) -> dict[str, Any]:
    lines: list[str] = []
    script = "import os, sys; print(os.environ['WORD'], os.getcwd()); sys.exit(3)"
    status = context.run([sys.executable, "-c", script], environment={"WORD": work.text}, on_line=lines.append)
    killed = context.run([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"])
    return {"status": status, "killed": killed, "lines": lines}


def run_a_missing_command(work: Work, context: JobContext) -> int:
    return context.run(["no-such-command-anywhere"])


def print_without_end(work: Work, context: JobContext) -> Answer:
    """Print `number` megabytes, by Python and by a child."""
    line = "x" * 99 + "\n"
    for _ in range(work.number * 5):
        sys.stdout.write(line * 1000)
    subprocess.run([sys.executable, "-c", f"print({line!r} * {work.number * 5000})"], check=True)
    context.log("the end")
    return Answer("", work.number)
