"""Small signs of how something is."""

from __future__ import annotations

from kivy.properties import BoundedNumericProperty, OptionProperty, StringProperty
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.widget import Widget

from edgeloop_companion.ui.rules import load_rules

load_rules(__file__)


class StatusDot(Widget):
    """A dot; its colour never says alone what it means: words stand beside it."""

    status = OptionProperty("off", options=["off", "good", "busy", "warning", "error"])


class Progress(Widget):
    """How much is done, 0 to 1."""

    value = BoundedNumericProperty(0, min=0, max=1, errorhandler=lambda value: min(max(value, 0), 1))


class EmptyState(BoxLayout):
    """What is said where there is nothing to show yet, and what to do about it."""

    icon = StringProperty()
    title = StringProperty()
    detail = StringProperty()
