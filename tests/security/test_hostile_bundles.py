"""Bundles as a hostile daemon would send them: the companion refuses them before any line of theirs runs."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from companion_app.companion_fixtures import linked_companion
from companion_app.link_peer import LinkPeer
from companion_app.received_run import Run

from edgeloop_companion.link import blobs
from edgeloop_shared.bundles import MAX_BUNDLE_BYTES, MAX_FILES, MAX_MANIFEST_BYTES
from edgeloop_shared.messages import RunTask, encode_message

CODE = b"print('it ran')"


@pytest_asyncio.fixture
async def peer(tmp_path: Path) -> AsyncIterator[LinkPeer]:
    async with LinkPeer().serving() as running, linked_companion(tmp_path / "phone", running):
        yield running


def entry(peer: LinkPeer, path: str, **changes: Any) -> dict[str, Any]:
    return {"path": path, "sha256": peer.blobs.add(CODE), "size": len(CODE), "mode": 0o644} | changes


async def refused(peer: LinkPeer, command: RunTask) -> dict[str, Any]:
    """Send a command that must fail without a line of output; return its error."""
    await peer.send(command)
    run: Run = peer.runs[command.run_id]
    await peer.until(lambda: run.is_complete)
    assert run.finished is not None
    assert run.finished.error is not None
    assert run.lines() == []
    return dict(run.finished.error)


async def refused_files(peer: LinkPeer, *files: dict[str, Any]) -> dict[str, Any]:
    manifest = json.dumps({"files": [entry(peer, "task.py"), *files]}).encode()
    return await refused(peer, peer.command_for(manifest))


PATHS = [
    "../escaped.py",
    "a/../../escaped.py",
    "/tmp/escaped.py",
    "C:/escaped.py",
    "C:escaped.py",
    "\\\\host\\share\\escaped.py",
    "a\\..\\escaped.py",
    "a/./escaped.py",
    "a//escaped.py",
    "escaped.py/",
    "escaped.py\x00.txt",
    "escaped\n.py",
    "escaped.py.",
    "escaped.py ",
    "a/" * 64 + "escaped.py",
    "x" * 256,
]


@pytest.mark.parametrize("path", PATHS)
async def test_a_path_that_leaves_the_folder_or_that_systems_read_differently_is_refused(
    peer: LinkPeer, tmp_path: Path, path: str
) -> None:
    error = await refused_files(peer, entry(peer, path))
    assert error["code"] == "invalid-bundle"
    assert error["message"].isprintable()
    assert not [found for found in tmp_path.rglob("*escaped*") if found.is_file()]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("data.txt", "DATA.txt"),
        ("data.txt", "data.txt"),
        ("straße.txt", "STRASSE.txt"),
        ("caf\u00e9.txt", "cafe\u0301.txt"),
        ("\ufb01le.txt", "FILE.txt"),
        ("a/b.txt", "A/c.txt"),
        ("a", "a/b.txt"),
    ],
)
async def test_two_names_that_some_file_system_takes_for_one_are_refused(
    peer: LinkPeer, first: str, second: str
) -> None:
    error = await refused_files(peer, entry(peer, first), entry(peer, second))
    assert error["code"] == "invalid-bundle"


@pytest.mark.parametrize("mode", [0o120777, 0o4755, 0o777, 0, -1])
async def test_links_and_special_rights_do_not_travel(peer: LinkPeer, mode: int) -> None:
    assert (await refused_files(peer, entry(peer, "link", mode=mode)))["code"] == "invalid-bundle"


@pytest.mark.parametrize(
    "change",
    [
        {"sha256": "../../../../etc/passwd".ljust(64, "x")},
        {"sha256": "A" * 64},
        {"size": -1},
        {"size": MAX_BUNDLE_BYTES + 1},
        {"size": 1.5},
        {"target": "/etc/passwd"},
    ],
)
async def test_an_entry_that_is_no_plain_file_is_refused(peer: LinkPeer, change: dict[str, Any]) -> None:
    assert (await refused_files(peer, entry(peer, "x.py", **change)))["code"] == "invalid-bundle"


async def test_a_file_too_many_is_refused(peer: LinkPeer) -> None:
    shortest = {"sha256": peer.blobs.add(b""), "size": 0}
    files = [entry(peer, "task.py"), *({"path": str(number), **shortest} for number in range(MAX_FILES))]
    manifest = json.dumps({"files": files}, separators=(",", ":")).encode()
    assert len(files) == 10_001
    assert len(manifest) <= MAX_MANIFEST_BYTES
    error = await refused(peer, peer.command_for(manifest))
    assert error["code"] == "invalid-bundle"
    assert "10000" in error["message"]


async def test_a_manifest_longer_than_it_may_be_cannot_even_be_announced(peer: LinkPeer) -> None:
    message = encode_message(peer.command({"task.py": CODE}))
    text = re.sub('"manifest_bytes":[0-9]+', f'"manifest_bytes":{MAX_MANIFEST_BYTES + 1}', message)
    await peer.send_raw(text)
    await peer.until(lambda: bool(peer.close_codes))
    assert peer.close_codes == [1002]
    assert peer.results == []


@pytest.mark.parametrize(
    "manifest",
    [
        b"[" * 100_000,
        b'{"files":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"files":[' + b"{}," * 200_000 + b"{}]}",
        b'{"files":[' + b"0," * 500_000 + b"0]}",
        b'{"files":[],"files":[]}',
        b'{"files":' + b"9" * 900_000 + b"}",
        b'"' + b"\\u0000" * 170_000 + b'"',
        "{}".encode("utf-16"),
        b"PK\x03\x04" + b"\0" * 1000,
    ],
    ids=["open", "nested", "objects", "numbers", "twice", "digits", "escapes", "utf-16", "archive"],
)
async def test_a_manifest_that_is_a_bomb_is_refused(peer: LinkPeer, manifest: bytes) -> None:
    assert (await refused(peer, peer.command_for(manifest)))["code"] == "invalid-bundle"
    assert (await peer.run({"task.py": CODE})).text("stdout") == ["it ran"]  # and the device lives on


@pytest.mark.parametrize("size", [0, 9, 11, 10**6])
async def test_a_size_that_is_a_lie_is_noticed(peer: LinkPeer, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        blobs, "MAX_FRUITLESS", 1
    )  # it asks again for what does not come, after longer and longer waits
    error = await refused_files(
        peer, {**entry(peer, "data.bin"), "sha256": peer.blobs.add(b"other text"), "size": size}
    )
    assert error["code"] == "transfer-failed"


async def test_a_hash_that_is_a_lie_is_noticed(peer: LinkPeer, tmp_path: Path) -> None:
    false = "0" * 64
    peer.blobs.content[false] = CODE
    error = await refused_files(peer, entry(peer, "data.bin", sha256=false))
    assert error["code"] == "transfer-failed"
    assert not (tmp_path / "phone" / "blobs" / false).exists()
