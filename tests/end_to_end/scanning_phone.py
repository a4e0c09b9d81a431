"""The app in a process of its own, and a person who scans a code with it: `python -m end_to_end.scanning_phone STATE FRAMES`.

Pictures in FRAMES are what the camera sees. Once paired, the app stays open until it is ended.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from companion_app.ui.shown_app import shown_app

from edgeloop_companion.scanning.folder_frames import FolderFrames


async def scan(state: Path, frames: Path) -> None:
    """Pair by the code that is seen, and stay."""
    camera = FolderFrames(frames, frame_seconds=0.02)
    async with shown_app(state.parent / "kivy", state, camera=camera) as phone:
        await phone.tap("Pair a computer")
        await phone.sees("Allow desk to run code here?")
        await phone.tap("Allow")
        await phone.sees("Paired with desk")
        await phone.tap("Done")
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(scan(Path(sys.argv[1]), Path(sys.argv[2])))
