"""QR codes as a camera sees them: pictures in a folder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import segno
from PIL import Image

from edgeloop_companion.store.observable import Observable

T = TypeVar("T")


def show_text(folder: Path, text: str, *, name: str = "code.png", turned: int = 0, inverted: bool = False) -> Path:
    """Put a picture of the QR code of `text`, on a grey ground, into `folder`."""
    folder.mkdir(exist_ok=True)
    rows = list(segno.make(text, error="m").matrix_iter(scale=4, border=4))
    pixels = bytes(255 if bool(module) == inverted else 0 for row in rows for module in row)
    code = Image.frombytes("L", (len(rows), len(rows)), pixels)
    picture = Image.new("L", (640, 480), 90)
    picture.paste(code, ((640 - code.width) // 2, (480 - code.height) // 2))
    hidden = folder / f".{name}"
    picture.rotate(turned, expand=True, fillcolor=90).save(hidden, format="PNG")
    return hidden.replace(folder / name)  # whole, or not at all


def show_nothing(folder: Path, *, name: str = "blank.png") -> Path:
    """Put a picture without a code into `folder`."""
    folder.mkdir(exist_ok=True)
    Image.linear_gradient("L").resize((640, 480)).save(folder / name)
    return folder / name


async def until(observable: Observable[T], holds: Callable[[T], bool], seconds: float = 30) -> T:
    """Wait until the value is as wanted, and return it."""
    found: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def look(value: T) -> None:
        if not found.done() and holds(value):
            found.set_result(value)

    stop = observable.watch(look)
    try:
        async with asyncio.timeout(seconds):
            return await found
    finally:
        stop()
