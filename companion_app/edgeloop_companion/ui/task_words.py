"""What is said of a task: the words and the sign of its state."""

from __future__ import annotations

from edgeloop_companion.store.operator_times import OperatorTime
from edgeloop_companion.store.task import Metric, Pause, Phase, Task
from edgeloop_companion.ui.quantities import byte_count, duration, moment, span
from edgeloop_companion.ui.texts import Words
from edgeloop_shared.progress import ProgressReported, amount_words, progress_fraction
from edgeloop_shared.run_events import TaskWaiting

_STATUS = {
    Phase.PREPARING: "busy",
    Phase.WAITING: "off",
    Phase.RUNNING: "busy",
    Phase.PAUSED: "warning",
    Phase.SUCCEEDED: "good",
    Phase.FAILED: "error",
    Phase.CANCELLED: "off",
    Phase.LOST: "off",
}
_STATE = {
    Phase.PREPARING: "task.preparing",
    Phase.WAITING: "task.waiting",
    Phase.RUNNING: "task.running",
    Phase.PAUSED: "task.paused",
    Phase.SUCCEEDED: "task.succeeded",
    Phase.FAILED: "task.failed",
    Phase.CANCELLED: "task.cancelled",
    Phase.LOST: "task.lost",
}


def status(task: Task) -> str:
    """Return the status of a `StatusDot`."""
    return _STATUS[task.phase]


def state(words: Words, task: Task) -> str:
    """Return where a task is."""
    if task.is_stopping:
        return words("task.stopping")
    if task.phase is Phase.WAITING and task.queue is not None:
        return _place(words, task.queue)
    if task.phase is Phase.PAUSED and task.pause is not None:
        return _pause(words, task.pause)
    if task.phase is Phase.PREPARING and task.transfer is not None and task.transfer[1]:
        received, total = task.transfer
        return words("task.receiving", received=byte_count(received), total=byte_count(total))
    return words(_STATE[task.phase])


def received(task: Task) -> float:
    """Return how much of what a task needs has come, 0 to 1."""
    return task.transfer[0] / task.transfer[1] if task.transfer and task.transfer[1] else 0.0


def state_line(words: Words, task: Task) -> str:
    """Return where a task is, and how far while it runs."""
    if task.progress is None or not _is_progressing(task):
        return state(words, task)
    return words("task.progressing", state=state(words, task), progress=progress(words, task.progress))


def progress(words: Words, progress: ProgressReported) -> str:
    """Return how far a script says that it is."""
    fraction = progress_fraction(progress.done, progress.total)
    if progress.total is None or fraction is None:
        so_far = amount_words(progress.done)
    else:
        amounts = {"done": amount_words(progress.done), "total": amount_words(progress.total)}
        so_far = words("task.progress", **amounts, percent=f"{fraction:.0%}")
    return words("task.progress.text", progress=so_far, text=progress.text) if progress.text else so_far


def fraction(task: Task) -> float | None:
    """Return how much of what a task needs has come, or of its work is done, 0 to 1; None where there is nothing to show."""
    if task.phase is Phase.PREPARING and task.transfer:
        return received(task)
    if task.progress is not None and _is_progressing(task):
        return progress_fraction(task.progress.done, task.progress.total)
    return None


def place(words: Words, task: Task) -> str:
    """Return whose task it is."""
    return words("task.place", computer=task.computer, workspace=task.workspace)


def has_brief(task: Task) -> bool:
    """Return whether `brief` says anything."""
    if task.phase.is_waiting:
        return bool(_others(task.queue))
    return bool(task.error or task.last_line or (task.phase.is_over and task.results))


def brief(words: Words, task: Task) -> str:
    """Return the one thing about a task that is worth a line: why it failed, what it has found, or what it said last."""
    if task.phase.is_waiting:
        others = _others(task.queue)
        return words("task.of_others.one" if others == 1 else "task.of_others.many", count=others) if others else ""
    if task.error is not None:
        return task.error.message
    if task.phase.is_over and task.results:
        return "  ".join(f"{result.name} {result.value}" for result in task.results[:4])
    return task.last_line


def when(words: Words, task: Task, now: float) -> str:
    """Return for how long a task has been at work, or when it ended."""
    if not task.phase.is_over:
        return duration(words, max(0.0, now - (task.started_at or task.taken_at)))
    return moment(task.ended_at or task.taken_at, now)


def took(words: Words, task: Task, now: float) -> str:
    """Return for how long a task has run; nothing for one that never began."""
    if task.started_at is None or task.phase is Phase.LOST:
        return ""
    return duration(words, max(0.0, (task.ended_at or now) - task.started_at))


def figure(metric: Metric) -> str:
    """Return the last value of a metric."""
    return f"{metric.value:.6g}"


def calls(words: Words, operator: OperatorTime) -> str:
    """Return what an operator is, how often it ran and how long once."""
    each = span(operator.total_ns / max(1, operator.count))
    return words("task.operator.calls", type=operator.type, count=operator.count, each=each)


def _is_progressing(task: Task) -> bool:
    return task.phase in (Phase.RUNNING, Phase.PAUSED)


def _place(words: Words, queue: TaskWaiting) -> str:
    if queue.before:
        return words("task.behind.one" if queue.before == 1 else "task.behind.many", count=queue.before)
    return words("task.next.one" if queue.running == 1 else "task.next.many", count=queue.running or 0)


def _others(queue: TaskWaiting | None) -> int:
    """Return how many of those whom a task waits for belong to other computers."""
    if queue is None:
        return 0
    return (queue.before_of_others if queue.before else queue.running_of_others) or 0


def _pause(words: Words, pause: Pause) -> str:
    if pause.operator is not None:
        return words("task.paused.operator", operator=pause.operator)
    if pause.file is not None and pause.line is not None:
        return words("task.paused.line", file=pause.file, line=pause.line)
    return words("task.paused")
