"""Doctor: one line for each check, and what to do about what is wrong."""

from __future__ import annotations

from kivy.properties import BooleanProperty, ObjectProperty, OptionProperty, StringProperty
from kivy.uix.boxlayout import BoxLayout

from edgeloop_companion.doctor.finding import Finding
from edgeloop_companion.store.doctor import DoctorStore, Examination
from edgeloop_companion.ui.rules import load_rules
from edgeloop_companion.ui.texts import TEXTS, Words
from edgeloop_companion.ui.widgets.page import Page
from edgeloop_shared.marks import Mark

load_rules(__file__)

_STATUS = {Mark.OK: "good", Mark.WARNING: "warning", Mark.PROBLEM: "error"}


class FindingRow(BoxLayout):
    """What one check found: its name, whether it is well, what was found and the remedy."""

    status = OptionProperty("good", options=list(_STATUS.values()))
    title = StringProperty()
    found = StringProperty()
    remedy = StringProperty()


class DoctorScreen(Page):
    """What `DoctorStore` finds; it looks anew whenever the screen is opened."""

    is_at_work = BooleanProperty(False)
    words = ObjectProperty(None, allownone=True)

    def __init__(self, store: DoctorStore) -> None:
        self._store = store
        super().__init__()
        self.bind(words=lambda *_: self._show(store.examination.value))

    def enter(self) -> None:
        """Follow the examination, and begin one."""
        self.while_seen(self._store.examination.watch(self._show))
        self.begin(self._store.examine())

    def again(self) -> None:
        """Look again."""
        self.begin(self._store.examine())

    def _show(self, examination: Examination) -> None:
        self.is_at_work = examination.at_work
        if self.words is None:
            return
        rows = self.ids.findings
        rows.clear_widgets()
        for finding in examination.findings:
            rows.add_widget(_row(self.words, finding))


def _row(words: Words, finding: Finding) -> FindingRow:
    remedy = f"doctor.{finding.key}.remedy"
    return FindingRow(
        status=_STATUS[finding.mark],
        title=words(f"doctor.{finding.check}"),
        found=words(f"doctor.{finding.key}.found", **finding.values),
        remedy=words(remedy, **finding.values) if remedy in TEXTS else "",
    )
