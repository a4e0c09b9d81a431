"""Images that scripts report: what is shown of them, and what is refused."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable

import pytest
from PIL import Image

from edgeloop_companion.store.images import MAX_BYTES, MAX_SIDE, safe_image
from edgeloop_shared.errors import InvalidInputError, TooLargeError

PIXELS = [(x * 20 % 256, y * 30 % 256, (x + y) % 256) for y in range(9) for x in range(13)]


def picture(mode: str = "RGB") -> Image.Image:
    image = Image.new("RGB", (13, 9))
    image.putdata(PIXELS)
    return image.convert(mode)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, inflated: bytes, *more: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            *more,
            chunk(b"IDAT", zlib.compress(inflated)),
            chunk(b"IEND", b""),
        ]
    )


def colours(data: bytes) -> list[object]:
    with Image.open(io.BytesIO(data)) as image:
        return list(image.convert("RGBA").getdata())


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16"])
def test_an_image_in_png_stays_as_it_is(mode: str) -> None:
    data = saved(picture("L").convert("I;16") if mode == "I;16" else picture(mode), "PNG")
    image = safe_image(data)
    assert (image.format, image.width, image.height) == ("png", 13, 9)
    assert colours(image.data) == colours(data)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"comment": b"\xff\xd9"}])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_an_image_in_jpeg_stays_as_it_is(mode: str, options: dict[str, object]) -> None:
    data = saved(picture(mode), "JPEG", **options)
    image = safe_image(data)
    assert (image.format, image.width, image.height) == ("jpg", 13, 9)
    assert colours(image.data) == colours(data)


def test_what_is_not_needed_to_draw_an_image_is_left_out() -> None:
    text = chunk(b"zTXt", b"bomb\0\0" + zlib.compress(bytes(10_000_000)))
    profile = chunk(b"iCCP", b"lie\0\0" + zlib.compress(bytes(1000)))
    image = safe_image(png(2, 2, b"\0\1\2\0\3\4", text, profile) + b"and more")
    assert len(image.data) < 100
    assert colours(image.data) == [(1, 1, 1, 255), (2, 2, 2, 255), (3, 3, 3, 255), (4, 4, 4, 255)]
    photo = saved(picture(), "JPEG", exif=b"Exif\0\0secret place", comment=b"secret words")
    assert b"secret" in photo
    assert b"secret" not in safe_image(photo + b"secret end").data


def unlike() -> Iterable[tuple[str, bytes, type[Exception]]]:
    good = png(2, 2, b"\0\1\2\0\3\4")
    yield "nothing", b"", InvalidInputError
    yield "another format", saved(picture(), "GIF"), InvalidInputError
    yield "a header only", good[:33], InvalidInputError
    yield "a wrong checksum", good[:40] + b"x" + good[41:], InvalidInputError
    yield "two headers", png(2, 2, b"\0\1\2\0\3\4", good[8:33]), InvalidInputError
    yield "no pixels", png(0, 2, b""), InvalidInputError
    yield "fewer pixels than the header says", png(2, 3, b"\0\1\2\0\3\4"), InvalidInputError
    yield "more pixels than the header says", png(1, 1, bytes(10_000_000)), InvalidInputError
    yield "too wide", png(MAX_SIDE + 1, 1, bytes(MAX_SIDE + 2)), TooLargeError
    yield "too many pixels", png(MAX_SIDE, MAX_SIDE, b""), TooLargeError
    yield "too many bytes", good + bytes(MAX_BYTES), TooLargeError
    photo = saved(picture(), "JPEG")
    frame = photo.index(b"\xff\xc0")
    yield "JPEG cut off", photo[:-20], InvalidInputError
    yield "JPEG with two frames", photo[:frame] + photo[frame : frame + 19] + photo[frame:], InvalidInputError
    huge = photo[: frame + 5] + struct.pack(">HH", 65535, 65535) + photo[frame + 9 :]
    yield "JPEG that lies", huge, TooLargeError
    yield "JPEG in other colours", saved(picture("CMYK"), "JPEG"), InvalidInputError
    scan = photo.index(b"\xff\xda")
    yield "JPEG with many scans", photo[:-2] + photo[scan:-2] * 100 + b"\xff\xd9", InvalidInputError


@pytest.mark.parametrize(("data", "error"), [pytest.param(*case, id=name) for name, *case in unlike()])
def test_anything_else_is_refused(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        safe_image(data)
