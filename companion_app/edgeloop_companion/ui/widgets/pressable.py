"""What can be pressed: by a finger, by a mouse, and by Enter or the space bar when it has the focus."""

from __future__ import annotations

from typing import Any

from kivy.uix.behaviors import ButtonBehavior, FocusBehavior
from kivy.uix.scrollview import ScrollView

from edgeloop_companion.ui.rules import load_rules

load_rules(__file__)


class Pressable(ButtonBehavior, FocusBehavior):
    """A mixin for widgets that emit `on_release`. The ring of the focus is for the keyboard: a finger does not ask for it."""

    def on_touch_down(self, touch: Any) -> bool:
        """Be pressed, without taking the focus."""
        if self.disabled and self.collide_point(*touch.pos):
            return True
        self.is_focusable = False
        try:
            return bool(super().on_touch_down(touch))
        finally:
            self.is_focusable = True

    def keyboard_on_key_down(self, window: Any, keycode: tuple[int, str], text: str, modifiers: list[str]) -> bool:
        """Press it by the keyboard."""
        if keycode[1] in ("enter", "numpadenter", "spacebar") and not self.disabled:
            self.trigger_action(0.1)
            return True
        return bool(super().keyboard_on_key_down(window, keycode, text, modifiers))

    def on_focus(self, _: Pressable, is_focused: bool) -> None:
        """Come into view."""
        ancestor = self.parent if is_focused else None
        while ancestor is not None and ancestor.parent is not ancestor:
            if isinstance(ancestor, ScrollView):
                ancestor.scroll_to(self)
                return
            ancestor = ancestor.parent
