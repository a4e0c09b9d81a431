"""The state folders of both sides belong to their user alone, whatever somebody else has prepared in their place."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from companion_app.companion_fixtures import Observer, allow, companion_at
from daemon.device_daemon import device_daemon

from edgeloop_companion.events import Linked, Unpaired
from edgeloop_companion.runtime.storage import StateFolder, write_private
from edgeloop_daemon.store.files import write_atomically
from edgeloop_daemon.store.folders import Folders
from edgeloop_shared.errors import InvalidInputError
from edgeloop_shared.pairing import parse_offer


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def open_umask() -> object:
    """A user whose new files everybody may change."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_umask")
async def test_keys_tokens_and_databases_are_their_users_alone(tmp_path: Path) -> None:
    async with device_daemon(tmp_path) as daemon, companion_at(tmp_path / "phone") as companion:
        window = await daemon.pairing.open()
        await companion.pair_by_offer(parse_offer(window.offer), allow)
    state = tmp_path / "state"
    for folder in (state, *(path for path in state.iterdir() if path.is_dir()), tmp_path / "phone"):
        assert mode(folder) == 0o700, folder
    secret_files = (state / "edgeloop.db", state / "device-port.key", tmp_path / "phone" / "pairings.json")
    assert [mode(path) for path in secret_files] == [0o600] * 3


@pytest.mark.usefixtures("open_umask")
def test_a_state_folder_that_everybody_may_enter_is_closed(tmp_path: Path) -> None:
    for name in ("daemon", "phone"):
        (tmp_path / name).mkdir(mode=0o777)
    Folders(tmp_path / "daemon").create()
    StateFolder(tmp_path / "phone")
    assert mode(tmp_path / "daemon") == mode(tmp_path / "phone") == 0o700


def test_a_folder_of_somebody_else_is_refused_also_behind_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "theirs")
    monkeypatch.setattr(os, "geteuid", lambda: (tmp_path / "theirs").stat().st_uid + 1)
    for path in (tmp_path / "theirs", tmp_path / "link"):
        with pytest.raises(InvalidInputError, match="belongs to another user") as refused:
            Folders(path).create()
        assert "EDGELOOP_HOME" in refused.value.hint
        with pytest.raises(InvalidInputError, match="belongs to another user"):
            StateFolder(path)
    assert list((tmp_path / "theirs").iterdir()) == []


def test_writing_never_follows_a_link_that_stands_in_the_files_place(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    for name, write in (("runtime.json", write_atomically), ("pairings.json", write_private)):
        victim.write_text("mine")
        (tmp_path / name).symlink_to(victim)
        write(tmp_path / name, b"secret")
        assert victim.read_text() == "mine"
        assert (tmp_path / name).read_bytes() == b"secret"
        assert not (tmp_path / name).is_symlink()
        assert mode(tmp_path / name) == 0o600


async def test_an_unpaired_phone_keeps_no_key(tmp_path: Path) -> None:
    observer = Observer()
    async with device_daemon(tmp_path) as daemon, companion_at(tmp_path / "phone", observer) as companion:
        window = await daemon.pairing.open()
        pairing = await companion.pair_by_offer(parse_offer(window.offer), allow)
        assert pairing.device_key not in repr(pairing)
        await observer.until(lambda: bool(observer.of(Linked)))
        await daemon.devices.revoke(pairing.device_id)
        await observer.until(lambda: bool(observer.of(Unpaired)))
    assert not (tmp_path / "phone" / "pairings.json").exists()
