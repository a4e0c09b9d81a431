"""What a task prints: its last lines, and the newest as they come."""

from __future__ import annotations

from typing import Any

from kivy.clock import Clock
from kivy.properties import BooleanProperty, StringProperty
from kivy.uix.boxlayout import BoxLayout

from edgeloop_companion.store.task import TaskDetail
from edgeloop_companion.ui.log_rows import LogRows
from edgeloop_companion.ui.rules import load_rules
from edgeloop_companion.ui.widgets.log_view import LogView
from edgeloop_companion.ui.widgets.status import EmptyState
from edgeloop_companion.ui.widgets.text_button import TextButton

load_rules(__file__)

TOUCH_SECONDS = 1.0  # for which a list goes on moving after the finger has left it


class NoOutput(EmptyState):
    """Says where the output is, if there is any."""

    is_over = BooleanProperty(False)
    run = StringProperty()


class FollowButton(TextButton):
    """Leads back to the newest line."""


class TaskOutput(BoxLayout):
    """The panel. It follows the newest line until a person scrolls up to read, and again when they are back at the end."""

    is_following = BooleanProperty(True)
    has_lines = BooleanProperty(False)

    def __init__(self) -> None:
        self._detail: TaskDetail | None = None
        self._log = LogRows(40)
        self._touched_at = -TOUCH_SECONDS
        super().__init__()
        self._none = NoOutput()
        self._follow = FollowButton(on_release=lambda _: self.follow())
        self._view.bind(height=lambda *_: self._to_end())

    def show(self, detail: TaskDetail) -> None:
        """Show the output of a task."""
        self._detail, self.has_lines = detail, bool(detail.lines)
        self._none.is_over, self._none.run = detail.task.phase.is_over, detail.task.run_id
        if self.has_lines:
            self.remove_widget(self._none)
        elif self._none.parent is None:
            self.add_widget(self._none, index=1)
        if self.is_following:
            self._view.show(self._log.of(detail.lines))
            self._to_end()

    def follow(self) -> None:
        """Show the newest lines from now on."""
        self.is_following = True

    def touched(self) -> None:
        """Somebody scrolls: from their hand comes what moves in the next moments."""
        self._touched_at = Clock.get_time()

    def scrolled(self) -> None:
        """Stop following when somebody reads above, go on when they are at the end again; new lines alone move nothing."""
        if Clock.get_time() - self._touched_at < TOUCH_SECONDS:
            self.is_following = self._view.scroll_y * self._view.hidden < 2 * self._view.row_height
        else:
            self._to_end()

    def on_is_following(self, *_: Any) -> None:
        """Show what has come meanwhile; offer the way back to the end while it is not shown."""
        if self.is_following:
            self.remove_widget(self._follow)
            self._show_again()
        elif self._follow.parent is None:
            self.add_widget(self._follow)

    def wrap(self) -> None:
        """Wrap lines to what fits."""
        self._log = LogRows(self._view.columns)
        self._show_again()

    def _show_again(self) -> None:
        if self._detail is not None:
            self.show(self._detail)

    @property
    def _view(self) -> LogView:
        view: LogView = self.ids.rows
        return view

    def _to_end(self) -> None:
        """Show the last row; few rows stand at the top."""
        if self.is_following:
            self._view.scroll_y = 0 if self._view.hidden > 0 else 1
