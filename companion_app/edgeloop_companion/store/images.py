"""Images that a script reports, made safe for whatever draws them.

Who made a file says anything in it. So its header is read first and its size bounded; of a PNG the pixels are inflated here, to
exactly the bytes that the header promises; and only what is needed to draw it is passed on: no text, no profile, no second
picture. Formats: PNG (third edition, W3C) and JPEG (ITU-T T.81), baseline and progressive.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgeloop_shared.errors import InvalidInputError, TooLargeError

MAX_BYTES = 8 * 1024**2
MAX_SIDE = 4096
MAX_PIXELS = 4 * 1024**2
MAX_SCANS = 64

_PNG = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Of Adam7: first column and row, and the steps between them."""


@dataclass(frozen=True)
class SafeImage:
    """An image of `width` by `height` pixels; `data` is a whole file of its format."""

    format: Literal["png", "jpg"]
    width: int
    height: int
    data: bytes


def load_image(path: Path) -> SafeImage:
    """Return the image in a file. Blocks; raises what `safe_image` raises, and `OSError`."""
    with path.open("rb") as file:
        return safe_image(file.read(MAX_BYTES + 1))


def safe_image(data: bytes) -> SafeImage:
    """Return the image in `data`. Raises `InvalidInputError` for anything else, `TooLargeError` for one that is too large."""
    if len(data) > MAX_BYTES:
        raise TooLargeError(f"The image has more than {MAX_BYTES // 1024**2} MiB.")
    try:
        if data.startswith(_PNG):
            return _png(data)
        if data.startswith(b"\xff\xd8"):
            return _jpeg(data)
    except (struct.error, IndexError, zlib.error):
        raise InvalidInputError("The image is damaged.") from None
    raise InvalidInputError("The file is no image in PNG or JPEG.")


def _check_size(width: int, height: int) -> None:
    if not width or not height:
        raise InvalidInputError("The image has no pixels.")
    if width > MAX_SIDE or height > MAX_SIDE or width * height > MAX_PIXELS:
        raise TooLargeError(f"The image has {width} by {height} pixels, too many to show here.")


def _png(data: bytes) -> SafeImage:
    chunks: dict[bytes, bytes] = {}
    pixels: list[bytes] = []
    offset = len(_PNG)
    while True:
        length, kind = struct.unpack_from(">I4s", data, offset)
        content = data[offset + 8 : offset + 8 + length]
        (checksum,) = struct.unpack_from(">I", data, offset + 8 + length)
        if zlib.crc32(kind + content) != checksum:
            raise InvalidInputError("The image is damaged.")
        offset += 12 + length
        if (kind == b"IHDR") is bool(chunks):
            raise InvalidInputError("The image has no header, or two.")
        if kind == b"IDAT":
            pixels.append(content)
        elif kind in (b"IHDR", b"PLTE", b"tRNS"):
            chunks[kind] = content
        elif kind == b"IEND":
            break
    width, height, depth, colours, method, filtering, interlace = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    _check_size(width, height)
    palette, transparency = chunks.get(b"PLTE", b""), chunks.get(b"tRNS", b"")
    if depth not in _DEPTHS.get(colours, ()) or method or filtering or interlace > 1:
        raise InvalidInputError("The image has a header that PNG does not know.")
    if len(palette) % 3 or len(palette) > 768 or (colours == 3) > bool(palette) or len(transparency) > 256:
        raise InvalidInputError("The image has a palette that PNG does not know.")
    size = _inflated_size(width, height, depth * _CHANNELS[colours], interlaced=bool(interlace))
    inflater = zlib.decompressobj()
    inflated = inflater.decompress(b"".join(pixels), size + 1)
    if len(inflated) != size:
        raise InvalidInputError("The image has other pixels than its header says.")
    kept = [(kind, chunks[kind]) for kind in (b"IHDR", b"PLTE", b"tRNS") if kind in chunks]
    return SafeImage("png", width, height, _packed_png([*kept, (b"IDAT", zlib.compress(inflated, 1))]))


def _inflated_size(width: int, height: int, bits: int, *, interlaced: bool) -> int:
    passes = _PASSES if interlaced else ((0, 0, 1, 1),)
    size = 0
    for column, row, across, down in passes:
        columns, rows = -(-max(0, width - column) // across), -(-max(0, height - row) // down)
        if columns:
            size += rows * (1 + (columns * bits + 7) // 8)
    return size


def _packed_png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    packed = [_PNG]
    for kind, content in (*chunks, (b"IEND", b"")):
        packed.append(struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content)))
    return b"".join(packed)


def _jpeg(data: bytes) -> SafeImage:
    kept = [b"\xff\xd8"]
    size: tuple[int, int] | None = None
    scans, offset = 0, 2
    while True:
        if data[offset] != 0xFF:
            raise InvalidInputError("The image is damaged.")
        while data[offset] == 0xFF:  # any number of them may stand before a marker
            offset += 1
        marker = data[offset]
        offset += 1
        if marker == 0xD9:
            break
        (length,) = struct.unpack_from(">H", data, offset)
        segment = data[offset : offset + length]
        if length < 2 or len(segment) != length:
            raise InvalidInputError("The image is damaged.")
        offset += length
        if marker in (0xC0, 0xC1, 0xC2):
            _, depth, height, width, components = struct.unpack_from(">HBHHB", segment)
            if size is not None or depth != 8 or components not in (1, 3):
                raise InvalidInputError("The image is of a kind of JPEG that is not shown here.")
            _check_size(width, height)
            size = width, height
        elif marker == 0xDA:
            scans += 1
            if size is None or scans > MAX_SCANS:
                raise InvalidInputError("The image is of a kind of JPEG that is not shown here.")
        elif marker not in (0xC4, 0xDB, 0xDD, 0xE0, 0xEE):  # tables, restarts, JFIF and Adobe's colours
            if 0xE0 <= marker <= 0xFE:
                continue
            raise InvalidInputError("The image is of a kind of JPEG that is not shown here.")
        kept.append(bytes((0xFF, marker)) + segment)
        if marker == 0xDA:
            end = _end_of_scan(data, offset)
            kept.append(data[offset:end])
            offset = end
    if size is None or not scans:
        raise InvalidInputError("The image has no pixels.")
    return SafeImage("jpg", *size, b"".join((*kept, b"\xff\xd9")))


def _end_of_scan(data: bytes, offset: int) -> int:
    """Return where the marker stands that ends the compressed data at `offset`."""
    while True:
        offset = data.find(b"\xff", offset)
        if offset < 0 or offset + 1 >= len(data):
            raise InvalidInputError("The image is damaged.")
        if data[offset + 1] != 0 and not 0xD0 <= data[offset + 1] <= 0xD7:
            return offset
        offset += 2
