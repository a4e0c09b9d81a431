"""Text, in the sizes and fonts of this app."""

from __future__ import annotations

from kivy.properties import BooleanProperty, OptionProperty, StringProperty
from kivy.uix.label import Label

from edgeloop_companion.ui.rules import load_rules

load_rules(__file__)


class Text(Label):
    """Wraps to its width and is as high as its lines. What it shows is never read as markup."""

    role = OptionProperty("body", options=["title", "heading", "body", "small", "label", "code"])
    colour = StringProperty("")
    """Of the palette; empty is the one of its role."""
    is_strong = BooleanProperty(False)


class LineText(Text):
    """One line of a text, shortened to its width."""


class ShortText(Label):
    """A word or a figure, as wide as it is."""

    role = OptionProperty("small", options=["title", "heading", "body", "small", "label", "code"])
    colour = StringProperty("")
    is_strong = BooleanProperty(False)
