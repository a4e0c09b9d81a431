"""Link messages and events: whatever a peer sends is one of them, checked, or a `MessageError`."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeloop_shared.codec import decode_json, encode_json
from edgeloop_shared.errors import BundleError, InvalidInputError, MessageError
from edgeloop_shared.messages import (
    MAX_MESSAGE_BYTES,
    Acknowledge,
    CommandResult,
    Hello,
    PairFinish,
    PairStart,
    PairStarted,
    RunTask,
    decode_message,
    encode_message,
)
from edgeloop_shared.run_events import MAX_EVENT_BYTES, FileAnnounced, LogLine, decode_event, encode_event

INFO: dict[str, Any] = {
    "name": "Pixel",
    "platform": "android",
    "system": "Android 15",
    "processor": "Tensor",
    "cores": 9,
    "memory_bytes": 1,
    "app_version": "0.1.0",
    "python_version": "3.11.9",
}
MESSAGES: dict[str, dict[str, Any]] = {
    "welcome": {"type": "welcome", "version": 1, "proof": "0" * 64, "bearer": "b" * 16, "host_name": "desk"},
    "hello": {"type": "hello", "epoch": "e1", "info": INFO, "streams": ["r1.logs"], "runs": ["r1"]},
    "acknowledge": {"type": "acknowledge", "positions": {"r1.logs": 3}},
    "run-task": {
        "type": "run-task",
        "command_id": "c1",
        "run_id": "r1",
        "workspace": "digits",
        "manifest": "a" * 64,
        "manifest_bytes": 10,
        "script": "task.py",
        "arguments": ["--limit", "3"],
    },
    "cancel-task": {"type": "cancel-task", "command_id": "c1", "run_id": "r1"},
    "command-result": {"type": "command-result", "command_id": "c1", "error": {"code": "error"}},
    "open-channel": {"type": "open-channel", "channel": "k1", "run_id": "r1", "purpose": "debugger"},
    "resume-channels": {"type": "resume-channels", "positions": {"k1": 3}},
    "clock-probe": {"type": "clock-probe", "sent_ns": 5},
    "clock-reading": {"type": "clock-reading", "sent_ns": 5, "host_ns": 6},
    "unpair": {"type": "unpair", "device_id": "d1"},
}
EVENTS: dict[str, dict[str, Any]] = {
    "started": {"type": "started", "time_ns": 1},
    "finished": {"type": "finished", "time_ns": 1, "state": "failed", "logs": 1, "traces": 0, "error": {"code": "x"}},
    "transfer": {"type": "transfer", "received": 1, "total": 2},
    "metric": {"type": "metric", "name": "loss", "value": 0.5, "step": 1},
    "progress": {"type": "progress", "done": 3, "total": 10.5, "text": "resizing"},
    "result": {"type": "result", "values": {"accuracy": [1, None, "x"]}},
    "file": {"type": "file", "name": "out/predictions.npy", "sha256": "a" * 64, "size": 1},
    "operator-table": {
        "type": "operator-table",
        "session": 1,
        "model": "a.mnn",
        "backend": "cpu",
        "clock_offset_ns": 0,
        "operators": [{"name": "conv", "type": "Convolution", "input_shapes": [[1, 3]], "flops": 0.5}],
    },
    "trace-started": {"type": "trace-started", "time_ns": 1, "clock_offset_ns": -3, "interval_seconds": 0.25},
    "clock-compared": {"type": "clock-compared", "device_ns": 1, "host_ns": 2, "error_ns": 3},
}
ALL = {**MESSAGES, **EVENTS}


def read(record: object) -> object:
    """Decode `record` as what its type says: an event or a message."""
    is_event = isinstance(record, dict) and record.get("type") in tuple(EVENTS)
    return decode_event(json.dumps(record).encode()) if is_event else decode_message(json.dumps(record))


@pytest.mark.parametrize("name", ALL)
def test_the_examples_below_are_taken(name: str) -> None:
    read(ALL[name])


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("welcome", {"version": "1"}),
        ("welcome", {"proof": "0" * 63}),
        ("welcome", {"proof": "0" * 64 + "\n"}),
        ("welcome", {"proof": "A" * 64}),
        ("welcome", {"bearer": ""}),
        ("welcome", {"host_name": ""}),
        ("welcome", {"host_name": "desk\x1b[2J"}),
        ("welcome", {"host_name": "desk\x9b2J"}),
        ("welcome", {"host_name": "desk‮gpj.exe"}),
        ("welcome", {"host_name": "a\u2028b"}),
        ("welcome", {"host_name": "x" * 65}),
        ("hello", {"epoch": "../e"}),
        ("hello", {"streams": ["r1.other"]}),
        ("hello", {"streams": ["r1.logs\n"]}),
        ("hello", {"streams": ["r1.logs"] * 4097}),
        ("hello", {"runs": ["../../etc"]}),
        ("hello", {"runs": ["R1"]}),
        ("hello", {"runs": [""]}),
        ("hello", {"info": {**INFO, "cores": 0}}),
        ("hello", {"info": {**INFO, "memory_bytes": 2**63}}),
        ("hello", {"info": {**INFO, "name": "a\tb"}}),
        ("hello", {"info": {**INFO, "extra": 1}}),
        ("acknowledge", {"positions": {"r1.logs": -1}}),
        ("acknowledge", {"positions": {"r1.logs": 2**63}}),
        ("acknowledge", {"positions": {"nothing": 1}}),
        ("acknowledge", {"positions": {"r1.logs": True}}),
        ("run-task", {"script": "../task.py"}),
        ("run-task", {"script": "/etc/passwd"}),
        ("run-task", {"script": "a\\b.py"}),
        ("run-task", {"arguments": ["a\0b"]}),
        ("run-task", {"manifest_bytes": 1024**2 + 1}),
        ("run-task", {"manifest": "a" * 65}),
        ("run-task", {"run_id": "r/1"}),
        ("run-task", {"trace": 1}),
        ("run-task", {"debug": "off"}),
        ("run-task", {"debug": True}),
        ("cancel-task", {"run_id": 1}),
        ("hello", {"channels": {"K/1": 3}}),
        ("hello", {"channels": {"k1": -1}}),
        ("hello", {"channels": {f"k{number}": 0 for number in range(65)}}),
        ("open-channel", {"channel": "../k1"}),
        ("open-channel", {"purpose": "debugger\nexit"}),
        ("open-channel", {"purpose": ""}),
        ("open-channel", {"purpose": "x" * 33}),
        ("resume-channels", {"positions": {"k1": True}}),
        ("resume-channels", {"positions": {"k1": -1}}),
        ("resume-channels", {"positions": {"k" * 33: 1}}),
        ("command-result", {"error": "text"}),
        ("finished", {"state": "done"}),
        ("finished", {"logs": -1}),
        ("transfer", {"received": -1}),
        ("metric", {"name": ""}),
        ("metric", {"value": "0.5"}),
        ("metric", {"value": True}),
        ("metric", {"step": 0.5}),
        ("metric", {"step": 2**63}),
        ("progress", {"done": -1}),
        ("progress", {"done": 11}),
        ("progress", {"done": None}),
        ("progress", {"total": 2**54}),
        ("progress", {"text": "x" * 201}),
        ("progress", {"text": "\x1b[2J"}),
        ("result", {"values": []}),
        ("result", {"values": {"n": 2**63}}),
        ("file", {"name": "../../.bashrc"}),
        ("file", {"name": "/root/x"}),
        ("file", {"name": "a\0b"}),
        ("file", {"name": ""}),
        ("file", {"sha256": "../" + "a" * 61}),
        ("file", {"size": -1}),
        ("operator-table", {"session": 2**32}),
        ("operator-table", {"session": -1}),
        ("operator-table", {"threads": 0}),
        ("clock-probe", {"sent_ns": 2**62}),
        ("clock-reading", {"host_ns": 1.5}),
        ("clock-compared", {"error_ns": -1}),
        ("clock-compared", {"round_trips": 0}),
        ("trace-started", {"interval_seconds": 0}),
        ("trace-started", {"counters": ["x"] * 17}),
        ("operator-table", {"operators": [{"name": "x"}]}),
        ("operator-table", {"operators": [{"name": "x", "type": "t", "input_shapes": [[0.5]]}]}),
    ],
)
def test_a_field_out_of_bounds_is_refused(name: str, change: dict[str, Any]) -> None:
    with pytest.raises(MessageError) as caught:
        read({**ALL[name], **change})
    assert next(iter(change)) in str(caught.value.details) or name in caught.value.message


@pytest.mark.parametrize("name", ALL)
def test_a_missing_and_an_unknown_field_are_refused(name: str) -> None:
    record = ALL[name]
    required = list(record)[1]  # the first after the type has no default in any message
    with pytest.raises(MessageError, match="is missing"):
        read({key: value for key, value in record.items() if key != required})
    with pytest.raises(MessageError, match="is not a known field"):
        read({**record, "extra": 1})


@pytest.mark.parametrize("kind", [None, 1, [], {}, "", "Hello", "hello ", "\ud800", "x" * 10_000, "__class__"])
def test_an_unknown_type_is_refused_in_an_error_that_can_be_sent(kind: object) -> None:
    with pytest.raises(MessageError) as caught:
        read({**MESSAGES["hello"], "type": kind})
    assert len(encode_json(caught.value.as_dict())) < 400


def test_an_event_is_no_message_and_a_message_is_no_event() -> None:
    with pytest.raises(MessageError):
        decode_message(json.dumps(EVENTS["started"]))
    with pytest.raises(MessageError):
        decode_event(json.dumps(MESSAGES["cancel-task"]).encode())


def test_messages_and_events_have_limits_in_bytes() -> None:
    with pytest.raises(MessageError, match="exceeds the limit"):
        decode_message(" " * (MAX_MESSAGE_BYTES + 1))
    with pytest.raises(MessageError, match="exceeds the limit"):
        decode_event(b" " * (MAX_EVENT_BYTES + 1))


def test_a_type_that_is_nested_as_deep_as_json_goes_is_refused() -> None:
    for depth in (900, 990, 5_000, 100_000):
        with pytest.raises(MessageError):
            decode_message('{"type":' + "[" * depth + "]" * depth + "}")


def test_an_unsafe_path_cannot_be_sent_either() -> None:
    with pytest.raises(BundleError):
        FileAnnounced("../x", "a" * 64, 1)
    with pytest.raises(BundleError):
        RunTask("c1", "r1", "w", "a" * 64, 1, "/etc/passwd")
    with pytest.raises(InvalidInputError):
        Acknowledge({"r1.logs": -1})


def test_an_error_text_that_is_no_utf_8_still_reaches_the_peer() -> None:
    sent = CommandResult("c1", error={"code": "task-failed", "message": "caf\udce9.py"})
    assert decode_message(encode_message(sent)) == CommandResult(
        "c1", error={"code": "task-failed", "message": "caf?.py"}
    )


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (PairStart, '{"versions": []}'),
        (PairStart, '{"versions": [1], "sid": "x"}'),
        (PairStart, '{"versions": ["1"]}'),
        (PairStart, json.dumps({"versions": list(range(17))})),
        (PairStarted, json.dumps({"sid": "s", "server_nonce": "0" * 64, "host_name": "a\nb", "version": 1})),
        (PairFinish, json.dumps({"sid": "s", "client_nonce": "0" * 64, "method": "nfc", "info": INFO})),
        (PairFinish, json.dumps({"sid": "s", "client_nonce": "0", "method": "qr", "info": INFO})),
        (LogLine, json.dumps({"time_ns": 1, "source": "stdin", "text": ""})),
        (LogLine, json.dumps({"time_ns": 1, "source": "stdout", "text": "x" * (16 * 1024 + 1)})),
    ],
)
def test_a_pairing_message_or_log_line_out_of_bounds_is_refused(kind: type, text: str) -> None:
    with pytest.raises(MessageError):
        decode_json(kind, text, max_bytes=64 * 1024)


TEXT = st.text(st.characters(), max_size=6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def almost_right(draw: st.DrawFn) -> dict[str, Any]:
    """Return a good record in which one value, maybe a nested one, is replaced by anything."""
    record: dict[str, Any] = copy.deepcopy(draw(st.sampled_from(list(ALL.values()))))
    place: Any = record
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = draw(st.sampled_from(keys))
        if not (isinstance(place[key], dict | list) and place[key] and draw(st.booleans())):
            break
        place = place[key]
    place[key] = draw(JSON)
    return record


@given(almost_right())
def test_an_almost_right_record_is_taken_whole_or_refused(record: dict[str, Any]) -> None:
    refusal: MessageError | None = None
    try:
        value = read(record)
    except MessageError as error:
        refusal = error
    if refusal is not None:
        assert refusal.message.isprintable()
        assert json.loads(encode_json(refusal.as_dict())) == refusal.as_dict()
    elif record["type"] in EVENTS:
        assert decode_event(encode_event(value)) == value  # type: ignore[arg-type]
    else:
        assert decode_message(encode_message(value)) == value  # type: ignore[arg-type]


@given(st.sampled_from([json.dumps(record).encode() for record in ALL.values()]), st.data())
def test_a_damaged_frame_raises_nothing_but_message_errors(frame: bytes, data: st.DataObject) -> None:
    damaged = bytearray(frame)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    for decode in (decode_event, lambda payload: decode_message(payload.decode(errors="surrogateescape"))):
        try:
            decode(bytes(damaged[: data.draw(st.integers(0, len(damaged)))]))
        except MessageError as error:
            encode_json(error.as_dict()).decode()


def test_a_hello_names_its_streams_and_runs() -> None:
    hello = decode_message(json.dumps(MESSAGES["hello"]))
    assert isinstance(hello, Hello)
    assert (hello.streams, hello.runs, hello.info.name) == (("r1.logs",), ("r1",), "Pixel")
