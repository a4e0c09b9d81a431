"""Finding the codes in a frame."""

from __future__ import annotations

from typing import Protocol

from edgeloop_companion.scanning.frame import Frame

MAX_CODES = 8  # in one frame


class Decoder(Protocol):
    """How QR codes are read."""

    def decode(self, frame: Frame) -> tuple[str, ...]:
        """Return the texts of the QR codes in `frame`, at most `MAX_CODES`. Blocks, for up to a second: for a thread."""
