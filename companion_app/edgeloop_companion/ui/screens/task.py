"""One task: where it is, what it has found, what it prints, and which operators take its time."""

from __future__ import annotations

import time
from typing import Protocol

from kivy.app import App
from kivy.clock import Clock
from kivy.properties import NumericProperty, ObjectProperty, StringProperty

from edgeloop_companion.store.task import Task, TaskDetail
from edgeloop_companion.store.tasks import Tasks
from edgeloop_companion.ui.rules import load_rules
from edgeloop_companion.ui.screens.task_operators import TaskOperators
from edgeloop_companion.ui.screens.task_output import TaskOutput
from edgeloop_companion.ui.screens.task_overview import TaskOverview
from edgeloop_companion.ui.screens.task_questions import stop_if_meant
from edgeloop_companion.ui.widgets.page import FixedPage
from edgeloop_companion.ui.widgets.text_button import TextButton
from edgeloop_shared.errors import NotFoundError

load_rules(__file__)


class _Panel(Protocol):
    def show(self, detail: TaskDetail) -> None:
        """Show a task."""


class StopButton(TextButton):
    """Ends the task."""


class TaskScreen(FixedPage):
    """A task, and one of its three panels."""

    task = ObjectProperty()
    now = NumericProperty()
    panel = StringProperty("overview")

    def __init__(self, tasks: Tasks, task: Task) -> None:
        self._store = tasks
        self._tick = Clock.create_trigger(self._show_time, 1.0, interval=True)
        self._detail = TaskDetail(task)
        self._panels: dict[str, _Panel] = {
            "overview": TaskOverview(tasks.image, self.begin),
            "output": TaskOutput(),
            "operators": TaskOperators(),
        }
        super().__init__(task=task, now=time.time())
        self._stop = StopButton(on_release=lambda _: self.stop())
        self.choose("overview")

    def enter(self) -> None:
        """Follow the task, and the clock."""
        try:
            self.while_seen(self._store.watch(self.task.id, self._show))
        except NotFoundError:  # forgotten a moment ago: what is known of it stays on the screen
            self._show(self._detail)
        app = App.get_running_app()
        told = app.fbind("words", lambda *_: self._show(self._detail))
        self.while_seen(self._tick.cancel, lambda: app.unbind_uid("words", told))
        self._tick()

    def choose(self, panel: str) -> None:
        """Show another panel."""
        self.panel = panel
        shown = self._panels[panel]
        shown.show(self._detail)
        self.ids.stage.clear_widgets()
        self.ids.stage.add_widget(shown)

    def stop(self) -> None:
        """Stop the task, if that is meant."""
        self.begin(stop_if_meant(self._store, self.task, App.get_running_app().words))

    def _show(self, detail: TaskDetail) -> None:
        self._detail, self.task, self.now = detail, detail.task, time.time()
        self._stop.disabled = self.task.is_stopping
        if self.task.phase.is_over:
            self.ids.head.remove_widget(self._stop)
        elif self._stop.parent is None:
            self.ids.head.add_widget(self._stop)
        self._panels[self.panel].show(detail)

    def _show_time(self, _: float) -> None:
        if self.task.phase.is_over:
            self._tick.cancel()
        self.now = time.time()
