"""Surfaces that hold what belongs together."""

from __future__ import annotations

from kivy.properties import StringProperty
from kivy.uix.boxlayout import BoxLayout

from edgeloop_companion.ui.rules import load_rules

load_rules(__file__)


class Card(BoxLayout):
    """A column of widgets on a surface of its own."""


class Section(Card):
    """A card that begins with a heading; its rows follow without a gap."""

    heading = StringProperty()
