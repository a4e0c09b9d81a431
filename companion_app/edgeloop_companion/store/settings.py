"""What the user of this device has chosen, kept in one file of the state folder."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from edgeloop_companion.runtime.storage import write_private
from edgeloop_companion.store.observable import Observable
from edgeloop_shared.codec import decode, decode_json, encode, encode_json
from edgeloop_shared.errors import EdgeloopError, MessageError, SettingsError
from edgeloop_shared.models import NAME_PATTERN

MAX_FILE_BYTES = 64 * 1024
MAX_ADDRESS = 300


class Language(StrEnum):
    """The languages of the screens, by their BCP 47 tags."""

    ENGLISH = "en"
    CHINESE = "zh"


class Appearance(StrEnum):
    """How bright the screens are."""

    LIGHT = "light"
    DARK = "dark"


@dataclass(frozen=True)
class Settings:
    """All choices. Each has a default, so that a file of an older version can be read."""

    name: str = field(metadata={"min_length": 1, "max_length": 64, "pattern": NAME_PATTERN})
    language: Language = Language.ENGLISH
    appearance: Appearance = Appearance.LIGHT
    keeps_screen_on: bool = False
    is_announced: bool = True
    """Whether computers in the same network find this device by mDNS."""
    last_address: str = field(default="", metadata={"max_length": MAX_ADDRESS})
    """The computer's address that was typed last, for the next pairing."""


@dataclass(frozen=True)
class _File:
    version: int = field(metadata={"ge": 1, "le": 1})
    settings: Settings


class SettingsStore:
    """The settings. A change holds at once, and is written in the background by whoever has opened the store."""

    def __init__(self, path: Path, settings: Settings, problem: EdgeloopError | None) -> None:
        self._path = path
        self._changed = asyncio.Event()
        self._is_closing = False
        self._written = settings
        self.settings = Observable(settings)
        self.problem = Observable(problem)
        """Why the file could not be read or written last, if so."""

    def change(self, **changes: Any) -> None:
        """Change some of the fields of `Settings`. Raises `InvalidInputError` for a value that its field does not take."""
        self.settings.set(decode(Settings, encode(replace(self.settings.value, **changes))))
        self._changed.set()

    async def run(self) -> None:
        """Write what has changed, one after the other, until `close` and whatever was changed before that."""
        while not self._is_closing or self.settings.value != self._written:
            await self._changed.wait()
            self._changed.clear()
            if self.settings.value != self._written:
                self._written = self.settings.value
                await self._write(self._written)

    def close(self) -> None:
        """Let `run` end."""
        self._is_closing = True
        self._changed.set()

    async def _write(self, settings: Settings) -> None:
        try:
            await asyncio.to_thread(write_private, self._path, encode_json(_File(1, settings)))
        except OSError as error:
            self.problem.set(
                SettingsError(
                    f"The settings cannot be written to {self._path}: {error.strerror}.",
                    hint="Free some space; what you have chosen is lost when the app ends.",
                )
            )
        else:
            self.problem.set(None)


@contextlib.asynccontextmanager
async def opened_settings(path: Path, defaults: Settings) -> AsyncIterator[SettingsStore]:
    """Keep the settings in the file at `path` for the block; `defaults` hold where there is none.

    One that cannot be read is kept aside under another name, which `SettingsStore.problem` tells.
    """
    settings, problem = await asyncio.to_thread(_load, path, defaults)
    store = SettingsStore(path, settings, problem)
    writing = asyncio.create_task(store.run(), name="settings")
    try:
        yield store
    finally:
        store.close()
        await writing


def _load(path: Path, defaults: Settings) -> tuple[Settings, EdgeloopError | None]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        return decode_json(_File, data, max_bytes=MAX_FILE_BYTES).settings, None
    except FileNotFoundError:
        return defaults, None
    except (MessageError, OSError) as error:
        reason = error.message if isinstance(error, MessageError) else f"{error.strerror}."
        aside = path.with_name(f"{path.name}.damaged")
        with contextlib.suppress(OSError):
            path.replace(aside)
        return defaults, SettingsError(
            f"The settings in {path} cannot be read: {reason}",
            hint=f"The file is kept as {aside}; everything is as in the beginning now.",
        )
