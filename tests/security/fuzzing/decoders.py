"""Every decoder of bytes that somebody else has written, with inputs that it takes and the only errors that it may raise."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from aiohttp import web
from multidict import CIMultiDict
from PIL import Image
from security.fuzzing.decoder import Decoder, golden
from security.fuzzing.file_decoders import files
from security.fuzzing.model_decoders import models

from edgeloop_companion.link import blobs as companion_blobs
from edgeloop_companion.link.device_port import decode_refusal
from edgeloop_companion.runtime.order import Order
from edgeloop_companion.runtime.reports import KIND_JSON, KIND_TRACES, read_report
from edgeloop_companion.runtime.streams import FrameSplitter, LineSplitter
from edgeloop_companion.store.images import safe_image
from edgeloop_daemon.debugging import dap
from edgeloop_daemon.devices import blob_transfers, device_port
from edgeloop_daemon.http import websocket
from edgeloop_daemon.http.server_sent_events import last_event_id
from edgeloop_daemon.http.validation import validate_json
from edgeloop_daemon.jobs.job import Metric, Progress
from edgeloop_daemon.traces.blocks import (
    pack_columns,
    pack_statistics,
    statistics,
    unpack_columns,
    unpack_statistics,
)
from edgeloop_daemon.traces.intake import pack_payloads, unpack_payloads
from edgeloop_daemon.traces.span_tree import SpanTree
from edgeloop_shared.announcements import new_announcement, read_txt
from edgeloop_shared.bundles import MAX_MANIFEST_BYTES, BundleManifest
from edgeloop_shared.channels import pack_channel_frame, pack_ending, read_ending, unpack_channel_frame
from edgeloop_shared.codec import decode_json, encode_json
from edgeloop_shared.errors import InvalidInputError, MessageError, VersionMismatchError, error_from_dict
from edgeloop_shared.knocks import pack_knock, unpack_knock
from edgeloop_shared.messages import PairFinish, PairFinished, PairStart, PairStarted, decode_message, encode_message
from edgeloop_shared.operator_control import decode_reply, decode_request, encode_reply, encode_request
from edgeloop_shared.pairing import parse_code, parse_offer
from edgeloop_shared.records import join, pack_record, unpack_record
from edgeloop_shared.run_events import MAX_EVENT_BYTES, LogLine, decode_event, encode_event
from edgeloop_shared.spans import SpanBatch, pack_spans, unpack_counters, unpack_spans
from edgeloop_shared.traces import TraceBatch, joined, pack_batch, unpack_batch
from edgeloop_task.images import png

T = TypeVar("T")


def decoders(folder: Path) -> tuple[Decoder, ...]:
    """Return all of them; those that read files do it in `folder`."""
    return (
        *_messages(),
        *_subscriptions(),
        *_debugging(),
        *_frames(),
        *_typed(),
        *_headers(),
        *_datagrams(),
        *_reports(),
        *files(folder),
        *models(folder),
    )


def _datagrams() -> Iterator[Decoder]:
    """What anybody in the network can send to a phone or to a computer without a connection."""
    announcement = new_announcement([bytes(32)])
    yield Decoder(
        "TXT record of a phone",
        (announcement.txt(), announcement.txt() + b"\x05new=1"),
        read_txt,
        (MessageError,),
        lambda value: value.txt(),
    )
    knock = pack_knock(bytes(32), bytes(16), 4711, 7)
    yield Decoder(
        "knock",
        (knock,),
        lambda data: (unpack_knock(data), unpack_knock(data).is_of(bytes(32), bytes(16)))[0],
        (MessageError,),
    )


def _json(name: str, kind: type[T], seeds: Sequence[bytes], max_bytes: int = 4096) -> Decoder:
    return Decoder(
        name,
        tuple(seeds),
        lambda data: decode_json(kind, data, max_bytes=max_bytes),
        (MessageError,),
        encode_json,
        True,
    )


def _messages() -> Iterator[Decoder]:
    for name, kind in (
        ("start", PairStart),
        ("started", PairStarted),
        ("finish", PairFinish),
        ("finished", PairFinished),
    ):
        yield _json(f"pairing {name}", kind, golden("pairing_messages.json", name))
    yield _json("log line", LogLine, golden("log_lines.json"), 128 * 1024)
    yield _json("manifest", BundleManifest, golden("manifests.json"), MAX_MANIFEST_BYTES)
    yield _json("progress of a job", Progress, [b'{"fraction":0.5,"message":"half"}'])
    yield _json("metric of a job", Metric, [b'{"tag":"loss","step":3,"value":0.5,"time":1.0}'])
    yield _json(
        "order of a worker",
        Order,
        [
            b'{"script":"a.py","arguments":["x"],"trace":true,"memory_bytes":5,"companion":"lock","debug":"wait","wait_seconds":1.5}'
        ],
    )
    yield Decoder(
        "link message",
        golden("messages.json"),
        lambda data: decode_message(data.decode("utf-8", "surrogatepass")),
        (MessageError, UnicodeDecodeError),  # aiohttp refuses a text frame that is no UTF-8
        lambda message: encode_message(message).encode(),
        True,
    )
    yield Decoder("event", golden("events.json"), decode_event, (MessageError,), encode_event, True)
    refused = b'{"code":"no-window","message":"gone","hint":"again","details":{"a":[1]}}'
    yield Decoder(
        "refusal of a daemon",
        (refused,),
        lambda data: error_from_dict(decode_refusal(data)),
        (MessageError,),
        lambda error: encode_json(error.as_dict()),
        True,
    )


def _debugging() -> Iterator[Decoder]:
    """The messages of an editor, and those of the debugger on a device: both have the same form."""
    seeds = (
        dap.encode(dap.Request(1, "initialize", {"clientID": "editor", "linesStartAt1": True})),
        dap.encode(dap.Request(7, "setBreakpoints", {"source": {"path": "/w/a.py"}, "breakpoints": [{"line": 3}]})),
        dap.encode(dap.Response(3, 2, "threads", success=True, message="", body={"threads": [{"id": 1, "name": "M"}]})),
        dap.encode(dap.Response(3, 2, "launch", success=False, message="no", body={}))
        + dap.encode(dap.Event(4, "stopped", {"reason": "breakpoint", "x": [1.5, None, "\u00fc\U0001f600"]})),
    )
    yield Decoder(
        "messages of an editor (DAP)",
        seeds,
        lambda data: list(dap.MessageReader().feed(data)),
        (MessageError,),
        lambda messages: b"".join(map(dap.encode, messages)),
    )


def _subscriptions() -> Iterator[Decoder]:
    subscribe = b'{"type":"subscribe","id":"1","topic":"run-log","since":3,"work":"r1","kinds":["a"],"workspace":"w1"}'
    yield Decoder(
        "request on the local WebSocket",
        (subscribe, b'{"type":"unsubscribe","id":"1"}'),
        lambda data: validate_json(websocket._adapter(), data),
        (InvalidInputError,),
        encode_json,
        True,
    )
    yield Decoder(
        "Last-Event-ID",
        (b"12", b"0"),
        lambda data: last_event_id(_Request(CIMultiDict({"Last-Event-ID": data.decode("utf-8", "surrogateescape")}))),  # type: ignore[arg-type]
        (InvalidInputError,),
    )


def _frames() -> Iterator[Decoder]:
    records = tuple(bytes.fromhex(text.decode()) for text in golden("records.json"))
    yield Decoder("record", records, unpack_record, (MessageError,), pack_record)
    frames = tuple(bytes.fromhex(text.decode()) for text in golden("channel_frames.json"))
    yield Decoder("channel frame", frames, unpack_channel_frame, (MessageError,), pack_channel_frame)
    ending = b'{"code":"conflict","message":"Taken.","hint":"Wait."}'
    yield Decoder("end of a channel", (ending, b""), read_ending, (MessageError,), pack_ending, True)
    requests = (
        b'{"type":"set-breakpoints","breakpoints":[{"id":"b1","selector":"op:conv* @3","when":"nan_count > 0","hit":">= 2"}]}',
        b'{"type":"answer-stop","stop":1,"answer":"skip"}',
        b'{"type":"replace-tensor","stop":1,"tensor":0,"fill":"nan"}',
        b'{"type":"read-tensor","stop":1,"side":"out","tensor":0,"part":"0,:,3"}',
        b'{"type":"give-file","path":".edgeloop/references/b1/conv.npy","size":12}',
    )
    yield Decoder("request on operators", requests, decode_request, (MessageError,), encode_request)
    summary = b'{"shape":[2],"dtype":"float32","count":2,"nan_count":1,"inf_count":0,"min":1.0,"max":1.0,"mean":1.0,'
    summary += b'"std":0.0,"abs_max":1.0,"p99_abs":1.0,"first":[1.0,"nan"]}'
    part = b'{"part":{"summary":' + summary + b',"values":[1.0,"nan"],"histogram":{"low":1.0,"high":2.0,"counts":[1]}}}'
    replies = (b"{}", b'{"error":{"code":"not-found","message":"Gone."}}', part)
    yield Decoder("reply on operators", replies, decode_reply, (MessageError,), encode_reply)
    batches = tuple(bytes.fromhex(text.decode()) for text in golden("trace_batches.json"))
    yield Decoder("trace batch", batches, _batch, (MessageError,), pack_batch)
    spans = tuple(bytes.fromhex(text.decode()) for text in golden("span_batches.json"))
    yield Decoder("batch of spans", spans, _spans, (MessageError,), pack_spans)
    counters = tuple(bytes.fromhex(text.decode()) for text in golden("counter_batches.json"))
    yield Decoder("batch of counters", counters, unpack_counters, (MessageError,))
    whole = [
        TraceBatch(3, [0, 1, 2] * 4, [n // 3 for n in range(12)], [10 * n for n in range(12)], [9, 300, 70_000] * 4)
    ]
    short = [TraceBatch(3, [2, 0, 7], [5, 6, 9], [2**40, 2**41, 2**42], [1, 2**33, 0])]
    blocks = tuple(pack_columns(joined(batches)) for batches in (whole, short))
    yield Decoder(
        "block of a trace", blocks, unpack_columns, (MessageError,), lambda batch: pack_columns(joined([batch]))
    )
    summaries = tuple(pack_statistics(statistics(joined(batches))) for batches in (whole, short))
    yield Decoder("summary of a trace", summaries, unpack_statistics, (MessageError,), pack_statistics)
    payloads = (pack_payloads(spans), pack_payloads([b""]))
    yield Decoder(
        "batches in a block", payloads, lambda data: list(unpack_payloads(data)), (MessageError,), pack_payloads
    )
    yield Decoder("records in parts", (b"\1a\0b", b"\1\1\1", b"\0"), _joined, (MessageError,))


def _batch(data: bytes) -> TraceBatch:
    batch = unpack_batch(data)
    columns = (batch.operator, batch.iteration, batch.begin_ns, batch.duration_ns)
    return TraceBatch(batch.session, *map(tuple, columns))


def _spans(data: bytes) -> SpanBatch:
    batch = unpack_spans(data)
    tree = SpanTree()
    tree.add(batch)
    assert sum(row.calls for row in tree.rows()) == len(batch)
    return batch


def _joined(data: bytes) -> list[bytes]:
    return list(join(((data[at : at + 2], bool(data[at] & 1)) for at in range(0, len(data), 2)), max_bytes=100))


def _typed() -> Iterator[Decoder]:
    def text(data: bytes) -> str:
        return data.decode("utf-8", "replace")

    yield Decoder(
        "offer",
        golden("offers.json"),
        lambda data: parse_offer(text(data)),
        (InvalidInputError, VersionMismatchError),
        lambda offer: offer.text().encode(),
    )
    yield Decoder(
        "code",
        (b"4G7K-0QXM-92ZB", b"4g7k 0qxm 92zb"),
        lambda data: parse_code(text(data)),
        (InvalidInputError,),
        str.encode,
    )


def _headers() -> Iterator[Decoder]:
    def header(name: str, read: Callable[[Any], Any]) -> Callable[[bytes], Any]:
        # As the parser hands it over: what is no UTF-8 became surrogates.
        return lambda data: read(_Request(CIMultiDict({name: data.decode("utf-8", "surrogateescape")})))

    yield Decoder(
        "Range",
        (b"bytes=0-", b"bytes=5-9"),
        header("Range", lambda request: blob_transfers._range(request, 100)),
        (web.HTTPRequestRangeNotSatisfiable,),
    )
    yield Decoder(
        "Content-Range of an upload",
        (b"bytes 0-4/5", b"bytes */0", b"bytes 4194304-8388607/10000000"),
        header("Content-Range", blob_transfers._content_range),
        (MessageError,),
    )
    credentials = b"Edgeloop d1." + b"0a" * 32 + b"." + b"0b" * 32
    for name, pattern, seed in (
        ("Authorization of a link", device_port._AUTHORIZATION, credentials),
        ("Authorization of a blob", device_port._BEARER, b"Bearer " + b"aZ0-_" * 8),
        ("Edgeloop-Versions", device_port._VERSIONS, b"1,2,30"),
        ("Content-Range of a download", companion_blobs._CONTENT_RANGE, b"bytes 5-9/10"),
    ):
        yield Decoder(name, (seed,), lambda data, known=pattern: _matched(known, data), ())  # type: ignore[misc]


@dataclass(frozen=True)
class _Request:
    headers: CIMultiDict[str]


def _matched(pattern: Any, data: bytes) -> Any:
    match = pattern.fullmatch(data.decode("utf-8", "surrogateescape"))
    if match is None:
        return None
    groups = [group for group in match.groups() if group is not None]
    assert all(group.isascii() for group in groups), groups  # a digit of another script is no digit here
    return groups


def _reports() -> Iterator[Decoder]:
    def frame(kind: int, payload: bytes) -> bytes:
        return struct.pack("<IB", len(payload), kind) + payload

    events = golden("events.json", "metric", "progress", "result", "operator table")
    batch = bytes.fromhex(golden("trace_batches.json", "three events")[0].decode())
    named = frame(KIND_JSON, b'{"type":"file","path":"/x/y","name":"y"}')
    frames = (*(frame(KIND_JSON, event) for event in events), frame(KIND_TRACES, batch), named)
    yield Decoder("reports of a script", (*frames, b"".join(frames)), _read_reports, ())
    yield Decoder("output of a script", ("Grüße\r\nzwei\rdrei\n".encode(), b"x" * 40_000), _lines, ())
    yield Decoder("image of a script", (png(np.zeros((3, 4, 3), np.uint8)), *_photos()), _safe, (InvalidInputError,))


def _photos() -> Iterator[bytes]:
    for options in ({}, {"progressive": True, "restart_marker_rows": 1}):
        buffer = io.BytesIO()
        Image.new("RGB", (20, 9), "red").save(buffer, "JPEG", **options)
        yield buffer.getvalue()


def _safe(data: bytes) -> Any:
    """What is passed on is safe itself, and no larger picture than it was taken for."""
    image = safe_image(data)
    again = safe_image(image.data)
    assert (again.width, again.height, again.format) == (image.width, image.height, image.format)
    return image


def _read_reports(data: bytes) -> list[Any]:
    splitter = FrameSplitter(MAX_EVENT_BYTES)
    frames = [frame for start in range(0, len(data), 1000) for frame in splitter.feed(data[start : start + 1000])]
    return [read_report(bytes([frame[0]]) + frame[1]) for frame in frames if not isinstance(frame, int)]


def _lines(data: bytes) -> list[str]:
    splitter = LineSplitter()
    middle = len(data) // 2
    lines = [*splitter.feed(data[:middle]), *splitter.feed(data[middle:]), *splitter.feed(b"", final=True)]
    assert not any("\n" in line or len(line) > 16 * 1024 for line in lines)
    return lines
