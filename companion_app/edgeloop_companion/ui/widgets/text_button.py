"""A button with words on it."""

from __future__ import annotations

from kivy.properties import OptionProperty, StringProperty
from kivy.uix.anchorlayout import AnchorLayout

from edgeloop_companion.ui.rules import load_rules
from edgeloop_companion.ui.widgets.pressable import Pressable

load_rules(__file__)


class TextButton(Pressable, AnchorLayout):
    """Emits `on_release`. `filled` is for what a screen is for, once; `danger` for what cannot be undone; others are `tonal`."""

    text = StringProperty()
    kind = OptionProperty("tonal", options=["filled", "tonal", "plain", "danger"])
