"""Small parts of the companion on their own: lines, delays, commands, storage, device facts."""

from __future__ import annotations

import os
import platform
import random
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeloop_companion.device_info import device_info, device_model
from edgeloop_companion.link.reconnect import LAST_BOUND_SECONDS, SETTLED_SECONDS, Reconnect
from edgeloop_companion.runtime.commands import CommandLog
from edgeloop_companion.runtime.run_folder import remove_tree
from edgeloop_companion.runtime.storage import BlobStore, PartialBlob, write_private
from edgeloop_companion.runtime.streams import MAX_LINE_CHARACTERS, LineSplitter
from edgeloop_shared.codec import decode, encode
from edgeloop_shared.errors import ConflictError, TransferError
from edgeloop_shared.models import DeviceInfo


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_lines_do_not_depend_on_how_the_bytes_arrive(data: bytes, cuts: list[int]) -> None:
    whole = LineSplitter()
    expected = [*whole.feed(data), *whole.feed(b"", final=True)]
    splitter = LineSplitter()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    lines = [line for begin, end in pairwise(edges) for line in splitter.feed(data[begin:end])]
    assert [*lines, *splitter.feed(b"", final=True)] == expected
    assert not any("\n" in line or "\r" in line for line in lines)


def test_a_line_without_end_is_split_and_not_kept() -> None:
    splitter = LineSplitter()
    pieces = list(splitter.feed(b"x" * (3 * MAX_LINE_CHARACTERS + 5)))
    assert [len(piece) for piece in pieces] == [MAX_LINE_CHARACTERS] * 3
    assert list(splitter.feed(b"", final=True)) == ["x" * 5]


def test_the_first_retry_is_at_once_and_later_ones_are_spread_under_a_growing_bound() -> None:
    reconnect = Reconnect(source=random.Random(0))
    delays = [reconnect.delay() for _ in range(200)]
    assert delays[0] == 0
    assert all(delay <= 0.5 * 2**index for index, delay in enumerate(delays[1:10]))
    assert max(delays) <= LAST_BOUND_SECONDS
    assert max(delays) > LAST_BOUND_SECONDS / 2
    assert min(delays[10:]) < LAST_BOUND_SECONDS / 10
    assert reconnect.delay(SETTLED_SECONDS) == 0


def test_a_daemon_that_accepts_and_drops_is_not_hammered() -> None:
    reconnect = Reconnect(source=random.Random(1))
    assert sum(reconnect.delay(lived_seconds=0.01) for _ in range(20)) > 60


async def test_a_command_is_remembered_with_its_refusal_until_many_others_came(tmp_path: Path) -> None:
    commands, calls = CommandLog(tmp_path / "commands", capacity=2), []

    async def refuse() -> None:
        calls.append("refused")
        raise ConflictError("No.")

    async def obey() -> None:
        calls.append("obeyed")

    first = await commands.once("a", refuse)
    assert first.error == {"code": "conflict", "message": "No."}
    assert await commands.once("a", refuse) is first
    assert calls == ["refused"]
    await commands.once("b", obey)
    await commands.once("c", obey)
    await commands.once("a", obey)
    assert calls == ["refused", "obeyed", "obeyed", "obeyed"]


async def test_commands_are_remembered_by_the_next_companion_whatever_cut_off_the_last_line(tmp_path: Path) -> None:
    async def obey() -> None:
        calls.append("obeyed")

    calls: list[str] = []
    file = tmp_path / "commands"
    for number in range(3):
        commands = CommandLog(file)
        commands.load()
        await commands.once(f"c{number}", obey)
        with file.open("ab") as log:
            log.write(b'\n{"command_id": "half')
    commands = CommandLog(file)
    commands.load()
    for number in range(3):
        assert (await commands.once(f"c{number}", obey)).error is None
    assert calls == ["obeyed"] * 3


def test_blobs_that_were_not_used_for_longest_make_room(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "blobs")
    blobs = []
    for letter in "abc":
        file = tmp_path / letter
        file.write_text(letter * 100)
        blobs.append(store.take(file)[0])
    assert store.has(blobs[0], 100)  # used: younger than b now
    store.prune(max_bytes=200)
    assert [store.has(blob, 100) for blob in blobs] == [True, False, True]


def test_parts_of_blobs_that_nobody_goes_on_with_are_removed(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    old, young = store.partial("0" * 64, "daemon"), store.partial("1" * 64, "daemon")
    for part in (old, young):
        part.write_bytes(b"half")
    os.utime(old, (0, 0))
    store.prune()
    assert [part.exists() for part in (old, young)] == [False, True]


def test_more_bytes_than_announced_are_refused(tmp_path: Path) -> None:
    blob = PartialBlob(BlobStore(tmp_path), "0" * 64, 3, "daemon")
    with pytest.raises(TransferError):
        blob.write(b"four")
    blob.close()


def test_a_task_folder_goes_whatever_the_task_did_to_it(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o755)
    (folder / "link").symlink_to(outside)
    locked = folder / "locked" / "deep"
    locked.mkdir(parents=True)
    (locked / "file").touch()
    locked.chmod(0)
    locked.parent.chmod(0)
    remove_tree(folder)
    assert not folder.exists()
    assert outside.stat().st_mode & 0o777 == 0o755


def test_a_private_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("old")
    file.chmod(0o644)
    write_private(file, b"new")
    assert file.read_bytes() == b"new"
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_the_device_describes_itself_within_the_protocols_limits() -> None:
    info = device_info("a\nname\x00" + "x" * 200, is_virtual=True)
    assert decode(DeviceInfo, encode(info)) == info
    assert info.name.startswith("aname")
    assert info.memory_bytes > 0
    assert info.mnn_version


@pytest.mark.parametrize(
    ("files", "model"),
    [
        ({"proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0"}, "Raspberry Pi 5 Model B Rev 1.0"),
        ({"sys/class/dmi/id/sys_vendor": "LENOVO\n", "sys/class/dmi/id/product_name": "21CB\n"}, "LENOVO 21CB"),
        ({"sys/class/dmi/id/sys_vendor": "Dell", "sys/class/dmi/id/product_name": "Dell XPS 13"}, "Dell XPS 13"),
        ({"sys/class/dmi/id/product_name": "To Be Filled By O.E.M.\n"}, ""),
        ({}, ""),
    ],
)
def test_a_device_tells_what_its_maker_calls_it(tmp_path: Path, files: dict[str, str], model: str) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert device_model(tmp_path) == model


def test_a_phone_tells_what_its_maker_calls_it(monkeypatch: pytest.MonkeyPatch) -> None:
    android = SimpleNamespace(manufacturer="Google", model="Pixel 9")
    monkeypatch.setattr(sys, "getandroidapilevel", lambda: 35, raising=False)
    monkeypatch.setattr(platform, "android_ver", lambda: android, raising=False)
    assert device_model() == "Google Pixel 9"


def test_the_companion_itself_loads_neither_mnn_nor_numpy_nor_the_task_library() -> None:
    code = "import sys, edgeloop_companion.main; print(sorted({'MNN', 'numpy', 'edgeloop_task'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.strip() == "[]"
