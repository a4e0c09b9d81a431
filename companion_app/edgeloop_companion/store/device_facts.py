"""What can be told of this device: what it is, how it is, what MNN can do on it and how much of its storage blobs take."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from edgeloop_companion.phone.vitals import VitalsReader
from edgeloop_companion.runtime.helper import answer_of
from edgeloop_companion.runtime.storage import BlobStore
from edgeloop_companion.store.observable import Observable
from edgeloop_shared.codec import decode_json
from edgeloop_shared.device_states import Vitals
from edgeloop_shared.errors import EdgeloopError, StorageError

REFRESH_SECONDS = 5.0
MAX_ANSWER_BYTES = 64 * 1024


@dataclass(frozen=True)
class Engine:
    """What MNN says of itself, or why it does not."""

    version: str = field(default="", metadata={"max_length": 64})
    backends: tuple[str, ...] = field(default=(), metadata={"max_length": 64})
    problem: str = ""


@dataclass(frozen=True)
class DeviceFacts:
    """None is what has not been asked yet."""

    vitals: Vitals | None = None
    blob_bytes: int | None = None
    engine: Engine | None = None


class DeviceFactsStore:
    """The facts, kept up to date while `run` runs. `clear_blobs` removes what no run needs, and returns how many bytes."""

    def __init__(
        self,
        vitals: VitalsReader,
        blobs: BlobStore,
        clear_blobs: Callable[[], Awaitable[int]],
        ask_engine: Callable[[], Awaitable[Engine]],
    ) -> None:
        self._vitals = vitals
        self._blobs = blobs
        self._clear_blobs = clear_blobs
        self._ask_engine = ask_engine
        self.facts = Observable(DeviceFacts())

    async def run(self) -> None:
        """Look every few seconds, until cancelled; MNN is asked once."""
        while True:
            await self.refresh()
            if self.facts.value.engine is None:
                self._tell(engine=await self._ask_engine())
            await asyncio.sleep(REFRESH_SECONDS)

    async def refresh(self) -> None:
        """Look now."""
        vitals, used = await asyncio.to_thread(lambda: (self._vitals.read(), self._blobs.used_bytes()))
        self._tell(vitals=vitals, blob_bytes=used)

    async def clear(self) -> int:
        """Remove the blobs that no run needs; return how many bytes that was. Raises `EdgeloopError`."""
        try:
            freed = await self._clear_blobs()
        except OSError as error:
            raise StorageError(f"The storage cannot be cleared: {error.strerror}.") from error
        await self.refresh()
        return freed

    def _tell(self, **changes: object) -> None:
        self.facts.set(replace(self.facts.value, **changes))  # type: ignore[arg-type]


async def ask_engine() -> Engine:
    """Ask MNN in a process of its own: the app never loads it, and a backend whose driver is broken may take down who asks."""
    try:
        answer = await answer_of("edgeloop_task.available_backends")
        return decode_json(Engine, answer, max_bytes=MAX_ANSWER_BYTES)
    except EdgeloopError as error:
        return Engine(problem=error.message)
