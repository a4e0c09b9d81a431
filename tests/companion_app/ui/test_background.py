"""The app in the background: SDL's own signals, as Android sends them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from edgeloop_companion.link.pairings import Pairings
from edgeloop_companion.runtime.storage import StateFolder

from ..companion_fixtures import pairing_with
from ..link_peer import LinkPeer
from .shown_app import shown_app


async def test_in_the_background_the_companion_serves_on_and_says_where_it_is(kivy_home: Path, tmp_path: Path) -> None:
    async with LinkPeer().serving() as peer:
        await asyncio.to_thread(lambda: Pairings(StateFolder(tmp_path / "state").pairings).add(pairing_with(peer)))
        async with shown_app(kivy_home, tmp_path / "state") as phone:
            await peer.linked()
            phone.signal("app_willenterbackground")
            await peer.until(lambda: bool(peer.states) and peer.states[-1].activity == "background")
            run = await peer.run({"task.py": "print('in the background')"})
            assert run.text("stdout") == ["in the background"]
            phone.signal("app_didenterforeground")
            await peer.until(lambda: peer.states[-1].activity == "foreground")
            await phone.goes("settings")
            await phone.screenshot("back-from-the-background")
        assert len(peer.hellos) == 1


async def test_when_memory_is_short_the_app_gives_up_what_it_keeps_for_speed(kivy_home: Path, tmp_path: Path) -> None:
    async with shown_app(kivy_home, tmp_path / "state") as phone:
        told: list[None] = []
        phone.app._life_cycle.on_low_memory.append(lambda: told.append(None))
        phone.signal("app_lowmemory")
        assert told == [None]
