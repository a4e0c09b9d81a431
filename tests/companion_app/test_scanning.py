"""Scanning: what is read off frames, and what happens with those that are spoiled, huge or too many."""

from __future__ import annotations

import asyncio
import struct
import threading
import zlib
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from PIL import Image

from edgeloop_companion.scanning.camera import CameraRefusedError, NoCamera, NoCameraError
from edgeloop_companion.scanning.folder_frames import MAX_SIDE, FolderFrames, read_frame
from edgeloop_companion.scanning.frame import MAX_PIXELS, Frame
from edgeloop_companion.scanning.scan import scan
from edgeloop_companion.scanning.zxing_decoder import ZxingDecoder

from .shown_codes import show_nothing, show_text

TEXT = f"EDGELOOP://P1/40123/192.168.1.7+10.0.0.7/{'A' * 52}/{'B' * 26}"


def png(width: int, height: int, data: bytes) -> bytes:
    """A PNG whose head says what it likes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


async def first_text(folder: Path) -> str:
    """Scan the pictures in `folder` until there is a code in one."""
    async with asyncio.timeout(30):
        return await scan(
            FolderFrames(folder, frame_seconds=0.001),
            ZxingDecoder(),
            show=lambda _: None,
            take=lambda texts: texts[0] if texts else None,
        )


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("turned", [0, 90, 180, 270, 20])
def test_a_code_is_read_however_it_is_held(tmp_path: Path, turned: int, inverted: bool) -> None:
    frame = read_frame(show_text(tmp_path, TEXT, turned=turned, inverted=inverted))
    assert frame is not None
    assert ZxingDecoder().decode(frame) == (TEXT,)


def test_in_a_frame_without_a_code_nothing_is_read(tmp_path: Path) -> None:
    frame = read_frame(show_nothing(tmp_path))
    assert frame is not None
    assert ZxingDecoder().decode(frame) == ()


def test_all_codes_of_a_frame_are_read_but_not_more_than_a_few(tmp_path: Path) -> None:
    codes = [Image.open(show_text(tmp_path, f"CODE {number}")).resize((320, 240)) for number in range(12)]
    sheet = Image.new("L", (4 * 320, 3 * 240))
    for number, code in enumerate(codes):
        sheet.paste(code, (number % 4 * 320, number // 4 * 240))
    found = ZxingDecoder().decode(Frame(sheet.width, sheet.height, sheet.tobytes()))
    assert len(found) == 8
    assert set(found) <= {f"CODE {number}" for number in range(12)}


@pytest.mark.parametrize(
    ("width", "height", "size"), [(0, 0, 0), (4, 4, 15), (4, 4, 17), (-4, -4, 16), (MAX_PIXELS, 2, 2 * MAX_PIXELS)]
)
def test_bytes_that_are_no_picture_of_that_size_are_no_frame(width: int, height: int, size: int) -> None:
    with pytest.raises(ValueError, match="frame of"):
        Frame(width, height, bytes(size))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no picture",
        png(100_000, 100_000, b""),  # ten gigabytes, says its head
        png(640, 480, bytes(1000)),  # and then there are two rows
        png(640, 480, bytes(481 * 640))[:-30],
        b"\xff\xd8\xff\xe0" + bytes(100),
        b"GIF89a" + bytes(100),
    ],
    ids=["empty", "text", "huge", "too short", "truncated", "damaged JPEG", "another format"],
)
async def test_a_spoiled_picture_is_passed_over(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.png").write_bytes(data)
    assert read_frame(tmp_path / "a.png") is None
    show_text(tmp_path, TEXT, name="b.png")
    assert await first_text(tmp_path) == TEXT


def test_a_large_photograph_is_made_smaller(tmp_path: Path) -> None:
    code = Image.open(show_text(tmp_path, TEXT)).resize((4000, 3000))
    code.convert("RGB").save(tmp_path / "photo.jpg")
    frame = read_frame(tmp_path / "photo.jpg")
    assert frame is not None
    assert max(frame.width, frame.height) == MAX_SIDE
    assert ZxingDecoder().decode(frame) == (TEXT,)


async def test_a_picture_that_comes_while_it_scans_is_seen(tmp_path: Path) -> None:
    show_nothing(tmp_path)
    scanning = asyncio.create_task(first_text(tmp_path))
    await asyncio.sleep(0)
    await asyncio.to_thread(show_text, tmp_path, TEXT)
    assert await scanning == TEXT


class Counting:
    """A camera that counts its frames, and a decoder that stands still on the first until it may go on."""

    has_torch = False

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.decoded: list[int] = []
        self.may_go_on = threading.Event()
        self.is_open = False

    def switch_torch(self, *, is_on: bool) -> None:
        raise AssertionError

    async def frames(self) -> AsyncGenerator[Frame]:
        self.is_open = True
        try:
            for number in range(100):
                self.seen.append(number)
                yield Frame(1, 1, bytes([number]))
                await asyncio.sleep(0)
            self.may_go_on.set()
            while True:
                yield Frame(1, 1, b"\xff")
                await asyncio.sleep(0.001)
        finally:
            self.is_open = False

    def decode(self, frame: Frame) -> tuple[str, ...]:
        assert self.may_go_on.wait(30)
        self.decoded.append(frame.luminance[0])
        return ("end",) if frame.luminance == b"\xff" else ()


async def test_frames_that_come_while_one_is_decoded_are_passed_over_and_the_screen_sees_all() -> None:
    world, shown = Counting(), []

    def show(frame: Frame) -> None:
        shown.append(frame.luminance[0])

    assert await scan(world, world, show=show, take=lambda texts: texts or None) == ("end",)
    assert shown[:100] == world.seen == list(range(100))
    assert len(world.decoded) < 10
    assert not world.is_open


def found_nothing(_: tuple[str, ...]) -> str | None:
    return None


async def test_who_gives_up_scanning_closes_the_camera() -> None:
    world = Counting()
    world.may_go_on.set()
    begun = asyncio.Event()
    scanning = asyncio.create_task(scan(world, world, show=lambda _: begun.set(), take=found_nothing))
    await begun.wait()
    scanning.cancel()
    with pytest.raises(asyncio.CancelledError):
        await scanning
    assert not world.is_open


async def test_without_a_camera_it_says_why() -> None:
    with pytest.raises(NoCameraError, match="no camera here"):
        await scan(NoCamera("no camera here"), ZxingDecoder(), show=lambda _: None, take=lambda _: None)


async def test_a_folder_that_is_not_there_is_no_camera(tmp_path: Path) -> None:
    with pytest.raises(NoCameraError, match="cannot be read"):
        await first_text(tmp_path / "missing")


async def test_a_camera_that_goes_ends_the_scanning() -> None:
    class Unplugged(Counting):
        async def frames(self) -> AsyncGenerator[Frame]:
            yield Frame(1, 1, b"\0")

    world = Unplugged()
    world.may_go_on.set()
    with pytest.raises(NoCameraError, match="gone"):
        await scan(world, world, show=lambda _: None, take=lambda _: None)


async def test_a_camera_that_may_not_be_used_ends_the_scanning() -> None:
    class Forbidden(Counting):
        async def frames(self) -> AsyncGenerator[Frame]:
            async for frame in super().frames():
                if not self.may_go_on.is_set():
                    raise CameraRefusedError("not allowed")
                yield frame

    with pytest.raises(CameraRefusedError):
        await scan(Forbidden(), ZxingDecoder(), show=lambda _: None, take=lambda _: None)
