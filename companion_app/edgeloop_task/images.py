"""Images that a script shows: on the phone it runs on, on the computer that asked for it, or in a folder of a PC."""

from __future__ import annotations

import os
import struct
import tempfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeloop_shared.errors import InvalidInputError
from edgeloop_task.reporting import report_file

_COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}
"""PNG's types of colour by channels: grey, grey with alpha, RGB, RGBA."""


def report_image(image: Any, name: str | None = None) -> None:
    """Report an image as a file, which the edgeloop app shows beside the task.

    `image` is an array of height x width pixels (grey) or height x width x channels (1 to 4: grey, grey with alpha, RGB, RGBA) of
    `uint8`, booleans or floats in 0..1, or the path of a PNG or JPEG file. `name` may have folders (`inputs/7.png`); by default it
    is `image.png`, or the file's own. Raises `InvalidInputError` for anything else, `BundleError` for a name that leads elsewhere.
    """
    if isinstance(image, str | os.PathLike):
        report_file(image, name)
        return
    name = "image.png" if name is None else name
    if PurePosixPath(name).suffix.lower() != ".png":
        raise InvalidInputError(
            f"The image {name!r} would be written as PNG.", hint="Give it a name that ends in .png."
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "image.png")
        path.write_bytes(png(_pixels(image)))
        report_file(path, name)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Return the PNG file of height x width x channels bytes (PNG, third edition, W3C; rows without a filter)."""
    height, width, channels = pixels.shape
    rows = np.zeros((height, 1 + width * channels), np.uint8)
    rows[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOURS[channels], 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b""))
    packed = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def _pixels(image: Any) -> NDArray[np.uint8]:
    array = np.asarray(image)
    if array.ndim == 2:
        array = array[:, :, np.newaxis]
    if array.ndim != 3 or array.shape[2] not in _COLOURS or not array.size:
        raise InvalidInputError(
            f"An array of shape {list(array.shape)} is no image.",
            hint="Report height x width, or height x width x channels with 1 to 4 channels; transpose a tensor in NCHW first.",
        )
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind not in "bf":
        raise InvalidInputError(
            f"Pixels of {array.dtype} are not shown.", hint="Report uint8 in 0..255 or floats in 0..1."
        )
    if not np.isfinite(array).all():
        raise InvalidInputError(
            "The image holds NaN or infinity.", hint="Look at where it comes from, or use np.nan_to_num."
        )
    return (np.clip(array.astype(np.float32), 0, 1) * 255 + 0.5).astype(np.uint8)
