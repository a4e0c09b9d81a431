"""The strict codec: what it takes, and how it refuses the rest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, NewType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeloop_shared.codec import MAX_DEPTH, MAX_ITEMS, MAX_TEXT, decode, decode_json, encode, encode_json, parse_json
from edgeloop_shared.errors import InvalidInputError, MessageError

Path = NewType("Path", str)


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Point:
    x: float
    y: float = 0.0


@dataclass(frozen=True)
class Everything:
    bits: int = field(default=8, metadata={"ge": 2, "le": 8})
    share: float = field(default=0.5, metadata={"gt": 0, "lt": 1})
    name: str = field(default="a", metadata={"min_length": 1, "max_length": 4, "pattern": "^[a-zé]+$"})
    flag: bool = False
    colour: Colour = Colour.RED
    method: Literal["qr", "code"] = "qr"
    path: Path = Path("m")
    points: tuple[Point, ...] = field(default=(), metadata={"max_length": 2})
    pair: tuple[int, str] = (0, "")
    step: int | None = None
    scores: Mapping[str, float] = field(default_factory=dict)


def read(document: str) -> Everything:
    return decode_json(Everything, document, max_bytes=4096)


# (JSON document, the field that is named when it is refused, or None when it is taken)
CASES: tuple[tuple[str, str | None], ...] = (
    ("{}", None),
    ('{"bits": 2}', None),
    ('{"bits": 1}', "bits"),
    ('{"bits": 9}', "bits"),
    ('{"bits": "4"}', "bits"),
    ('{"bits": 4.0}', None),
    ('{"bits": 4.5}', "bits"),
    ('{"bits": true}', "bits"),
    ('{"bits": null}', "bits"),
    ('{"share": 0.25}', None),
    ('{"share": 0}', "share"),
    ('{"share": 1}', "share"),
    ('{"share": "0.5"}', "share"),
    ('{"share": true}', "share"),
    ('{"share": 1e999}', "share"),
    ('{"name": "abé"}', None),
    ('{"name": ""}', "name"),
    ('{"name": "abcde"}', "name"),
    ('{"name": "AB"}', "name"),
    ('{"name": "ab\\n"}', "name"),
    ('{"name": 4}', "name"),
    ('{"flag": true}', None),
    ('{"flag": 1}', "flag"),
    ('{"flag": "true"}', "flag"),
    ('{"colour": "blue"}', None),
    ('{"colour": "BLUE"}', "colour"),
    ('{"colour": ["red"]}', "colour"),
    ('{"method": "code"}', None),
    ('{"method": "nfc"}', "method"),
    ('{"path": "models/a.mnn"}', None),
    ('{"path": 1}', "path"),
    ('{"points": [{"x": 1}, {"x": 0.5, "y": 2}]}', None),
    ('{"points": [{"x": 1}, {"x": 1}, {"x": 1}]}', "points"),
    ('{"points": [{"y": 1}]}', "points[0].x"),
    ('{"points": [{"x": 1, "z": 1}]}', "points[0].z"),
    ('{"points": {"x": 1}}', "points"),
    ('{"pair": [1, "a"]}', None),
    ('{"pair": [1]}', "pair"),
    ('{"pair": ["a", 1]}', "pair[0]"),
    ('{"step": null}', None),
    ('{"step": 3}', None),
    ('{"step": "3"}', "step"),
    ('{"scores": {"a": 1, "b": 0.5}}', None),
    ('{"scores": {"a": "1"}}', "scores.a"),
    ('{"scores": [["a", 1]]}', "scores"),
    ('{"unknown": 1}', "unknown"),
    ("[]", ""),
    ("null", ""),
)


@pytest.mark.parametrize(("document", "refused"), CASES)
def test_a_document_is_taken_or_refused_by_its_field(document: str, refused: str | None) -> None:
    if refused is None:
        assert isinstance(read(document), Everything)
    else:
        with pytest.raises(MessageError) as caught:
            read(document)
        assert caught.value.details["fields"][0]["field"] == refused
        assert caught.value.message.startswith(refused or "the value")


def test_what_is_encoded_decodes_to_the_same_value() -> None:
    value = Everything(
        bits=4, name="é", flag=True, colour=Colour.BLUE, points=(Point(1.5),), pair=(-1, "ü"), step=0, scores={"a": 1.0}
    )
    assert read(encode_json(value).decode()) == value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"nul",
        b'{"a": NaN}',
        b"[Infinity]",
        b'{"a": 1, "a": 2}',
        b"\xff\xfe{\x00}\x00",
        '{"bits": 4}'.encode("utf-16"),
        '{"bits": 4}'.encode("utf-32"),
        b'\xef\xbb\xbf{"bits": 4}',
        b'"\xed\xa0\x80"',
        b'"a\x00b"',
        b"[" * 100_000,
        b'{"a":' * 2_000 + b"1" + b"}" * 2_000,
        b"1" * 5_000,
    ],
)
def test_what_is_no_plain_json_text_in_utf_8_is_refused(data: bytes) -> None:
    with pytest.raises(MessageError):
        parse_json(data, max_bytes=1024**2)


@pytest.mark.parametrize("text", ['"éé"', b'"\xc3\xa9\xc3\xa9"'])
def test_the_limit_counts_bytes_of_text_too(text: str | bytes) -> None:
    assert parse_json(text, max_bytes=6) == "éé"
    with pytest.raises(MessageError, match="6 bytes exceeds the limit of 5"):
        parse_json(text, max_bytes=5)


@pytest.mark.parametrize("kind", [int, Any])
@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**400])
def test_an_integer_beyond_64_bits_is_refused(kind: Any, value: int) -> None:
    with pytest.raises(InvalidInputError, match="64 bits"):
        decode(kind, value)


@pytest.mark.parametrize("kind", [int, Any])
@pytest.mark.parametrize("value", [2**63 - 1, -(2**63)])
def test_the_outermost_64_bit_integers_are_taken(kind: Any, value: int) -> None:
    assert decode(kind, value) == value


def test_a_number_too_large_for_a_float_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="finite"):
        decode(float, 10**400)
    with pytest.raises(InvalidInputError, match="finite"):
        decode(Any, {"a": [float("inf")]})


@pytest.mark.parametrize("value", [1.0, True, "1"])
def test_a_choice_of_numbers_takes_no_look_alike(value: object) -> None:
    assert decode(Literal[1, 2], 1) == 1  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError):
        decode(Literal[1, 2], value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "document", ['{"a": "\\ud800"}', '{"\\udfff": 1}', '{"a": {"\\ud83d": 1}}', '["\\udc00"]', '"\\ud800"']
)
def test_a_lone_surrogate_is_refused_at_any_depth(document: str) -> None:
    with pytest.raises(MessageError):
        decode_json(Any, document, max_bytes=100)
    with pytest.raises(MessageError):
        read(document)


@pytest.mark.parametrize("key", ["\ud800", "\x1b[2J", "\x9b2J", "‮gnirts", "k" * 3000])
def test_the_refusal_of_a_hostile_key_is_short_and_printable(key: str) -> None:
    for document in ({key: 1}, {"scores": {key: "no number"}}):
        with pytest.raises(MessageError) as caught:
            read(json.dumps(document))
        assert caught.value.message.isprintable()
        assert len(caught.value.message) < 250
        assert json.loads(encode_json(caught.value.as_dict())) == caught.value.as_dict()


def test_lengths_and_depth_have_limits_where_a_type_names_none() -> None:
    def nested(depth: int) -> object:
        return 1 if depth == 0 else [nested(depth - 1)]

    assert decode(str, "x" * MAX_TEXT)
    decode(Any, nested(MAX_DEPTH))
    for value in ("x" * (MAX_TEXT + 1), [0] * (MAX_ITEMS + 1), nested(MAX_DEPTH + 1)):
        with pytest.raises(InvalidInputError):
            decode(Any, value)
    with pytest.raises(InvalidInputError):
        decode(tuple[int, ...], [0] * (MAX_ITEMS + 1))


@dataclass(frozen=True)
class Span:
    begin: int
    end: int

    def __post_init__(self) -> None:
        if self.end < self.begin:
            raise InvalidInputError("The end lies before the beginning.")


def test_a_check_of_several_fields_is_reported_with_its_place() -> None:
    with pytest.raises(InvalidInputError, match=r"\[1\]: The end lies before the beginning\."):
        decode(tuple[Span, ...], [{"begin": 1, "end": 2}, {"begin": 2, "end": 1}])


def test_what_has_no_json_form_is_a_programming_error() -> None:
    with pytest.raises(TypeError, match="set"):
        encode({1, 2})
    with pytest.raises(ValueError, match="JSON"):
        encode_json({"loss": float("nan")})


def test_a_file_name_that_is_no_utf_8_can_still_be_reported() -> None:
    assert encode_json({"file": b"caf\xe9".decode(errors="surrogateescape")}) == b'{"file":"caf?"}'


TEXT = st.text(st.characters(), max_size=8)  # lone surrogates included
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_but_message_errors(data: bytes) -> None:
    try:
        decode_json(Any, data, max_bytes=150)
    except MessageError as error:
        encode_json(error.as_dict()).decode()


@given(st.dictionaries(st.sampled_from(list(Everything.__dataclass_fields__)) | TEXT, JSON, max_size=4) | JSON)
def test_random_values_are_decoded_or_refused(value: object) -> None:
    refusal: MessageError | None = None
    try:
        decoded = decode_json(Everything, json.dumps(value), max_bytes=64 * 1024)
    except MessageError as error:
        refusal = error
    if refusal is not None:
        assert refusal.message.isprintable()
        assert json.loads(encode_json(refusal.as_dict())) == refusal.as_dict()
    else:
        assert read(encode_json(decoded).decode()) == decoded


@given(JSON)
def test_any_value_that_is_taken_can_be_passed_on(value: object) -> None:
    try:
        taken = decode_json(Any, json.dumps(value), max_bytes=64 * 1024)
    except MessageError:
        return
    assert decode_json(Any, encode_json(taken), max_bytes=64 * 1024) == taken
