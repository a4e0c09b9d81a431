"""Questions over a screen."""

from __future__ import annotations

import asyncio
from typing import Any

from kivy.properties import BooleanProperty, StringProperty
from kivy.uix.modalview import ModalView

from edgeloop_companion.ui.rules import load_rules

load_rules(__file__)


class Question(ModalView):
    """Asks for a yes or a no. Escape, the back gesture and a touch beside it are a no."""

    title = StringProperty()
    detail = StringProperty()
    yes = StringProperty()
    no = StringProperty()
    is_dangerous = BooleanProperty(False)
    """Whether a yes cannot be undone."""

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self._answer: asyncio.Future[bool] | None = None

    async def ask(self) -> bool:
        """Show it and return the answer. When it is cancelled the question goes away."""
        self._answer = answer = asyncio.get_running_loop().create_future()
        self.open(animation=False)
        try:
            return bool(await answer)
        finally:
            self.dismiss(animation=False)

    def answer(self, is_yes: bool) -> None:
        """Take the answer, once."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(is_yes)

    def on_dismiss(self) -> None:
        """Take that it was put away for a no."""
        self.answer(False)
