"""The screen *Computers*, by touches, against real device ports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from companion_app.companion_fixtures import allow
from companion_app.link_peer import LinkPeer
from daemon.device_daemon import DeviceDaemon, device_daemon

from edgeloop_companion.store.settings import Language

from .shown_app import ShownApp


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[DeviceDaemon]:
    async with device_daemon(tmp_path) as daemon:
        yield daemon


@pytest.fixture
async def peer() -> AsyncIterator[LinkPeer]:
    async with LinkPeer(host_name="laptop").serving() as peer:
        yield peer


async def pair(phone: ShownApp, peer: LinkPeer) -> None:
    """Pair without the ceremony, and wait for the link."""
    await phone.parts.companion.pair_by_offer(peer.offer(), allow)
    await phone.sees("Linked")


async def test_without_a_computer_it_says_how_to_begin(phone: ShownApp) -> None:
    await phone.sees("No computer is paired")
    await phone.tap("Pair a computer")
    await phone.sees("Without a camera")
    await phone.press("escape")
    await phone.sees("No computer is paired")


async def test_a_computer_is_switched_off_and_on(phone: ShownApp, peer: LinkPeer) -> None:
    await pair(phone, peer)
    assert phone.shows(f"127.0.0.1:{peer.port}")
    await phone.tap(phone.button("Link to laptop"))
    await phone.sees("Switched off")
    assert phone.shows("Seen less than a minute ago")
    assert peer.close_codes == [1001]
    await phone.tap(phone.button("Link to laptop"))
    await phone.sees("Linked")


async def test_who_would_cancel_a_task_by_switching_off_is_asked(phone: ShownApp, peer: LinkPeer) -> None:
    await pair(phone, peer)
    run = await peer.start({"task.py": "while True: pass"})
    await phone.sees("1 task runs here")
    await phone.tap(phone.button("Link to laptop"))
    await phone.sees("Switch off laptop?")
    await phone.sees("1 task runs here and will be cancelled.")
    await phone.tap("Cancel")
    await phone.misses("Switch off laptop?")
    assert not run.is_complete
    await phone.tap(phone.button("Link to laptop"))
    await phone.tap("Switch off")
    await phone.sees("Switched off")
    await peer.until(lambda: run.is_complete)


async def test_a_computer_is_forgotten_and_learns_it(phone: ShownApp, daemon: DeviceDaemon) -> None:
    window = await daemon.pairing.open()
    phone.parts.pairing.take_offer(window.offer)
    await phone.until(lambda: "AskingPermission" in type(phone.parts.pairing.step.value).__name__, "it is not asked")
    phone.parts.pairing.answer(is_allowed=True)
    await phone.sees("Linked")
    await phone.tap("Forget")
    await phone.sees("Forget host?")
    await phone.screenshot("computers-forget")
    await phone.tap("Cancel")
    await phone.misses("Forget host?")
    assert len(daemon.devices.list()) == 1
    await phone.tap("Forget")
    await phone.sees("Forget host?")
    await phone.tap(phone.button("Forget"))
    await phone.sees("No computer is paired")
    assert daemon.devices.list() == ()


async def test_a_computer_that_has_unpaired_this_device_is_shown_until_it_is_dismissed(
    phone: ShownApp, daemon: DeviceDaemon
) -> None:
    await daemon.pair("other")  # keeps the port open
    window = await daemon.pairing.open()
    phone.parts.pairing.take_offer(window.offer)
    await phone.until(lambda: "AskingPermission" in type(phone.parts.pairing.step.value).__name__, "it is not asked")
    phone.parts.pairing.answer(is_allowed=True)
    await phone.sees("Linked")
    await daemon.devices.revoke(daemon.devices.list()[-1].id)
    await phone.sees("Has unpaired this device")
    await phone.tap("Dismiss")
    await phone.sees("No computer is paired")


async def test_a_computer_that_does_not_answer_tells_why_and_when_it_is_tried_again(
    phone: ShownApp, peer: LinkPeer
) -> None:
    await pair(phone, peer)
    peer.behaviour.refuse_links = True
    await peer.cut()
    await phone.sees("Away, next attempt in")


async def test_on_a_chinese_screen_it_is_told_in_chinese_why_a_computer_is_away(
    phone: ShownApp, peer: LinkPeer
) -> None:
    await pair(phone, peer)
    await peer.close_link(1001)
    peer.behaviour.refuse_links = True
    phone.parts.settings.change(language=Language.CHINESE)
    await phone.sees("秒后重试")
    await phone.until(lambda: phone.shows("电脑") and phone.shows("with status 503"), "it is not told why")
    (card,) = [text for text in phone.texts() if "503" in text]
    assert "并与本机在同一网络。\nThe daemon refused GET /v1/link with status 503." in card
    await phone.screenshot("computers-away-chinese")
