"""The camera of an Android phone, through Kivy's provider. It has never run on a phone.

`tests/companion_app/ui/test_cameras.py` holds which calls it makes.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable

from edgeloop_companion.scanning.camera import CameraRefusedError
from edgeloop_companion.scanning.frame import Frame
from edgeloop_companion.ui.kivy_camera import RESOLUTION, KivyCamera, Provider, open_provider

_SENSOR_TURNS = 1  # nearly all are built in sideways: upright pictures have their left at the sensor's bottom


class AndroidCamera(KivyCamera):
    """A `Camera`. `ask` returns whether this app may use it, and asks the user if need be."""

    def __init__(
        self, ask: Callable[[], Awaitable[bool]], open_provider: Callable[[], Provider] = open_provider
    ) -> None:
        super().__init__(open_provider)
        self._ask = ask
        self._provider: Provider = None

    @property
    def has_torch(self) -> bool:  # type: ignore[override]
        """Whether the open camera has a light that stays on."""
        if self._provider is None:
            return False
        modes = self._provider._android_camera.getParameters().getSupportedFlashModes()
        return modes is not None and bool(modes.contains("torch"))

    def switch_torch(self, *, is_on: bool) -> None:
        """Switch the light of the open camera."""
        if self._provider is not None:
            camera = self._provider._android_camera
            parameters = camera.getParameters()
            parameters.setFlashMode("torch" if is_on else "off")
            camera.setParameters(parameters)

    async def frames(self) -> AsyncGenerator[Frame]:
        """Yield what the camera sees. Raises `NoCameraError`, `CameraRefusedError`."""
        if not await self._ask():
            raise CameraRefusedError("Android does not let this app use the camera.")
        try:
            async with contextlib.aclosing(super().frames()) as frames:
                async for frame in frames:
                    yield frame
        finally:
            self._provider = None

    def read(self, provider: Provider) -> Frame | None:
        """Return what the provider has grabbed: of its NV21 the luminance, which comes first."""
        self._provider = provider
        data = provider.grab_frame()
        width, height = RESOLUTION
        return None if data is None else Frame(width, height, bytes(data[: width * height]), _SENSOR_TURNS)
