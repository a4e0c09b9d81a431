"""Words that can be pressed, beside a heading."""

from __future__ import annotations

from kivy.properties import StringProperty
from kivy.uix.anchorlayout import AnchorLayout

from edgeloop_companion.ui.rules import load_rules
from edgeloop_companion.ui.widgets.pressable import Pressable

load_rules(__file__)


class LinkButton(Pressable, AnchorLayout):
    """Emits `on_release`. It is as wide as its words."""

    text = StringProperty()
