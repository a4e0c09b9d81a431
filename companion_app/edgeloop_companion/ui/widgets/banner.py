"""What went wrong, and what to do: an `EdgeloopError` on the screen."""

from __future__ import annotations

from kivy.properties import OptionProperty, StringProperty
from kivy.uix.boxlayout import BoxLayout

from edgeloop_companion.ui.rules import load_rules
from edgeloop_shared.errors import EdgeloopError

load_rules(__file__)


class Banner(BoxLayout):
    """A message and a hint on a coloured surface; without a message it takes no room."""

    kind = OptionProperty("error", options=["error", "warning", "info"])
    code = StringProperty()
    """Of the error whose own words `message` and `hint` are; empty where they are the app's, in the language of the screen."""
    message = StringProperty()
    hint = StringProperty()

    def show(self, error: EdgeloopError | None) -> None:
        """Show `error`; None is nothing."""
        self.code = error.code if error else ""
        self.message = error.message if error else ""
        self.hint = (error.hint or "") if error else ""
