"""Scanning on Android, against an Android of Python objects: which calls are made, and what is made of the answers.

The names are those of ZXing's and python-for-android's own references.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

import edgeloop_companion.scanning
from edgeloop_companion.scanning.decoder import Decoder
from edgeloop_companion.scanning.frame import Frame
from edgeloop_companion.scanning.zxing_decoder import ZxingDecoder

from .android_world import AndroidWorld, JavaException, add_module

FRAME = Frame(4, 2, bytes(range(8)))


@dataclass
class PlanarYUVLuminanceSource:
    yuv: bytes
    data_width: int
    data_height: int
    left: int
    top: int
    width: int
    height: int
    reverse_horizontal: bool


@dataclass
class HybridBinarizer:
    source: PlanarYUVLuminanceSource


@dataclass
class BinaryBitmap:
    binarizer: HybridBinarizer


@dataclass
class Zxing:
    """ZXing's Java core: what it was given, and what it finds."""

    texts: tuple[str, ...] = ()
    seen: list[BinaryBitmap] = field(default_factory=list)
    hints: dict[str, object] = field(default_factory=dict)

    def add_to(self, world: AndroidWorld) -> None:
        world.classes |= {
            "com.google.zxing.PlanarYUVLuminanceSource": PlanarYUVLuminanceSource,
            "com.google.zxing.common.HybridBinarizer": HybridBinarizer,
            "com.google.zxing.BinaryBitmap": BinaryBitmap,
            "com.google.zxing.multi.qrcode.QRCodeMultiReader": lambda: SimpleNamespace(decodeMultiple=self.decode),
            "com.google.zxing.DecodeHintType": SimpleNamespace(TRY_HARDER="TRY_HARDER"),
            "java.util.HashMap": lambda: SimpleNamespace(put=self.hints.__setitem__),
        }

    def decode(self, bitmap: BinaryBitmap, hints: Any) -> list[Any]:
        assert isinstance(bitmap, BinaryBitmap)
        assert self.hints == {"TRY_HARDER": True}
        self.seen.append(bitmap)
        if not self.texts:
            raise JavaException("com.google.zxing.NotFoundException")
        return [SimpleNamespace(getText=lambda text=text: text) for text in self.texts]


@dataclass
class Permissions:
    """`android.permissions` of python-for-android. It answers in a thread of its own, as there."""

    is_granted: bool = False
    answer: tuple[bool, ...] = (True,)
    asked: list[Sequence[str]] = field(default_factory=list)

    def check_permission(self, permission: str) -> bool:
        assert permission == "android.permission.CAMERA"
        return self.is_granted

    def request_permissions(self, permissions: list[str], callback: Callable[..., None]) -> None:
        self.asked.append(permissions)
        Thread(target=callback, args=(permissions, list(self.answer))).start()


@pytest.fixture
def android(monkeypatch: pytest.MonkeyPatch) -> Iterator[AndroidWorld]:
    def forget() -> None:  # modules hold what they have imported of one Android
        for name in ("android_decoder", "android_permission"):
            sys.modules.pop(f"edgeloop_companion.scanning.{name}", None)
            vars(edgeloop_companion.scanning).pop(name, None)

    world = AndroidWorld()
    world.install(monkeypatch)
    forget()
    yield world
    forget()


def decoder_with(android: AndroidWorld, zxing: Zxing) -> Decoder:
    zxing.add_to(android)
    from edgeloop_companion.scanning.android_decoder import AndroidDecoder

    return AndroidDecoder()


def test_a_frames_luminance_is_handed_to_zxing_as_it_is(android: AndroidWorld) -> None:
    zxing = Zxing(("one", "two"))
    assert decoder_with(android, zxing).decode(FRAME) == ("one", "two")
    source = PlanarYUVLuminanceSource(FRAME.luminance, 4, 2, 0, 0, 4, 2, False)
    assert zxing.seen == [BinaryBitmap(HybridBinarizer(source))]


def test_a_frame_without_a_code_holds_no_text_and_the_thread_leaves_java_again(android: AndroidWorld) -> None:
    decoder = decoder_with(android, Zxing())
    android.attached = 1
    assert decoder.decode(FRAME) == ()
    assert android.attached == 0


def test_both_decoders_bound_what_they_tell_of_one_frame(android: AndroidWorld) -> None:
    many = decoder_with(android, Zxing(tuple(map(str, range(100))))).decode(FRAME)
    assert len(many) == 8
    decoders: list[Decoder] = [ZxingDecoder()]
    assert decoders[0].decode(FRAME) == ()


@pytest.mark.parametrize(
    ("permissions", "expected", "asks"),
    [
        (Permissions(is_granted=True), True, 0),
        (Permissions(answer=(True,)), True, 1),
        (Permissions(answer=(False,)), False, 1),
        (Permissions(answer=()), False, 1),  # the question was interrupted
    ],
    ids=["granted before", "granted", "refused", "interrupted"],
)
async def test_the_user_is_asked_for_the_camera_unless_it_is_granted(
    android: AndroidWorld, monkeypatch: pytest.MonkeyPatch, permissions: Permissions, expected: bool, asks: int
) -> None:
    add_module(
        monkeypatch,
        "android.permissions",
        Permission=SimpleNamespace(CAMERA="android.permission.CAMERA"),
        check_permission=permissions.check_permission,
        request_permissions=permissions.request_permissions,
    )
    from edgeloop_companion.scanning.android_permission import ask_for_camera

    async with asyncio.timeout(30):
        assert await ask_for_camera() is expected
    assert permissions.asked == [["android.permission.CAMERA"]] * asks
