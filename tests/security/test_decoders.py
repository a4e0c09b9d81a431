"""Hostile bytes into every decoder: a documented error or a value, in bounded time. `make fuzz` tries 100,000 each."""

from __future__ import annotations

import pytest
from security.fuzzing.cases import BrokenPromiseError, outcomes
from security.fuzzing.decoder import Decoder
from security.fuzzing.decoders import decoders

CASES = 250


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Decoder]:
    return {decoder.name: decoder for decoder in decoders(tmp_path_factory.mktemp("fuzzing"))}


NAMES = (
    *("pairing start", "pairing started", "pairing finish", "pairing finished", "log line", "manifest"),
    *("progress of a job", "metric of a job", "order of a worker", "link message", "event", "refusal of a daemon"),
    *("request on the local WebSocket", "Last-Event-ID", "messages of an editor (DAP)"),
    *("record", "channel frame", "end of a channel", "request on operators", "reply on operators"),
    *("trace batch", "batch of spans", "batch of counters"),
    *("block of a trace", "summary of a trace", "batches in a block"),
    *("records in parts", "offer", "code"),
    *("Range", "Content-Range of an upload", "Authorization of a link", "Authorization of a blob", "Edgeloop-Versions"),
    *("Content-Range of a download", "TXT record of a phone", "knock", "reports of a script", "output of a script"),
    "image of a script",
    *("edgeloop.toml", "pairings of a device", "picture before a camera", "request to a companion"),
    *("spool of a run", "journal of a worker", "results of commands", "end of a worker"),
    "tasks that a device remembers",
    "computers that have unpaired a device",
    *("manifest of a bundle", "log of a job", "configuration of a repository"),
    *("ONNX file", "MNN file of a script", "MNN file of a tool"),
    *("arrays for a model (.npz)", "arrays that lie (.npz)"),
    *("record of a run", "tensors of a run", "an array for a model (.npy)"),
)


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_input_is_refused_as_documented_or_taken(known: dict[str, Decoder], name: str) -> None:
    taken = [outcome.was_taken for outcome in outcomes(known[name], CASES)]
    assert any(taken), "not even its seeds"


def test_no_decoder_is_left_out(known: dict[str, Decoder]) -> None:
    assert tuple(known) == NAMES


@pytest.mark.parametrize("name", [name for name in NAMES if "lie" not in name])
def test_every_seed_is_taken(known: dict[str, Decoder], name: str) -> None:
    decoder = known[name]
    assert [outcome.was_taken for outcome in outcomes(decoder, 0)] == [True] * len(decoder.seeds)


def test_a_decoder_that_breaks_its_promise_is_found() -> None:
    def careless(data: bytes) -> int:
        return data[2]

    with pytest.raises(BrokenPromiseError, match="IndexError"):
        list(outcomes(Decoder("careless", (b"abc",), careless, (ValueError,)), 1000))
    lossy = Decoder("lossy", (b"abc",), bytes, (), lambda value: value[:2])
    with pytest.raises(BrokenPromiseError, match="became"):
        list(outcomes(lossy, 0))
