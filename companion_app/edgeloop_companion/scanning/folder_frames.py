"""A camera that shows the pictures in a folder, over and over: for tests, demonstrations and machines without a camera."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

from PIL import Image

from edgeloop_companion.scanning.camera import NoCameraError
from edgeloop_companion.scanning.frame import Frame

FRAME_SECONDS = 1 / 15
MAX_SIDE = 1920  # larger pictures are made smaller
MAX_FILE_BYTES = 32 * 1024**2
MAX_FILE_PIXELS = 50_000_000
_FORMATS = ("PNG", "JPEG")


class FolderFrames:
    """A `Camera`. The files are taken in the order of their names, and looked for anew after the last one.

    What is no picture, or a picture out of bounds, is passed over like a frame that was spoiled.
    """

    has_torch = True

    def __init__(self, folder: Path, *, frame_seconds: float = FRAME_SECONDS) -> None:
        self._folder = folder
        self._frame_seconds = frame_seconds
        self.torch_is_on = False

    def switch_torch(self, *, is_on: bool) -> None:
        """Note it."""
        self.torch_is_on = is_on

    async def frames(self) -> AsyncGenerator[Frame]:
        """Yield the pictures. Raises `NoCameraError` without a folder."""
        try:
            while True:
                for file in await asyncio.to_thread(self._files):
                    if (frame := await asyncio.to_thread(read_frame, file)) is not None:
                        yield frame
                    await asyncio.sleep(self._frame_seconds)
                await asyncio.sleep(self._frame_seconds)
        finally:
            self.torch_is_on = False

    def _files(self) -> list[Path]:
        try:
            return sorted(path for path in self._folder.iterdir() if path.suffix in (".png", ".jpg", ".jpeg"))
        except OSError as error:
            raise NoCameraError(f"The folder {self._folder} cannot be read: {error.strerror}.") from None


def read_frame(file: Path) -> Frame | None:
    """Return the PNG or JPEG picture in `file` as a frame, at most `MAX_SIDE` pixels long; None for what is none.

    The size is judged by the head, before anything is unpacked.
    """
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            return None
        with Image.open(file, formats=_FORMATS) as image:
            if image.width * image.height > MAX_FILE_PIXELS:
                return None
            grey = image.convert("L")
    except Exception:
        # Pillow raises what comes up in its readers: OSError, SyntaxError, ValueError, MemoryError for a damaged head.
        return None
    grey.thumbnail((MAX_SIDE, MAX_SIDE))
    return Frame(grey.width, grey.height, grey.tobytes())
