"""What is asked before something of tasks is done that cannot be undone."""

from __future__ import annotations

import contextlib

from edgeloop_companion.store.task import Task
from edgeloop_companion.store.tasks import Tasks
from edgeloop_companion.ui.texts import Words
from edgeloop_companion.ui.widgets.sheet import Question
from edgeloop_shared.errors import NotFoundError


async def stop_if_meant(tasks: Tasks, task: Task, words: Words) -> None:
    """Stop a task after a yes; one that has ended meanwhile is as wanted."""
    question = Question(
        title=words("task.stop.title", script=task.script),
        detail=words("task.stop.detail", workspace=task.workspace, computer=task.computer),
        yes=words("task.stop"),
        is_dangerous=True,
    )
    if await question.ask():
        with contextlib.suppress(NotFoundError):
            await tasks.stop(task.id)


async def clear_if_meant(tasks: Tasks, words: Words) -> None:
    """Forget the tasks that have ended after a yes."""
    question = Question(
        title=words("tasks.clear.title"),
        detail=words("tasks.clear.detail"),
        yes=words("tasks.clear"),
        is_dangerous=True,
    )
    if await question.ask():
        tasks.clear()
