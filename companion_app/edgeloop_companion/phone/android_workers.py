"""Workers on Android: each in a service with a process of its own, which Android lets go on while the app is in the background.

python-for-android declares a fixed number of such services, one per *slot* (`worker0`, `worker1`, ... in buildozer.spec, all with
the same entry script, which calls `android_worker_service.serve`). A service that works shows a notification. Never run on a phone.

Permissions that this needs: `FOREGROUND_SERVICE` with the services' type, `POST_NOTIFICATIONS`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import jnius
from android.permissions import Permission, check_permission, request_permissions

from edgeloop_companion.phone.android_worker_service import ServiceOrder
from edgeloop_companion.runtime.run_folder import RunFolder
from edgeloop_companion.runtime.workers import ProcessStarter
from edgeloop_shared.codec import encode_json
from edgeloop_shared.process_lock import is_held

SLOTS = 4
AGAIN_SECONDS = 4.0  # in which most phones load Python and this package from cold
ATTEMPTS = 8
_POLL_SECONDS = 0.05
TITLE = "edgeloop"


class ServiceStarter(ProcessStarter):
    """A `WorkerStarter`: a run's folder tells of its worker what it tells of one that is a process of ours.

    `slots` is the folder of the slots' locks, each held by its service for its life: so a companion that is started anew
    knows which are taken. `activity` starts them.
    """

    def __init__(self, slots: Path, activity: Any, *, again_seconds: float = AGAIN_SECONDS) -> None:
        self._slots = slots
        self._activity = activity
        self._again_seconds = again_seconds
        package = activity.getPackageName()
        self._services = [jnius.autoclass(f"{package}.ServiceWorker{number}") for number in range(SLOTS)]
        self._order = list(range(SLOTS))  # the slot that was used last comes last
        self._starting = asyncio.Lock()
        self._may_ask = True

    async def start(self, folder: RunFolder) -> None:
        """Start the service of a free slot, one run after the other: until a service holds its lock, its slot looks free.

        A service whose process has not quite ended ignores its start: soon the next free slot is tried as well; of two that
        begin, one gets the run. Raises `OSError`.
        """
        async with self._starting:
            self._ask_for_notifications()
            await asyncio.to_thread(self._slots.mkdir, mode=0o700, parents=True, exist_ok=True)
            script = (await asyncio.to_thread(folder.order)).script
            for _ in range(ATTEMPTS):
                number = await self._until_free()
                self._order.remove(number)
                self._order.append(number)
                order = ServiceOrder(str(folder.root), str(self._lock(number)))
                try:
                    # Icon, title and text of the notification, and what the service's process finds in its environment.
                    self._services[number].start(self._activity, "", TITLE, script, encode_json(order).decode())
                except jnius.JavaException as error:
                    raise OSError(f"Android starts no service: {error}") from error
                if await self._has_begun(folder):
                    return
            raise OSError("no worker service has begun its work")

    def _ask_for_notifications(self) -> None:
        """Ask the phone's user once, without waiting: services work without, and Android then shows nothing of them."""
        if self._may_ask and not check_permission(Permission.POST_NOTIFICATIONS):
            request_permissions([Permission.POST_NOTIFICATIONS])
        self._may_ask = False

    def _lock(self, number: int) -> Path:
        return self._slots / f"{number}.lock"

    async def _until_free(self) -> int:
        """Wait for a free slot: that a run has ended is known a moment before its service ends. Raises `OSError`."""
        try:
            async with asyncio.timeout(self._again_seconds * ATTEMPTS):
                while (number := await asyncio.to_thread(self._free_slot)) is None:  # noqa: ASYNC110 - locks alone tell
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise OSError("all worker services are at work") from None
        return number

    def _free_slot(self) -> int | None:
        return next((number for number in self._order if not is_held(self._lock(number))), None)

    async def _has_begun(self, folder: RunFolder) -> bool:
        """Wait a little for the run to have begun; return whether it has."""
        try:
            async with asyncio.timeout(self._again_seconds):
                while not await asyncio.to_thread(lambda: folder.has_begun):  # noqa: ASYNC110 - a file alone tells
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            return False
        return True
