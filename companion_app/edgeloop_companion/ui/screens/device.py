"""Device: what it is, how warm and charged it is, what MNN can do on it, and the storage that blobs take."""

from __future__ import annotations

from collections.abc import Callable

from kivy.properties import BooleanProperty, ObjectProperty

from edgeloop_companion.store.device_facts import DeviceFacts, DeviceFactsStore
from edgeloop_companion.ui.quantities import byte_count
from edgeloop_companion.ui.rules import load_rules
from edgeloop_companion.ui.texts import Words
from edgeloop_companion.ui.widgets.page import Page
from edgeloop_shared.device_states import Vitals
from edgeloop_shared.errors import EdgeloopError
from edgeloop_shared.models import DeviceInfo

load_rules(__file__)


class DeviceScreen(Page):
    """What `DeviceFactsStore` knows, for as long as it is looked at."""

    info = ObjectProperty(rebind=True)
    facts = ObjectProperty(DeviceFacts(), rebind=True)
    is_clearing = BooleanProperty(False)

    def __init__(self, info: DeviceInfo, store: DeviceFactsStore, open_doctor: Callable[[], None]) -> None:
        self._store = store
        self.open_doctor = open_doctor
        super().__init__(info=info)

    def enter(self) -> None:
        """Follow the facts."""
        self.while_seen(self._store.facts.watch(self._show))
        self.begin(self._store.run())

    def clear(self) -> None:
        """Remove the blobs that no run needs."""
        self.begin(self._clear())

    async def _clear(self) -> None:
        self.is_clearing = True
        try:
            await self._store.clear()
        except EdgeloopError as error:
            self.banner.show(error)
        else:
            self.banner.show(None)
        finally:
            self.is_clearing = False

    def _show(self, facts: DeviceFacts) -> None:
        self.facts = facts

    @staticmethod
    def battery(words: Words, vitals: Vitals | None) -> str:
        """Return how full the battery is, in words."""
        if vitals is None or vitals.battery_percent is None:
            return words("device.untold")
        percent = f"{vitals.battery_percent} %"
        return words("device.charging", percent=percent) if vitals.is_charging else percent

    @staticmethod
    def heat(words: Words, celsius: float | None) -> str:
        """Return a temperature, in words."""
        return words("device.untold") if celsius is None else f"{celsius:.0f} °C"

    @staticmethod
    def amount(words: Words, count: int | None) -> str:
        """Return a number of bytes, in words."""
        return words("device.untold") if count is None else byte_count(count)

    @staticmethod
    def backends(words: Words, facts: DeviceFacts) -> str:
        """Return the backends on which models run here, in words."""
        if facts.engine is None:
            return words("device.asking")
        if facts.engine.problem:
            return words("device.unknown", reason=facts.engine.problem)
        return ", ".join(facts.engine.backends)
