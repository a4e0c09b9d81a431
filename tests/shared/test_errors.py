"""The tree of errors: stable codes that come back as the same class."""

from __future__ import annotations

import copy
import json
import pickle
import re

import pytest

from edgeloop_shared.codec import encode_json
from edgeloop_shared.errors import EdgeloopError, InvalidInputError, MessageError, NotFoundError, error_from_dict

CLASSES = sorted(
    (kind for kind in EdgeloopError.registry.values() if kind.__module__ == EdgeloopError.__module__),
    key=lambda kind: kind.code,
)


@pytest.mark.parametrize("kind", CLASSES, ids=[kind.code for kind in CLASSES])
def test_an_error_crosses_as_json_and_comes_back_as_the_same_class(kind: type[EdgeloopError]) -> None:
    sent = kind("The file is gone.", hint="Make it anew.", details={"path": "a/é", "lines": ["x", 1, None]})
    back = error_from_dict(json.loads(encode_json(sent.as_dict())))
    assert type(back) is kind
    assert (back.message, back.hint, back.details) == (sent.message, sent.hint, sent.details)
    assert str(back) == "The file is gone. Make it anew."


@pytest.mark.parametrize("kind", CLASSES, ids=[kind.code for kind in CLASSES])
def test_an_error_is_described_has_a_code_and_a_status_and_survives_pickle_and_copy(kind: type[EdgeloopError]) -> None:
    assert kind.__doc__
    assert kind.__doc__.strip().split("\n")[0].endswith(".")
    assert re.fullmatch("[a-z]+(-[a-z]+)*", kind.code)
    assert 400 <= kind.http_status <= 599
    error = kind("It broke.", hint="Mend it.", details={"line": 3})
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is kind
        assert twin.as_dict() == error.as_dict()


def test_codes_are_stable() -> None:
    # Programs and other versions know these: a code may be added, never renamed.
    assert {kind.code for kind in CLASSES} >= {
        "error", "invalid-input", "invalid-settings", "invalid-message", "invalid-bundle", "too-large", "not-found",
        "conflict", "not-trusted", "unauthorized", "forbidden", "misdirected", "rate-limited", "daemon-unreachable",
        "port-in-use", "pairing-failed", "no-window", "bad-proof", "certificate-mismatch", "version-mismatch",
        "not-paired", "device-unavailable", "device-vanished", "transfer-failed", "cancelled", "job-failed",
        "task-failed", "task-crashed", "model-error", "conversion-failed", "git-failed", "plugin-failed",
    }  # fmt: skip


def test_an_empty_hint_and_empty_details_are_left_out() -> None:
    assert NotFoundError("Gone.").as_dict() == {"code": "not-found", "message": "Gone."}
    assert str(NotFoundError("Gone.")) == "Gone."


def test_an_unknown_code_keeps_its_text() -> None:
    error = error_from_dict({"code": "of-tomorrow", "message": "It broke.", "hint": "Mend it.", "details": {"a": 1}})
    assert type(error) is EdgeloopError
    assert (error.message, error.hint, error.details) == ("It broke.", "Mend it.", {"a": 1})


@pytest.mark.parametrize(
    "record", [{}, {"code": None}, {"code": ["x"], "message": 3}, {"code": "not-found", "details": [1], "hint": None}]
)
def test_a_malformed_description_still_makes_an_error(record: dict[str, object]) -> None:
    error = error_from_dict(record)
    assert isinstance(error.message, str)
    assert error.details == {}


def test_a_code_cannot_be_declared_twice() -> None:
    with pytest.raises(TypeError, match="'not-found' is declared twice"):
        type("Gone", (EdgeloopError,), {"code": "not-found"})
    with pytest.raises(TypeError, match="declared twice"):
        type("WithoutACode", (NotFoundError,), {})


def test_what_a_peer_sends_wrong_can_be_caught_as_invalid_input() -> None:
    with pytest.raises(InvalidInputError):
        raise MessageError("A frame broke the protocol.")
