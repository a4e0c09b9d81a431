"""Asking Android's user for the camera, by python-for-android's module `android`. It has never run on a phone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from android.permissions import Permission, check_permission, request_permissions


async def ask_for_camera() -> bool:
    """Return whether this app may use the camera. Android asks its user once or twice, and answers by itself from then on."""
    if check_permission(Permission.CAMERA):
        return True
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[bool] = loop.create_future()

    def answer(is_granted: bool) -> None:
        if not answered.done():
            answered.set_result(is_granted)

    def on_answer(_permissions: Sequence[str], grants: Sequence[bool]) -> None:  # in a thread of Android's
        loop.call_soon_threadsafe(answer, bool(grants) and all(grants))

    request_permissions([Permission.CAMERA], on_answer)
    return await answered
