"""The screen *Pair*, by touches, against a real daemon: by what the camera sees, by a typed code, and all that goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import pytest
from companion_app.shown_codes import show_nothing, show_text
from daemon.device_daemon import DeviceDaemon, ManualClock, device_daemon

from edgeloop_companion.scanning.camera import Camera, CameraRefusedError, NoCamera, NoCameraError
from edgeloop_companion.scanning.folder_frames import FolderFrames
from edgeloop_companion.scanning.frame import Frame
from edgeloop_companion.store.settings import Language
from edgeloop_shared.pairing import new_code, show_code

from .shown_app import NO_CAMERA, ShownApp, shown_app

QUESTION = "Allow host to run code here?"


@pytest.fixture
async def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def daemon(tmp_path: Path, clock: ManualClock) -> AsyncIterator[DeviceDaemon]:
    async with device_daemon(tmp_path, clock=clock) as daemon:
        yield daemon


@pytest.fixture
async def frames(tmp_path: Path) -> Path:
    """What the camera sees: nothing, at first."""
    folder = tmp_path / "frames"
    await asyncio.to_thread(show_nothing, folder)
    return folder


@contextlib.asynccontextmanager
async def pairing_with(kivy_home: Path, tmp_path: Path, camera: Camera) -> AsyncIterator[ShownApp]:
    """The app, which has gone to the screen *Pair*."""
    async with shown_app(kivy_home, tmp_path / "phone", camera=camera) as phone:
        await phone.tap("Pair a computer")
        yield phone


@pytest.fixture
async def scanning(kivy_home: Path, tmp_path: Path, frames: Path) -> AsyncIterator[ShownApp]:
    """The app, which looks for a code in the pictures of `frames`."""
    async with pairing_with(kivy_home, tmp_path, FolderFrames(frames, frame_seconds=0.01)) as phone:
        yield phone


@pytest.fixture
async def typing(kivy_home: Path, tmp_path: Path) -> AsyncIterator[ShownApp]:
    """The app on a device without a camera."""
    async with pairing_with(kivy_home, tmp_path, NO_CAMERA) as phone:
        yield phone


async def type_code(phone: ShownApp, address: str, code: str) -> None:
    await phone.fill("Address that the computer shows", address)
    await phone.fill("Code that the computer shows", code)


def names(daemon: DeviceDaemon) -> list[str]:
    return [device.info.name for device in daemon.devices.list()]


async def test_a_code_that_the_camera_sees_pairs_once_it_is_allowed(
    daemon: DeviceDaemon, scanning: ShownApp, frames: Path
) -> None:
    await scanning.sees("hold its code into the frame")
    assert "Scan a code" not in [getattr(widget, "text", "") for widget in scanning.app.root.walk()]
    await scanning.screenshot("pair-scanning")
    window = await daemon.pairing.open()
    await asyncio.to_thread(show_text, frames, window.offer)
    await scanning.sees(QUESTION)
    assert scanning.shows(f"127.0.0.1:{daemon.port}")
    assert names(daemon) == []
    await scanning.screenshot("pair-asking")
    await scanning.tap("Allow")
    await scanning.sees("Paired with host")
    await scanning.screenshot("pair-done")
    assert names(daemon) == ["phone"]
    await scanning.tap("Done")
    await scanning.sees("Linked")
    assert scanning.shows("host")


async def test_a_code_that_is_typed_pairs_and_its_address_is_remembered(daemon: DeviceDaemon, typing: ShownApp) -> None:
    await typing.sees("No camera can be used here.")
    assert typing.shows("Nothing is plugged in.")
    window = await daemon.pairing.open()
    await type_code(typing, f"127.0.0.1:{daemon.port}", show_code(window.code).lower())
    await typing.sees(QUESTION)
    await typing.tap("Allow")
    await typing.sees("Paired with host")
    await typing.tap("Done")
    await typing.sees("Linked")
    await typing.tap("Pair a computer")
    await typing.sees(f"127.0.0.1:{daemon.port}")


async def test_a_wrong_code_is_told_and_the_right_one_pairs_after_it(daemon: DeviceDaemon, typing: ShownApp) -> None:
    window = await daemon.pairing.open()
    await type_code(typing, f"127.0.0.1:{daemon.port}", new_code())
    await typing.sees(QUESTION)
    await typing.tap("Allow")
    await typing.sees("The code is wrong.")
    await typing.screenshot("pair-wrong-code")
    assert daemon.pairing.current().wrong_tries == 1
    await typing.fill("Code that the computer shows", window.code)
    await typing.sees(QUESTION)
    await typing.tap("Allow")
    await typing.sees("Paired with host")


async def test_what_is_no_code_is_told(daemon: DeviceDaemon, typing: ShownApp) -> None:
    await type_code(typing, "192.168.1.7", "1234")
    await typing.sees("This is no address.")
    await typing.fill("Address that the computer shows", "192.168.1.7:40123")
    await typing.tap("Pair by this code")
    await typing.sees("This is no pairing code.")


async def test_on_a_chinese_screen_it_is_told_in_chinese_why_a_pairing_is_not_kept(
    daemon: DeviceDaemon, typing: ShownApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("edgeloop_companion.link.pairings.write_private", full)
    typing.parts.settings.change(language=Language.CHINESE)
    window = await daemon.pairing.open()
    await typing.fill("电脑显示的地址", f"127.0.0.1:{window.port}")
    await typing.fill("电脑显示的配对码", window.code)
    await typing.tap("允许")
    await typing.sees("请重试。\n未能完成配对。\nThe pairing with host cannot be kept: No space left on device.")
    await typing.screenshot("pair-not-kept-chinese")


async def test_a_code_that_has_expired_is_told(
    daemon: DeviceDaemon, scanning: ShownApp, frames: Path, clock: ManualClock
) -> None:
    window = await daemon.pairing.open()
    clock.now += 121
    await asyncio.to_thread(show_text, frames, window.offer)
    await scanning.sees("The code is no longer valid.")
    await scanning.screenshot("pair-expired")


async def test_without_permission_nothing_is_paired_and_one_may_scan_again(
    daemon: DeviceDaemon, scanning: ShownApp, frames: Path
) -> None:
    window = await daemon.pairing.open()
    await asyncio.to_thread(show_text, frames, window.offer)
    await scanning.sees(QUESTION)
    await scanning.tap("Do not allow")
    await scanning.sees("You did not allow it.")
    assert names(daemon) == []
    await scanning.tap("Scan a code")
    await scanning.sees(QUESTION)
    await scanning.press("escape")  # is a no as well
    await scanning.sees("You did not allow it.")


async def test_another_code_is_told_and_the_camera_looks_on(
    daemon: DeviceDaemon, scanning: ShownApp, frames: Path
) -> None:
    await asyncio.to_thread(show_text, frames, "https://example.org/")
    await scanning.sees("That is another code.")
    window = await daemon.pairing.open()
    await asyncio.to_thread(show_text, frames, window.offer)
    await scanning.sees(QUESTION)


async def test_a_camera_that_this_app_may_not_use_is_told(kivy_home: Path, tmp_path: Path) -> None:
    class Refused(NoCamera):
        async def frames(self) -> AsyncGenerator[Frame]:
            with contextlib.suppress(NoCameraError):
                async for frame in super().frames():
                    yield frame
            raise CameraRefusedError

    async with pairing_with(kivy_home, tmp_path, Refused("")) as phone:
        await phone.sees("This app may not use the camera.")
        assert phone.shows("type the code below")


async def test_the_text_of_a_code_is_pasted(daemon: DeviceDaemon, typing: ShownApp) -> None:
    from kivy.core.clipboard import Clipboard

    Clipboard.copy("something else")
    await typing.tap("Paste the text of a code")
    await typing.sees("There is no text of a code in the clipboard.")
    Clipboard.copy((await daemon.pairing.open()).offer)
    await typing.tap("Paste the text of a code")
    await typing.sees(QUESTION)


async def test_the_light_is_switched_and_the_camera_closes_with_the_screen(
    kivy_home: Path, tmp_path: Path, frames: Path
) -> None:
    camera = FolderFrames(frames, frame_seconds=0.01)
    async with pairing_with(kivy_home, tmp_path, camera) as phone:
        button = await phone.sees("Switch the light on")
        await phone.tap(button)
        await phone.sees("Switch the light off")
        assert camera.torch_is_on
        await phone.press("escape")
        await phone.sees("No computer is paired")
        await phone.until(lambda: not camera.torch_is_on, "the camera stays open")
