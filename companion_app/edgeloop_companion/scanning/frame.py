"""One picture of a camera, as decoders and screens take it."""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_PIXELS = 4096 * 2160  # what a decoder looks through in under a second


@dataclass(frozen=True)
class Frame:
    """8-bit luminance, `width * height` bytes, row by row from the top without padding.

    It stands upright after `quarter_turns` turns of 90 degrees clockwise: a phone's sensor is built in sideways. Raises
    `ValueError` when the bytes are not those of a picture of that size, or there are more than `MAX_PIXELS`.
    """

    width: int
    height: int
    luminance: bytes = field(repr=False)
    quarter_turns: int = 0

    def __post_init__(self) -> None:
        if not (self.width > 0 and self.height > 0 and self.width * self.height <= MAX_PIXELS):
            raise ValueError(f"a frame of {self.width} x {self.height} pixels is none")
        if len(self.luminance) != self.width * self.height:
            raise ValueError(f"{len(self.luminance)} bytes are no frame of {self.width} x {self.height} pixels")
