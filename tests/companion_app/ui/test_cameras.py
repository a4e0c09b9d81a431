"""The cameras of devices: Kivy's providers on computers, with a provider of the tests in their place, and Android's."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from companion_app.shown_codes import show_text

from edgeloop_companion.scanning.camera import Camera, CameraRefusedError, NoCamera, NoCameraError
from edgeloop_companion.scanning.folder_frames import FolderFrames, read_frame
from edgeloop_companion.scanning.frame import Frame
from edgeloop_companion.scanning.zxing_decoder import ZxingDecoder

from .shown_app import ShownApp

TEXT = "EDGELOOP://P1/" + "A" * 90


def picture_of(file: Path) -> Frame:
    frame = read_frame(file)
    assert frame is not None
    return frame


async def first_frame(camera: Any) -> Frame:
    """Open the camera, and close it after one frame."""
    async with asyncio.timeout(30), contextlib.aclosing(camera.frames()) as frames:
        async for frame in frames:
            found: Frame = frame
            return found
    raise AssertionError("no frame came")


async def test_what_a_provider_of_kivys_shows_is_seen_upright(phone: ShownApp, tmp_path: Path) -> None:
    from kivy.clock import Clock
    from kivy.core.camera import CameraBase
    from kivy.graphics.texture import Texture

    from edgeloop_companion.ui.kivy_camera import KivyCamera

    frame = picture_of(await asyncio.to_thread(show_text, tmp_path / "frames", TEXT))

    class Provider(CameraBase):  # type: ignore[misc]
        """As Kivy's own do it: a texture whose first row is the upper one."""

        def init_camera(self) -> None:
            self._texture = Texture.create(size=(frame.width, frame.height), colorfmt="rgb")
            self._texture.flip_vertical()
            self._event = Clock.schedule_interval(self._update, 1 / 30)

        def _update(self, dt: float) -> None:
            self._buffer = bytes(value for value in frame.luminance for _ in range(3))
            self._copy_to_gpu()

        def stop(self) -> None:
            super().stop()
            self._event.cancel()

    opened: list[Provider] = []

    def open_provider() -> Provider:
        opened.append(Provider(resolution=(frame.width, frame.height)))
        return opened[-1]

    seen = await first_frame(KivyCamera(open_provider))
    assert (seen.width, seen.height) == (frame.width, frame.height)
    assert seen.luminance == frame.luminance
    assert ZxingDecoder().decode(seen) == (TEXT,)
    assert opened[0].stopped


async def test_a_provider_that_cannot_open_its_camera_is_no_camera(phone: ShownApp) -> None:
    from edgeloop_companion.ui.kivy_camera import KivyCamera

    def open_provider() -> Any:
        raise RuntimeError("device busy")

    with pytest.raises(NoCameraError, match="device busy"):
        await first_frame(KivyCamera(open_provider))


async def test_a_camera_that_sends_nothing_is_told(phone: ShownApp, monkeypatch: pytest.MonkeyPatch) -> None:
    from kivy.core.camera import CameraBase

    from edgeloop_companion.ui import kivy_camera

    monkeypatch.setattr(kivy_camera, "FRAME_SECONDS", 0.01)
    with pytest.raises(NoCameraError, match="no pictures"):
        await first_frame(kivy_camera.KivyCamera(CameraBase))


async def test_a_device_without_a_provider_says_what_is_missing(phone: ShownApp, tmp_path: Path) -> None:
    from edgeloop_companion.ui import cameras

    camera = cameras.this_camera()
    if isinstance(camera, NoCamera):
        with pytest.raises(NoCameraError, match="GStreamer"):
            await first_frame(camera)
    assert isinstance(cameras.this_camera(tmp_path), FolderFrames)
    assert isinstance(cameras.this_decoder(), ZxingDecoder)


@dataclass
class AndroidProvider:
    """`kivy.core.camera.camera_android.CameraAndroid`, as far as it is used, upon `android.hardware.Camera`."""

    data: bytes | None
    flash_modes: tuple[str, ...] | None = ("off", "torch")
    flash_mode: str = "off"
    stopped: bool = False
    watchers: list[Any] = field(default_factory=list)

    @property
    def _android_camera(self) -> Any:
        return self

    def bind(self, *, on_texture: Any) -> None:
        asyncio.get_running_loop().call_soon(on_texture, self)

    def stop(self) -> None:
        self.stopped = True

    def grab_frame(self) -> bytes | None:
        return self.data

    def getParameters(self) -> Any:
        return self

    def getSupportedFlashModes(self) -> Any:
        return None if self.flash_modes is None else self

    def contains(self, mode: str) -> bool:
        assert self.flash_modes is not None
        return mode in self.flash_modes

    def setFlashMode(self, mode: str) -> None:
        assert self.flash_modes is not None
        assert mode in self.flash_modes
        self.flash_mode = mode

    def setParameters(self, parameters: Any) -> None:
        assert parameters is self


def has_torch(camera: Camera) -> bool:
    return camera.has_torch


async def allow() -> bool:
    return True


async def refuse() -> bool:
    return False


async def test_androids_pictures_are_their_luminance_turned_upright(phone: ShownApp) -> None:
    from edgeloop_companion.ui.android_camera import AndroidCamera

    luminance = bytes(range(256)) * (1280 * 720 // 256)
    provider = AndroidProvider(luminance + bytes(len(luminance) // 2))  # NV21: the colours follow
    assert await first_frame(AndroidCamera(allow, lambda: provider)) == Frame(1280, 720, luminance, 1)
    assert provider.stopped


async def test_androids_light_is_switched_while_the_camera_is_open(phone: ShownApp) -> None:
    from edgeloop_companion.ui.android_camera import AndroidCamera

    provider = AndroidProvider(bytes(1280 * 720 * 3 // 2))
    camera = AndroidCamera(allow, lambda: provider)
    assert not has_torch(camera)
    camera.switch_torch(is_on=True)
    async with contextlib.aclosing(camera.frames()) as frames:
        async for _ in frames:
            assert has_torch(camera)
            camera.switch_torch(is_on=True)
            assert provider.flash_mode == "torch"
            camera.switch_torch(is_on=False)
            assert str(provider.flash_mode) == "off"
            provider.flash_modes = None  # a tablet, say
            assert not has_torch(camera)
            break
    assert not has_torch(camera)


async def test_a_camera_that_androids_user_refuses_is_not_opened(phone: ShownApp) -> None:
    from edgeloop_companion.ui.android_camera import AndroidCamera

    def open_provider() -> Any:
        raise AssertionError

    with pytest.raises(CameraRefusedError):
        await first_frame(AndroidCamera(refuse, open_provider))


async def test_what_fills_a_view_is_the_middle_of_the_frame_however_the_sensor_is_built_in(phone: ShownApp) -> None:
    from edgeloop_companion.ui.widgets.camera_view import seen_corners

    wide = Frame(4, 2, bytes(8))
    assert seen_corners(wide, 2.0) == [(0, 1), (1, 1), (1, 0), (0, 0)]
    assert seen_corners(wide, 1.0) == [(0.25, 1), (0.75, 1), (0.75, 0), (0.25, 0)]
    # Turned clockwise by 90 degrees the sensor's lower left is the upper left.
    assert seen_corners(Frame(4, 2, bytes(8), 1), 0.5) == [(1, 1), (1, 0), (0, 0), (0, 1)]
    assert seen_corners(Frame(4, 2, bytes(8), 1), 1.0) == [(0.75, 1), (0.75, 0), (0.25, 0), (0.25, 1)]
