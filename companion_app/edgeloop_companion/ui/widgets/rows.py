"""Rows of a card."""

from __future__ import annotations

from typing import Any

from kivy.properties import BooleanProperty, ListProperty, StringProperty
from kivy.uix.anchorlayout import AnchorLayout
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.widget import Widget

from edgeloop_companion.ui.rules import load_rules
from edgeloop_companion.ui.widgets.pressable import Pressable

load_rules(__file__)


class FactRow(BoxLayout):
    """A name and what is so named."""

    name = StringProperty()
    value = StringProperty()


class ListRow(Pressable, BoxLayout):
    """Something that opens: a title, what is said of it, and a sign. Emits `on_release`."""

    title = StringProperty()
    detail = StringProperty()


class SwitchTrack(Widget):
    """What moves in a switch."""

    is_on = BooleanProperty(False)


class SwitchRow(Pressable, BoxLayout):
    """A choice between on and off. Emits `on_release` when a person asks for the other; who shows it sets `is_on`."""

    title = StringProperty()
    detail = StringProperty()
    is_on = BooleanProperty(False)


class ChoiceButton(Pressable, AnchorLayout):
    """One of the options of a `ChoiceRow`."""

    text = StringProperty()
    value = StringProperty()
    is_chosen = BooleanProperty(False)


class ChoiceRow(BoxLayout):
    """A choice of one among a few. `options` are pairs of value and text; emits `on_choice` with a value."""

    title = StringProperty()
    options = ListProperty()
    chosen = StringProperty()

    __events__ = ("on_choice",)

    def on_choice(self, value: str) -> None:
        """Be told which was asked for; who shows it sets `chosen`."""

    def on_options(self, *_: Any) -> None:
        """Build the buttons anew."""
        segments = self.ids.segments
        segments.clear_widgets()
        for value, text in self.options:
            button = ChoiceButton(text=text, value=value, is_chosen=value == self.chosen)
            button.bind(on_release=lambda pressed: self.dispatch("on_choice", pressed.value))
            segments.add_widget(button)

    def on_chosen(self, *_: Any) -> None:
        """Mark the one that holds."""
        for button in self.ids.segments.children:
            button.is_chosen = button.value == self.chosen
