"""The companion app with a watch on its frames, in a process of its own: `python screen_parts.py STATE`.

It prints a line of JSON when its first frame is drawn, one with what it took while nothing happened, and one with the gaps between
frames while a run was at work; then it ends.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from edgeloop_companion.events import Event, Linked, RunChanged
from edgeloop_companion.state_lock import locked_state_folder
from edgeloop_companion.ui.kivy_setup import WindowSize, set_up_kivy
from edgeloop_shared import event_loop
from edgeloop_shared.models import RunState

SETTLE_SECONDS = 5.0
IDLE_SECONDS = 20.0


class Watch:
    """Remembers when frames came while a run was at work, and what the thread that draws had computed by then, in seconds."""

    def __init__(self) -> None:
        self.linked, self.ended = asyncio.Event(), asyncio.Event()
        self.frames: list[tuple[float, float]] = []
        self._is_on = False

    def hear(self, event: Event) -> None:
        """Follow link and run."""
        if isinstance(event, Linked):
            self.linked.set()
        if isinstance(event, RunChanged):
            self._is_on = event.state is RunState.RUNNING
            if event.state.is_terminal:
                self.ended.set()

    def frame(self, _: float) -> None:
        """Take a frame."""
        if self._is_on:
            self.frames.append((time.perf_counter(), time.thread_time()))


def say(**values: Any) -> None:
    """Print one line."""
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


async def main(state: Path) -> None:
    """Show the app, and measure."""
    from kivy.clock import Clock
    from kivy.core.window import Window

    from edgeloop_companion.ui.app import opened
    from edgeloop_companion.ui.cameras import this_camera

    watch = Watch()
    with locked_state_folder(state) as state_folder:
        async with opened(state_folder, camera=this_camera(), name="phone") as (app, parts):
            parts.events.listen(watch.hear)
            shown = asyncio.Event()
            Window.bind(on_flip=lambda _: shown.set())
            running = asyncio.create_task(app.async_run("asyncio"))
            await shown.wait()
            say(shown=time.time())
            app.root.navigation.go("tasks")
            await watch.linked.wait()
            await asyncio.sleep(SETTLE_SECONDS)
            begun, used = time.perf_counter(), time.process_time()
            await asyncio.sleep(IDLE_SECONDS)
            say(idle=(time.process_time() - used) / (time.perf_counter() - begun))
            Clock.schedule_interval(watch.frame, 0)
            await watch.ended.wait()
            pairs = list(itertools.pairwise(watch.frames))
            say(
                gaps=[after[0] - before[0] for before, after in pairs],
                computed=[after[1] - before[1] for before, after in pairs],
            )
            app.stop()
            await running


if __name__ == "__main__":
    os.environ.update(SDL_VIDEODRIVER="offscreen", LIBGL_ALWAYS_SOFTWARE="1")
    folder = Path(sys.argv[1])
    set_up_kivy(folder / "kivy", WindowSize())
    event_loop.run(main(folder))
