"""Settings: how this device is called, how the screens look, and who may find it."""

from __future__ import annotations

from kivy.properties import BooleanProperty, ObjectProperty

from edgeloop_companion.store.settings import Appearance, Language, Settings, SettingsStore
from edgeloop_companion.ui.fonts import Fonts
from edgeloop_companion.ui.rules import load_rules
from edgeloop_companion.ui.widgets.page import Page
from edgeloop_shared.errors import InvalidInputError

load_rules(__file__)


class SettingsScreen(Page):
    """The choices of `Settings`, each of which holds at once."""

    settings = ObjectProperty(rebind=True)
    is_name_refused = BooleanProperty(False)
    draws_chinese = BooleanProperty(True)

    def __init__(self, store: SettingsStore, fonts: Fonts) -> None:
        self._store = store
        super().__init__(settings=store.settings.value, draws_chinese=fonts.chinese is not None)

    def enter(self) -> None:
        """Follow the settings."""
        self.ids.name.text = self._store.settings.value.name
        self.while_seen(self._store.settings.watch(self._show), self._store.problem.watch(self.banner.show))

    def leave(self) -> None:
        """Take the name as it was typed, and follow the settings no longer."""
        self.rename(self.ids.name.text)
        super().leave()

    def rename(self, name: str) -> None:
        """Call this device `name`, if a device may be called so."""
        try:
            self._store.change(name=name.strip())
        except InvalidInputError:
            self.is_name_refused = True
        else:
            self.is_name_refused = False

    def choose_language(self, value: str) -> None:
        """Show the screens in another language."""
        self._store.change(language=Language(value))

    def choose_appearance(self, value: str) -> None:
        """Show the screens lighter or darker."""
        self._store.change(appearance=Appearance(value))

    def switch(self, **values: bool) -> None:
        """Switch some of the settings."""
        self._store.change(**values)

    def _show(self, settings: Settings) -> None:
        self.settings = settings
