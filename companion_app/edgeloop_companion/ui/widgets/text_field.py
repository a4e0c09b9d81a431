"""A line that is typed."""

from __future__ import annotations

from typing import Any

from kivy.properties import StringProperty
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.textinput import TextInput

from edgeloop_companion.ui.rules import load_rules

load_rules(__file__)


class LineInput(TextInput):
    """The line itself. Tab goes on to what can be pressed next."""

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.multiline = False
        self.write_tab = False


class TextField(BoxLayout):
    """A line with its name above; below stands what else is to be known, or why it was refused.

    Emits `on_submit` with the text when Enter is pressed.
    """

    name = StringProperty()
    text = StringProperty()
    hint = StringProperty()
    """An example, seen as long as nothing is typed."""
    detail = StringProperty()
    """What else is to be known, said below as long as there is no problem."""
    problem = StringProperty()

    __events__ = ("on_submit",)

    def on_submit(self, text: str) -> None:
        """Be told that the text is complete."""
