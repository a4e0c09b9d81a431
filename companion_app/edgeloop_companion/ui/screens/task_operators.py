"""Which operators of a traced task take longest."""

from __future__ import annotations

from typing import Any

from kivy.metrics import dp
from kivy.properties import NumericProperty, ObjectProperty, StringProperty
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.scrollview import ScrollView

from edgeloop_companion.store.task import TaskDetail
from edgeloop_companion.ui.quantities import span
from edgeloop_companion.ui.rules import load_rules
from edgeloop_companion.ui.widgets.banner import Banner
from edgeloop_companion.ui.widgets.card import Card
from edgeloop_companion.ui.widgets.status import EmptyState

load_rules(__file__)


class OperatorRow(BoxLayout):
    """One operator: its name, its time and its share of all."""

    operator = ObjectProperty(None, allownone=True)
    total = StringProperty()
    share = NumericProperty()


class NoOperators(EmptyState):
    """Says how to see some."""


class InvalidTimes(Banner):
    """Says that single times mean little."""


class TaskOperators(ScrollView):
    """The panel."""

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self._rows: list[OperatorRow] = []
        self._table, self._none, self._warning = Card(padding=(dp(16), dp(8)), spacing=0), NoOperators(), InvalidTimes()

    def show(self, detail: TaskDetail) -> None:
        """Show the operators of a task."""
        operators = detail.task.operators
        while len(self._rows) > len(operators):
            self._table.remove_widget(self._rows.pop())
        while len(self._rows) < len(operators):
            self._rows.append(OperatorRow())
            self._table.add_widget(self._rows[-1])
        for row, operator in zip(self._rows, operators, strict=True):
            row.operator, row.share, row.total = operator, operator.share, span(operator.total_ns)
        shown = [self._table] if operators else [self._none]
        if not detail.task.has_valid_times:
            shown.insert(0, self._warning)
        if list(reversed(self.ids.column.children)) != shown:
            self.ids.column.clear_widgets()
            for widget in shown:
                self.ids.column.add_widget(widget)
