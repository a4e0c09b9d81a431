"""The screen *Doctor*, by touches: what keeps this device from its computers."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from pathlib import Path

from edgeloop_companion.link.pairings import Pairings
from edgeloop_companion.runtime.storage import StateFolder
from edgeloop_companion.store.settings import Language

from ..companion_fixtures import pairing_with
from ..link_peer import LinkPeer
from .shown_app import ShownApp, shown_app


async def test_a_device_without_a_computer_is_told_to_pair_with_one(phone: ShownApp) -> None:
    await phone.goes("device")
    await phone.tap("Doctor")
    await phone.sees("No computer is paired.")
    await phone.reaches("Run `edgeloop pair` on the computer and scan its code here.")
    await phone.reaches("Look again")
    await phone.screenshot("doctor")
    await phone.press("escape")
    await phone.sees("Hardware")


async def test_a_computer_without_a_daemon_is_named_with_the_remedy_in_both_languages(
    kivy_home: Path, tmp_path: Path
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        pairing = replace(pairing_with(LinkPeer()), fingerprint="ab" * 32, port=nobody.getsockname()[1])
        await asyncio.to_thread(lambda: Pairings(StateFolder(tmp_path / "state").pairings).add(pairing))
        async with shown_app(kivy_home, tmp_path / "state") as phone:
            await phone.goes("device")
            await phone.tap("Doctor")
            await phone.reaches(f"test-host refuses at 127.0.0.1:{pairing.port}: no daemon listens there.")
            phone.parts.settings.change(language=Language.CHINESE)
            await phone.reaches("防火墙")
            await phone.reaches(f"test-host 在 127.0.0.1:{pairing.port} 拒绝连接：那里没有守护进程")
            await phone.screenshot("doctor-chinese")
