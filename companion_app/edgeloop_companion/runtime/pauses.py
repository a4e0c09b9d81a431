"""When a debugger holds the script, and where: told to whoever shows the run on the device itself."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Say = Callable[..., None]
"""Says a word of the worker, see `runtime.worker`."""


class Pauses:
    """Follows what pydevd tells its client. `folder` holds the script's files."""

    def __init__(self, folder: Path, say: Say) -> None:
        self._folder = f"{folder}/"
        self._say = say
        self._is_paused = False

    def follow(self, message: Mapping[str, Any]) -> None:
        """Take a message of pydevd's, in whatever thread it is sent."""
        match message.get("event"):
            case "stopped":
                self._is_paused = True
                file, line = self._place()
                self._say(event="paused", file=file, line=line)
            case "continued":
                self.end()

    def end(self) -> None:
        """The script goes on: it was let go, or its debugger is gone."""
        if self._is_paused:
            self._is_paused = False
            self._say(event="resumed")

    def _place(self) -> tuple[str | None, int | None]:
        """Return the innermost line of the script's own files in a thread that is held."""
        from _pydevd_bundle.pydevd_additional_thread_info import set_additional_thread_info
        from _pydevd_bundle.pydevd_constants import STATE_SUSPEND

        frames = sys._current_frames()
        for thread in threading.enumerate():
            if set_additional_thread_info(thread).pydev_state != STATE_SUSPEND:
                continue
            frame = frames.get(thread.ident or 0)
            while frame is not None:
                if frame.f_code.co_filename.startswith(self._folder):
                    return frame.f_code.co_filename[len(self._folder) :], frame.f_lineno
                frame = frame.f_back
        return None, None
