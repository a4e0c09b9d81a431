"""Where frames come from."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from edgeloop_companion.scanning.frame import Frame


class NoCameraError(Exception):
    """There is no camera, or none that can be used now; the message says why in a few words."""


class CameraRefusedError(Exception):
    """The user, or the system, does not let this app use the camera."""


class Camera(Protocol):
    """A camera of this device."""

    @property
    def has_torch(self) -> bool:
        """Whether there is a light to switch; known once frames come."""

    def switch_torch(self, *, is_on: bool) -> None:
        """Switch the light; it goes out with the camera."""

    def frames(self) -> AsyncGenerator[Frame]:
        """Open the camera, yield what it sees as it sees it, and close it at the end.

        Who takes frames slowly misses some: none is queued. Raises `NoCameraError`, `CameraRefusedError`.
        """


class NoCamera:
    """A `Camera` that is not there, for the reason given."""

    has_torch = False

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def switch_torch(self, *, is_on: bool) -> None:
        """Do nothing."""

    async def frames(self) -> AsyncGenerator[Frame]:
        """Raise `NoCameraError`."""
        frames: tuple[Frame, ...] = ()
        for frame in frames:
            yield frame
        raise NoCameraError(self._reason)
