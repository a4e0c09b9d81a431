"""What the user of a device has chosen, and how the screens learn of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeloop_companion.store.observable import Observable
from edgeloop_companion.store.settings import Appearance, Language, Settings, opened_settings
from edgeloop_shared.errors import InvalidInputError

DEFAULTS = Settings("phone")


def test_who_watches_a_value_is_told_it_and_every_other_one_until_they_stop() -> None:
    told: list[int] = []
    number = Observable(1)
    stop = number.watch(told.append)
    number.set(2)
    number.set(2)
    stop()
    stop()
    number.set(3)
    assert (told, number.value) == ([1, 2], 3)


def test_a_value_that_a_watcher_changes_is_told_to_all_in_order() -> None:
    number, told = Observable(0), list[int]()
    number.watch(lambda value: number.set(10) if value == 1 else None)
    number.watch(told.append)
    number.set(1)
    assert told == [0, 10]


async def test_what_was_chosen_holds_at_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    async with opened_settings(path, DEFAULTS) as store:
        assert store.settings.value == DEFAULTS
        store.change(language=Language.CHINESE)
        store.change(appearance=Appearance.DARK, name="Pixel 9")
    assert path.stat().st_mode & 0o777 == 0o600
    async with opened_settings(path, DEFAULTS) as store:
        assert store.settings.value == Settings("Pixel 9", Language.CHINESE, Appearance.DARK)


@pytest.mark.parametrize("name", ["", "a" * 65, "two\nlines", "\u202egnirts"])
async def test_a_name_that_no_device_may_have_is_refused(tmp_path: Path, name: str) -> None:
    async with opened_settings(tmp_path / "settings.json", DEFAULTS) as store:
        with pytest.raises(InvalidInputError):
            store.change(name=name)
        assert store.settings.value == DEFAULTS


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"version":2,"settings":{"name":"phone"}}',
        b'{"version":1,"settings":{"name":"phone","language":"fr"}}',
        b'{"version":1,"settings":{"name":"phone"}}' + b" " * 100_000,
    ],
)
async def test_a_damaged_file_is_named_and_kept_aside(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "settings.json"
    path.write_bytes(content)
    async with opened_settings(path, DEFAULTS) as store:
        assert store.settings.value == DEFAULTS
        problem = store.problem.value
        assert problem is not None
        assert str(path) in problem.message
        store.change(keeps_screen_on=True)
    assert (tmp_path / "settings.json.damaged").read_bytes() == content
    assert str(tmp_path / "settings.json.damaged") in (problem.hint or "")
    async with opened_settings(path, DEFAULTS) as store:
        assert store.settings.value == Settings("phone", keeps_screen_on=True)
        assert store.problem.value is None


async def test_settings_that_cannot_be_written_hold_all_the_same_and_say_so(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    async with opened_settings(folder / "settings.json", DEFAULTS) as store:  # there is no such folder
        store.change(keeps_screen_on=True)
    assert store.settings.value.keeps_screen_on
    assert store.problem.value is not None
    assert str(folder) in store.problem.value.message
