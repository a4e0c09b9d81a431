"""Frames of every protocol version, as they were first written: old ones must go on decoding, and we still write the newest so.

`python -m shared.test_golden_frames` in `tests` writes the files of a version that has none yet. It never changes one that is
there: a frame that must look different belongs to a new version.
"""

from __future__ import annotations

import json
import subprocess
import sys
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from shared.golden_values import (
    ANNOUNCEMENTS,
    BATCHES,
    CERTIFICATE,
    CHANNEL_FRAMES,
    CLIENT_NONCE,
    COUNTERS,
    EVENTS,
    KEY,
    KNOCKS,
    LOG_LINES,
    MANIFESTS,
    MESSAGES,
    OFFERS,
    PAIRING_MESSAGES,
    RECORDS,
    SECRET,
    SERVER_NONCE,
    SPANS,
)

from edgeloop_shared import pairing, proofs
from edgeloop_shared.announcements import device_tag, read_txt
from edgeloop_shared.bundles import MAX_MANIFEST_BYTES, BundleManifest
from edgeloop_shared.channels import pack_channel_frame, unpack_channel_frame
from edgeloop_shared.codec import decode_json, encode_json
from edgeloop_shared.knocks import pack_knock
from edgeloop_shared.messages import Message, decode_message, encode_message
from edgeloop_shared.records import pack_record, unpack_record
from edgeloop_shared.run_events import Event, LogLine, decode_event, encode_event
from edgeloop_shared.spans import (
    CounterBatch,
    SpanBatch,
    pack_counters,
    pack_spans,
    unpack_counters,
    unpack_spans,
)
from edgeloop_shared.traces import TraceBatch, pack_batch, unpack_batch

VERSION = "v1"
GOLDEN = Path(__file__).parent / "golden"


def proof_vectors() -> dict[str, str]:
    """Every keyed hash of the protocol, for the keys and nonces above."""
    transcript = pairing.PairingTranscript()
    transcript.add(b"start")
    transcript.add(b"started")
    transcript.add(b"finish")
    stretched = pairing.stretch(SECRET, CERTIFICATE)
    key = pairing.session_key(stretched, SERVER_NONCE, CLIENT_NONCE)
    device = transcript.device_proof(key)
    transcript.add(b"finished")
    versions = proofs.format_versions((2, 1))
    identity = (KEY, CERTIFICATE, SERVER_NONCE, CLIENT_NONCE, "d1", versions)
    vectors = {
        "fingerprint": proofs.fingerprint(b"certificate"),
        "stretch of a QR secret": stretched,
        "stretch of a typed code": pairing.stretch(b"4G7K0QXM92ZB", CERTIFICATE),
        "session key": key,
        "pairing proof of the device": device,
        "pairing proof of the daemon": transcript.daemon_proof(key),
        "link proof of the device": proofs.device_link_proof(*identity),
        "link proof of the daemon": proofs.daemon_link_proof(*identity, 1),
        "tag of a device": device_tag(KEY, SERVER_NONCE[:16]),
    }
    return {name: value.hex() for name, value in vectors.items()}


def today() -> dict[str, dict[str, str]]:
    """Every frame as this edgeloop writes it: text as it is, binary in hex."""
    return {
        "pairing_messages.json": {name: encode_json(value).decode() for name, value in PAIRING_MESSAGES.items()},
        "messages.json": {name: encode_message(value) for name, value in MESSAGES.items()},
        "events.json": {name: encode_event(value).decode() for name, value in EVENTS.items()},
        "log_lines.json": {name: encode_json(value).decode() for name, value in LOG_LINES.items()},
        "manifests.json": {name: encode_json(value).decode() for name, value in MANIFESTS.items()},
        "records.json": {name: pack_record(value).hex() for name, value in RECORDS.items()},
        "channel_frames.json": {name: pack_channel_frame(value).hex() for name, value in CHANNEL_FRAMES.items()},
        "trace_batches.json": {name: pack_batch(value).hex() for name, value in BATCHES.items()},
        "span_batches.json": {name: pack_spans(value).hex() for name, value in SPANS.items()},
        "counter_batches.json": {name: pack_counters(value).hex() for name, value in COUNTERS.items()},
        "offers.json": {name: value.text() for name, value in OFFERS.items()},
        "proofs.json": proof_vectors(),
        "announcements.json": {name: value.txt().hex() for name, value in ANNOUNCEMENTS.items()},
        "knocks.json": {name: pack_knock(*value).hex() for name, value in KNOCKS.items()},
    }


def golden(version: str, file: str) -> dict[str, str]:
    """The frames of a file as they were first written."""
    return typing.cast("dict[str, str]", json.loads((GOLDEN / version / file).read_text()))


def _pairing_message(name: str, text: str) -> object:
    return decode_json(type(PAIRING_MESSAGES[name]), text, max_bytes=4096)


def _batch(_: str, text: str) -> object:
    batch = unpack_batch(bytes.fromhex(text))
    return TraceBatch(
        batch.session, tuple(batch.operator), tuple(batch.iteration), tuple(batch.begin_ns), tuple(batch.duration_ns)
    )


def _spans(_: str, text: str) -> object:
    batch = unpack_spans(bytes.fromhex(text))
    label, track, session, iteration, begin, duration = (
        tuple(column)
        for column in (batch.label, batch.track, batch.session, batch.iteration, batch.begin_ns, batch.duration_ns)
    )
    return SpanBatch(batch.texts, label, track, session, iteration, begin, duration, batch.lost)


def _counters(_: str, text: str) -> object:
    batch = unpack_counters(bytes.fromhex(text))
    return CounterBatch(batch.texts, tuple(batch.time_ns), tuple(map(tuple, batch.values)))


DECODED: tuple[tuple[str, dict[str, Any], Callable[[str, str], object]], ...] = (
    ("pairing_messages.json", PAIRING_MESSAGES, _pairing_message),
    ("messages.json", dict(MESSAGES), lambda _, text: decode_message(text)),
    ("events.json", dict(EVENTS), lambda _, text: decode_event(text.encode())),
    ("log_lines.json", LOG_LINES, lambda _, text: decode_json(LogLine, text, max_bytes=64 * 1024)),
    ("manifests.json", MANIFESTS, lambda _, text: decode_json(BundleManifest, text, max_bytes=MAX_MANIFEST_BYTES)),
    ("records.json", RECORDS, lambda _, text: unpack_record(bytes.fromhex(text))),
    ("channel_frames.json", CHANNEL_FRAMES, lambda _, text: unpack_channel_frame(bytes.fromhex(text))),
    ("trace_batches.json", BATCHES, _batch),
    ("span_batches.json", SPANS, _spans),
    ("counter_batches.json", COUNTERS, _counters),
    ("announcements.json", ANNOUNCEMENTS, lambda _, text: read_txt(bytes.fromhex(text))),
    ("offers.json", OFFERS, lambda _, text: pairing.parse_offer(text)),
)


@pytest.mark.parametrize("file", today())
def test_todays_frames_are_the_golden_ones(file: str) -> None:
    assert today()[file] == golden(VERSION, file)


@pytest.mark.parametrize(("file", "values", "decode"), DECODED, ids=[file for file, _, _ in DECODED])
def test_golden_frames_of_version_1_decode(
    file: str, values: dict[str, Any], decode: Callable[[str, str], object]
) -> None:
    assert {name: decode(name, text) for name, text in golden("v1", file).items()} == values


@pytest.mark.parametrize(("union", "values"), [(Message, MESSAGES), (Event, EVENTS)], ids=["messages", "events"])
def test_every_message_has_a_golden_frame(union: Any, values: dict[str, Any]) -> None:
    assert {type(value) for value in values.values()} == set(typing.get_args(union))


def test_the_script_refuses_to_overwrite() -> None:
    before = {path: path.read_bytes() for path in (GOLDEN / VERSION).iterdir()}
    command = [sys.executable, "-m", "shared.test_golden_frames"]
    tests = Path(__file__).parents[1]
    finished = subprocess.run(command, cwd=tests, capture_output=True, text=True, timeout=60, check=False)
    assert finished.returncode != 0
    assert "there already" in finished.stderr
    assert {path: path.read_bytes() for path in (GOLDEN / VERSION).iterdir()} == before


def write() -> None:
    """Write the golden files of `VERSION`, once."""
    folder = GOLDEN / VERSION
    if folder.exists():
        raise SystemExit(f"{folder} is there already: golden frames are never changed. Begin a new version.")
    folder.mkdir(parents=True)
    for file, frames in today().items():
        (folder / file).write_text(json.dumps(frames, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    write()
