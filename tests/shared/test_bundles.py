"""Bundle manifests: which paths and sizes travel."""

from __future__ import annotations

import json
import time
import tracemalloc
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeloop_shared.bundles import (
    MAX_BUNDLE_BYTES,
    MAX_FILES,
    MAX_MANIFEST_BYTES,
    BundleFile,
    BundleManifest,
    check_bundle_path,
)
from edgeloop_shared.codec import decode_json, encode_json
from edgeloop_shared.errors import BundleError, MessageError, TooLargeError

SHA = "a" * 64


def manifest(*paths: str) -> BundleManifest:
    return BundleManifest(tuple(BundleFile(path, SHA, 1) for path in paths))


GOOD = (
    "task.py",
    "models/digits.mnn",
    "a/b/c/d.txt",
    ".hidden",
    "..hidden/...x",
    "with space.txt",
    "Grüße/日本語.txt",
    "emoji-👩‍👩‍👧.png",
    "x" * 255,
    "a" * 250 + "/" + "b" * 250,
)
BAD = (
    "",
    "/",
    "/etc/passwd",
    "//host/share",
    "..",
    "../x",
    "a/../b",
    "a/..",
    "./a",
    "a/./b",
    "a//b",
    "a/",
    "\\\\host\\share",
    "a\\b",
    "..\\x",
    "C:\\x",
    "C:/x",
    "c:x",
    "a\0b",
    "a\nb",
    "a\x7f",
    "a\x85b",
    "\ud800",
    "a.",
    "a /b",
    "a./b",
    "dir /x",
    "x" * 256,
    "é" * 128,
    "a/" * 300 + "b",
    "a/" * 64 + "b",
    "x" * 513,
)


@pytest.mark.parametrize("path", GOOD)
def test_a_plain_path_below_the_folder_travels(path: str) -> None:
    check_bundle_path(path)
    assert manifest(path).files[0].path == path


@pytest.mark.parametrize("path", BAD, ids=[ascii(path[:20]) for path in BAD])
def test_a_path_that_leaves_the_folder_or_is_ambiguous_is_refused(path: str) -> None:
    with pytest.raises(BundleError) as caught:
        manifest("task.py", path)
    assert caught.value.message.isprintable()
    assert len(encode_json(caught.value.as_dict())) < 2000
    with pytest.raises(MessageError):
        decode_json(
            BundleManifest,
            json.dumps({"files": [{"path": path, "sha256": SHA, "size": 1}]}),
            max_bytes=MAX_MANIFEST_BYTES,
        )


TWINS = (
    ("a.txt", "a.txt"),
    ("a.txt", "A.TXT"),
    ("straße", "STRASSE"),
    ("ﬁle", "file"),
    ("Σ", "ς"),
    (unicodedata.normalize("NFC", "é.txt"), unicodedata.normalize("NFD", "é.txt")),
    (unicodedata.normalize("NFC", "Ǆé"), unicodedata.normalize("NFD", "ǆÉ")),
    ("K", "\u212a"),  # the Kelvin sign
    ("a", "a/b"),
    ("a/b", "a"),
    ("A", "a/b"),
    ("a/b/c", "a/B"),
    ("dir/x", "Dir/y"),
    ("é/x", unicodedata.normalize("NFD", "é") + "/y"),
)


@pytest.mark.parametrize(("first", "second"), TWINS)
def test_two_names_of_one_file_on_some_file_system_clash(first: str, second: str) -> None:
    with pytest.raises(BundleError, match="clashes with"):
        manifest(first, second)


def test_files_of_one_folder_and_equal_names_in_different_folders_do_not_clash() -> None:
    assert len(manifest("a/x", "a/y", "b/x", "x", "a/b/x", "ab").files) == 6


NAMES = st.text(st.sampled_from("aBéßΣ/.x"), min_size=1, max_size=12)


@given(st.lists(NAMES, max_size=6))
def test_a_manifest_in_hand_lays_out_every_file_once_and_inside(paths: list[str]) -> None:
    try:
        files = manifest(*paths).files
    except BundleError:
        return
    keys = {unicodedata.normalize("NFC", file.path).casefold() for file in files}
    assert len(keys) == len(paths)
    for file in files:
        assert ".." not in file.path.split("/")
        assert not file.path.startswith("/")


@given(st.binary(max_size=200) | st.text(st.characters(), max_size=200).map(lambda text: text.encode(errors="replace")))
def test_hostile_manifests_raise_nothing_but_message_errors(data: bytes) -> None:
    for document in (data, b'{"files":[{"path":' + data + b',"sha256":"' + SHA.encode() + b'","size":1}]}'):
        try:
            decode_json(BundleManifest, document, max_bytes=MAX_MANIFEST_BYTES)
        except MessageError as error:
            encode_json(error.as_dict()).decode()


def test_ten_thousand_files_travel_and_one_more_does_not() -> None:
    paths = [f"{number // 100}/{number}" for number in range(MAX_FILES)]
    assert len(manifest(*paths).files) == MAX_FILES
    with pytest.raises(TooLargeError) as caught:
        manifest(*paths, "one more")
    assert caught.value.details["limit"] == MAX_FILES
    record = {"files": [{"path": path, "sha256": SHA, "size": 1} for path in [*paths, "x"]]}
    with pytest.raises(MessageError, match="at most 10000 items"):
        decode_json(BundleManifest, json.dumps(record), max_bytes=4 * MAX_MANIFEST_BYTES)


def test_the_bytes_of_a_bundle_have_a_limit() -> None:
    half = BundleFile("a", "a" * 64, MAX_BUNDLE_BYTES // 2)
    BundleManifest((half, BundleFile("b", "b" * 64, MAX_BUNDLE_BYTES // 2)))
    with pytest.raises(TooLargeError) as caught:
        BundleManifest((half, BundleFile("b", "b" * 64, MAX_BUNDLE_BYTES // 2 + 1)))
    assert caught.value.details == {"limit": MAX_BUNDLE_BYTES, "size": MAX_BUNDLE_BYTES + 1}


@pytest.mark.parametrize(
    "files",
    [
        (BundleFile("a", SHA, -1),),
        (BundleFile("a", SHA, -MAX_BUNDLE_BYTES), BundleFile("b", "b" * 64, 2 * MAX_BUNDLE_BYTES)),
        (BundleFile("a", SHA, 1), BundleFile("b", SHA, 2)),
        (BundleFile("a", "../" + "a" * 61, 1),),
        (BundleFile("a", SHA + "\n", 1),),
        (BundleFile("a", SHA.upper(), 1),),
        (BundleFile("a", SHA, 1, mode=0o4755),),
        (BundleFile("a", SHA, 1, mode=0o777),),
    ],
)
def test_a_lying_size_a_strange_hash_and_a_strange_mode_are_refused(files: tuple[BundleFile, ...]) -> None:
    with pytest.raises(BundleError):
        BundleManifest(files)


def test_the_same_content_under_two_names_is_one_blob() -> None:
    files = (BundleFile("a", SHA, 3), BundleFile("b", SHA, 3), BundleFile("c", "c" * 64, 0))
    assert BundleManifest(files).sizes == {SHA: 3, "c" * 64: 0}


def test_the_costliest_manifest_of_a_megabyte_is_checked_in_little_memory_and_time() -> None:
    tail = "/".join("abc" for _ in range(63))
    paths = [f"{number}/{tail}" for number in range(2_800)]
    document = json.dumps(
        {"files": [{"path": path, "sha256": SHA, "size": 1} for path in paths]}, separators=(",", ":")
    )
    assert len(document) < MAX_MANIFEST_BYTES
    tracemalloc.start()
    began = time.process_time()
    try:
        decode_json(BundleManifest, document, max_bytes=MAX_MANIFEST_BYTES)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 150 * 1024**2
    assert time.process_time() - began < 20
