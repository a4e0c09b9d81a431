"""Tasks: those of all computers that are at work, and the last ones that have ended."""

from __future__ import annotations

import time
from typing import Any

from kivy.clock import Clock
from kivy.metrics import dp, sp
from kivy.properties import BooleanProperty, NumericProperty, ObjectProperty, StringProperty
from kivy.uix.boxlayout import BoxLayout

from edgeloop_companion.store.task import Task
from edgeloop_companion.store.tasks import TaskList, Tasks
from edgeloop_companion.ui import task_words
from edgeloop_companion.ui.navigation import Navigation
from edgeloop_companion.ui.rules import load_rules
from edgeloop_companion.ui.screens.task import TaskScreen
from edgeloop_companion.ui.screens.task_questions import clear_if_meant, stop_if_meant
from edgeloop_companion.ui.texts import Words
from edgeloop_companion.ui.widgets.page import FixedPage
from edgeloop_companion.ui.widgets.pressable import Pressable
from edgeloop_companion.ui.widgets.status import EmptyState

load_rules(__file__)


class TaskHeading(BoxLayout):
    """Stands above the tasks at work and above the others, which can be cleared."""

    screen = ObjectProperty(None, allownone=True)
    is_recent = BooleanProperty(False)


class TaskRow(Pressable, BoxLayout):
    """One task of the list, as it is at the time `now`."""

    screen = ObjectProperty(None, allownone=True)
    task = ObjectProperty(None, allownone=True)
    now = NumericProperty()
    status = StringProperty("off")
    fraction = NumericProperty(None, allownone=True)
    is_open = BooleanProperty(False)
    """Whether its details are seen beside it."""


class NoTasks(EmptyState):
    """Says how a task comes here."""


class TasksScreen(FixedPage):
    """All tasks. Rows are built for what is seen only."""

    def __init__(self, tasks: Tasks, navigation: Navigation) -> None:
        self._store = tasks
        self._navigation = navigation
        self._tick = Clock.create_trigger(lambda _: self._show(self._store.list.value), 1.0, interval=True)
        super().__init__()
        self._none = NoTasks()

    def enter(self) -> None:
        """Follow the tasks, and the clock while some are at work."""
        self.while_seen(self._store.list.watch(self._show), self._tick.cancel)

    def on_beside(self, *_: Any) -> None:
        """Mark the task whose details are seen beside the list."""
        self._show(self._store.list.value)

    def open(self, task: Task) -> None:
        """Show a task's details."""
        self._navigation.open(TaskScreen(self._store, task))

    def stop(self, task: Task, words: Words) -> None:
        """Stop a task, if that is meant."""
        self.begin(stop_if_meant(self._store, task, words))

    def clear(self, words: Words) -> None:
        """Forget what has ended, if that is meant."""
        self.begin(clear_if_meant(self._store, words))

    def _show(self, listed: TaskList) -> None:
        if listed.at_work or listed.recent:
            self.remove_widget(self._none)
        elif self._none.parent is None:
            self.add_widget(self._none, index=1)
        if listed.at_work:
            self._tick()
        else:
            self._tick.cancel()
        now, rows = time.time(), list[dict[str, Any]]()
        for tasks in (listed.at_work, listed.recent):
            if tasks:
                is_recent = tasks is listed.recent
                rows.append(
                    {
                        "viewclass": "TaskHeading",
                        "screen": self,
                        "is_recent": is_recent,
                        "room": (0, dp(48 if is_recent else 32)),
                    }
                )
                rows += [self._row(task, now) for task in tasks]
        self._list(rows)

    def _list(self, rows: list[dict[str, Any]]) -> None:
        """Show rows. Those that stay where they are keep their widgets, so that no touch is lost however often they change."""
        view = self.ids.rows
        if [_place(row) for row in rows] != [_place(row) for row in view.data]:
            view.data = rows
            return
        for known, row in zip(view.data, rows, strict=True):
            known.update(row)
        for index, widget in view.view_adapter.views.items():
            # Before the next frame these are still the widgets of the rows before, of which there may be more.
            if index < len(rows) and type(widget).__name__ == rows[index]["viewclass"]:
                for name, value in rows[index].items():
                    setattr(widget, name, value)

    def _row(self, task: Task, now: float) -> dict[str, Any]:
        height = dp(36) + sp(63)
        if task_words.has_brief(task):
            height += dp(2) + sp(20)
        if task_words.fraction(task) is not None:
            height += dp(12)
        is_open = self.beside is not None and self.beside.task.id == task.id
        return {
            "viewclass": "TaskRow",
            "screen": self,
            "task": task,
            "now": now,
            "is_open": is_open,
            "room": (0, height),
        }


def _place(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["viewclass"], row["room"], row["task"].id if "task" in row else row["is_recent"]
