"""The camera of a computer, through the providers that Kivy has: GStreamer and OpenCV on Linux, AVFoundation on macOS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

from edgeloop_companion.scanning.camera import NoCameraError
from edgeloop_companion.scanning.frame import Frame

RESOLUTION = 1280, 720
FRAME_SECONDS = 10.0  # a camera that sends nothing for so long is taken by another program, say

Provider = Any
"""A `kivy.core.camera.CameraBase`, for which there are no types."""


def open_provider() -> Provider:
    """Open the first camera. Raises whatever the provider raises."""
    from kivy.core.camera import Camera  # looks for providers when it is imported

    if Camera is None:
        raise NoCameraError("Kivy has no provider of cameras here.")
    return Camera(index=0, resolution=RESOLUTION)


class KivyCamera:
    """A `Camera` upon a provider of Kivy's."""

    has_torch = False

    def __init__(self, open_provider: Callable[[], Provider] = open_provider) -> None:
        self._open_provider = open_provider

    def switch_torch(self, *, is_on: bool) -> None:
        """Do nothing: the cameras of computers have no light to switch."""

    async def frames(self) -> AsyncGenerator[Frame]:
        """Yield what the camera sees. Raises `NoCameraError`."""
        changed = asyncio.Event()
        try:
            provider = self._open_provider()
        except Exception as error:
            # Providers raise what their libraries raise: none opens the camera, and that is all that matters here.
            raise NoCameraError(str(error) or type(error).__name__) from error
        provider.bind(on_texture=lambda _: changed.set())
        try:
            while True:
                try:
                    async with asyncio.timeout(FRAME_SECONDS):
                        await changed.wait()
                except TimeoutError:
                    raise NoCameraError("The camera sends no pictures; another program may use it.") from None
                changed.clear()
                if (frame := self.read(provider)) is not None:
                    yield frame
        finally:
            provider.stop()

    def read(self, provider: Provider) -> Frame | None:
        """Return what the provider shows now: of its picture in RGBA the green, which is nearest to luminance."""
        texture = provider.texture
        if texture is None:
            return None
        width, height = texture.size
        return Frame(width, height, texture.pixels[1::4])
