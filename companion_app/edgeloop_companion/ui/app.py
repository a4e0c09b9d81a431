"""The composition root of the app: the companion and its screens in one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import platform
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from kivy.app import App
from kivy.core.text import LabelBase
from kivy.core.window import Window
from kivy.properties import ObjectProperty

from edgeloop_companion.companion import Companion, running
from edgeloop_companion.control import controlled
from edgeloop_companion.device_info import device_info
from edgeloop_companion.doctor.examination import look_at_companion
from edgeloop_companion.phone.life_cycle import LifeCycle
from edgeloop_companion.phone.phone import this_phone
from edgeloop_companion.runtime.storage import StateFolder
from edgeloop_companion.scanning.camera import Camera
from edgeloop_companion.store.computers import opened_computers
from edgeloop_companion.store.device_facts import DeviceFactsStore, ask_engine
from edgeloop_companion.store.doctor import DoctorStore
from edgeloop_companion.store.event_feed import EventFeed
from edgeloop_companion.store.pairing_attempt import PairingAttempt
from edgeloop_companion.store.settings import Language, Settings, SettingsStore, opened_settings
from edgeloop_companion.store.tasks import opened_tasks
from edgeloop_companion.ui.background import going_on_in_background
from edgeloop_companion.ui.cameras import this_camera, this_decoder
from edgeloop_companion.ui.destinations import Parts, destinations
from edgeloop_companion.ui.faults import outlived_faults
from edgeloop_companion.ui.fonts import CHINESE, Fonts, find_fonts
from edgeloop_companion.ui.frame_pace import paced_frames
from edgeloop_companion.ui.languages import system_language
from edgeloop_companion.ui.navigation import Destination
from edgeloop_companion.ui.palette import LIGHT, PALETTES
from edgeloop_companion.ui.shell import Shell
from edgeloop_companion.ui.texts import Words
from edgeloop_shared.errors import EdgeloopError


class CompanionApp(App):
    """The screens. What all rules may ask `app` for: the palette, the words and the fonts."""

    palette = ObjectProperty(LIGHT, rebind=True)  # rules that name one of its colours follow it
    words = ObjectProperty(Words(Language.ENGLISH))

    def __init__(
        self, settings: SettingsStore, fonts: Fonts, life_cycle: LifeCycle, places: tuple[Destination, ...]
    ) -> None:
        super().__init__()
        self.fonts = fonts
        if fonts.chinese is not None and fonts.bold is not None:
            LabelBase.register(CHINESE, str(fonts.chinese), fn_bold=str(fonts.bold))
        self._settings = settings
        self._life_cycle = life_cycle
        self._places = places
        self._stop_watching: Callable[[], None] = lambda: None

    def build(self) -> Shell:
        """Return the root of all widgets."""
        Window.bind(on_memorywarning=self._low_memory)
        self._stop_watching = self._settings.settings.watch(self._choose)
        return Shell(self._places)

    def on_pause(self) -> bool:
        """Go to the background, where the companion serves on as long as the system lets it."""
        self._life_cycle.paused()
        return True

    def on_resume(self) -> None:
        """Come back from there."""
        self._life_cycle.resumed()

    def on_stop(self) -> None:
        """Let go of the settings, which live on, and of the page: what its rules ask the app for is gone in a moment."""
        self._stop_watching()
        self.root.leave()
        Window.unbind(on_memorywarning=self._low_memory)

    async def ended(self) -> None:
        """Return once nothing is left of what its pages had begun."""
        if self.root is not None:
            await self.root.ended()

    def _low_memory(self, _: object) -> None:
        self._life_cycle.memory_is_low()

    def _choose(self, settings: Settings) -> None:
        self.palette = PALETTES[settings.appearance]
        # What no font draws nobody can read, or choose away.
        self.words = Words(Language.ENGLISH if self.fonts.chinese is None else settings.language)
        self.title = self.words("app.title")
        Window.set_title(self.title)
        Window.allow_screensaver = not settings.keeps_screen_on


@contextlib.asynccontextmanager
async def opened(
    state_folder: StateFolder, *, camera: Camera, name: str = "", max_workers: int = 8
) -> AsyncIterator[tuple[CompanionApp, Parts]]:
    """Run a companion on a state folder whose lock the caller holds, and build the app that shows it.

    `camera` scans codes. `name` is what computers call this device until the settings say otherwise. Raises `EdgeloopError`
    when no window can be opened, `SettingsError` when the stored pairings cannot be read.
    """
    if Window is None:
        raise EdgeloopError(
            "No window can be opened here; what stands above says why.",
            hint="On Debian a window needs the packages libgl1 and libegl1. `edgeloop device virtual` needs no screen.",
        )
    fonts = await asyncio.to_thread(find_fonts)
    defaults = Settings(device_info(name or platform.node()).name, language=system_language())
    events, life_cycle, phone = EventFeed(), LifeCycle("foreground"), this_phone(state_folder.path)
    async with (
        opened_settings(state_folder.settings, defaults) as settings,
        opened_tasks(state_folder.tasks, state_folder.blobs) as tasks,
    ):
        events.listen(tasks.listen)
        chosen = settings.settings.value
        info = await asyncio.to_thread(device_info, chosen.name)
        async with (
            running(
                state_folder,
                info,
                events,
                max_workers=max_workers,
                is_advertised=chosen.is_announced,
                phone=phone,
                life_cycle=life_cycle,
                observe=tasks.observe,
            ) as companion,
            controlled(companion, state_folder.control),
            opened_computers(companion, events, state_folder.revoked) as computers,
        ):
            facts = DeviceFactsStore(phone.vitals, state_folder.blobs, companion.clear_blobs, ask_engine)
            pairing = PairingAttempt(companion, camera, this_decoder())
            doctor = DoctorStore(lambda: look_at_companion(companion, phone))
            parts = Parts(
                info, companion, events, state_folder, settings, facts, tasks, doctor, fonts, pairing, computers
            )
            stop = settings.settings.watch(lambda new: _obey(companion, new))
            app = CompanionApp(settings, fonts, life_cycle, destinations(parts))
            try:
                with going_on_in_background(Window), paced_frames():
                    yield app, parts
            finally:
                stop()
                await app.ended()
                await pairing.close()


def _obey(companion: Companion, settings: Settings) -> None:
    companion.advertising.switch(settings.is_announced)
    companion.rename(settings.name)


async def serve(state_folder: StateFolder, *, frames: Path | None = None, name: str = "", max_workers: int = 8) -> None:
    """Show the companion until its window is closed or a signal ends it. Raises what `opened` raises.

    With `frames` its camera shows the pictures in that folder.
    """
    camera = this_camera(frames)
    async with opened(state_folder, camera=camera, name=name, max_workers=max_workers) as (app, _):
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, app.stop)
        with outlived_faults():
            await app.async_run("asyncio")
