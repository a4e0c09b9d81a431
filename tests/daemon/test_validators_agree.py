"""Both validators, pydantic on the API's edge and the codec everywhere else, take and refuse the same values."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from pydantic import TypeAdapter

from edgeloop import DataPath, ModelPath
from edgeloop.parameters import describe_parameters
from edgeloop_daemon.http.validation import validate_json
from edgeloop_shared.codec import decode_json
from edgeloop_shared.errors import InvalidInputError


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclass(frozen=True)
class Int:
    value: int


@dataclass(frozen=True)
class Bits:
    value: int = field(metadata={"ge": 2, "le": 8})


@dataclass(frozen=True)
class Between:
    value: int = field(metadata={"gt": 0, "lt": 10})


@dataclass(frozen=True)
class Float:
    value: float


@dataclass(frozen=True)
class Fraction:
    value: float = field(metadata={"ge": 0, "lt": 1})


@dataclass(frozen=True)
class Bool:
    value: bool


@dataclass(frozen=True)
class Text:
    value: str


@dataclass(frozen=True)
class ShortText:
    value: str = field(metadata={"min_length": 2, "max_length": 4})


@dataclass(frozen=True)
class Pattern:
    value: str = field(metadata={"pattern": "^[a-z]+$"})


@dataclass(frozen=True)
class LoosePattern:
    value: str = field(metadata={"pattern": "[0-9]"})


@dataclass(frozen=True)
class Path:
    value: ModelPath


@dataclass(frozen=True)
class EnumValue:
    value: Colour


@dataclass(frozen=True)
class IntEnumValue:
    value: Level


@dataclass(frozen=True)
class Choice:
    value: Literal["a", "b"]


@dataclass(frozen=True)
class NumberChoice:
    value: Literal[1, 2]


@dataclass(frozen=True)
class OptionalBits:
    value: int | None = field(default=None, metadata={"ge": 2, "le": 8})


@dataclass(frozen=True)
class OptionalPath:
    value: DataPath | None = None


@dataclass(frozen=True)
class Many:
    value: tuple[int, ...] = field(metadata={"min_length": 1, "max_length": 3})


@dataclass(frozen=True)
class Pair:
    value: tuple[int, str]


@dataclass(frozen=True)
class Colours:
    value: tuple[Colour, ...]


@dataclass(frozen=True)
class Inner:
    count: int = field(metadata={"ge": 0})
    name: str = "x"


@dataclass(frozen=True)
class Nested:
    value: Inner


@dataclass(frozen=True)
class NestedMany:
    value: tuple[Inner, ...] = ()


@dataclass(frozen=True)
class Table:
    value: Mapping[str, int]


@dataclass(frozen=True)
class Free:
    value: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Either:
    value: int | str


@dataclass(frozen=True)
class Lines:
    first: int
    share: float
    last: int = 0


@dataclass(frozen=True)
class Nothing:
    pass


# The type, the JSON text of `value`, and whether it fits.
VALUES: list[tuple[type, str, bool]] = [
    (Int, "4", True),
    (Int, "-4", True),
    (Int, "0", True),
    (Int, "-0", True),
    (Int, '"4"', False),
    (Int, "4.0", True),
    (Int, "-0.0", True),
    (Int, "9007199254740992.0", True),
    (Int, "9007199254740994.0", False),
    (Int, "1e300", False),
    (Int, "1e999", False),
    (Int, "1" + "0" * 5000, False),
    (Int, "4.5", False),
    (Int, "1e2", True),
    (Int, "true", False),
    (Int, "null", False),
    (Int, "[4]", False),
    (Int, "{}", False),
    (Int, "9223372036854775807", True),
    (Int, "9223372036854775808", False),
    (Int, "-9223372036854775808", True),
    (Int, "-9223372036854775809", False),
    (Bits, "2", True),
    (Bits, "8", True),
    (Bits, "1", False),
    (Bits, "9", False),
    (Bits, "8.0", True),
    (Bits, "9.0", False),
    (Between, "0", False),
    (Between, "1", True),
    (Between, "10", False),
    (Float, "1.5", True),
    (Float, "1", True),
    (Float, "1e3", True),
    (Float, "-0.0", True),
    (Float, '"1.5"', False),
    (Float, "false", False),
    (Float, "null", False),
    (Float, "NaN", False),
    (Float, "Infinity", False),
    (Float, "-Infinity", False),
    (Float, "1e999", False),
    (Float, "1" + "0" * 400, False),
    (Fraction, "0", True),
    (Fraction, "0.999", True),
    (Fraction, "1", False),
    (Fraction, "-0.001", False),
    (Bool, "true", True),
    (Bool, "false", True),
    (Bool, "1", False),
    (Bool, "0", False),
    (Bool, '"true"', False),
    (Bool, "null", False),
    (Text, '"häßlich 漢 🙂"', True),
    (Text, '""', True),
    (Text, '"\\u0000"', True),
    (Text, '"\\ud83d\\ude42"', True),
    (Text, '"\\ud83d"', False),
    (Text, "4", False),
    (Text, "null", False),
    (Text, '["a"]', False),
    (ShortText, '"a"', False),
    (ShortText, '"ab"', True),
    (ShortText, '"🙂🙂🙂🙂"', True),
    (ShortText, '"abcde"', False),
    (Pattern, '"abc"', True),
    (Pattern, '""', False),
    (Pattern, '"Abc"', False),
    (Pattern, '"abc\\n"', False),
    (Pattern, '"abc\\ndef"', False),
    (LoosePattern, '"a1b"', True),
    (LoosePattern, '"ab"', False),
    (Path, '"models/a.mnn"', True),
    (Path, "7", False),
    (EnumValue, '"red"', True),
    (EnumValue, '"RED"', False),
    (EnumValue, '"green"', False),
    (EnumValue, "1", False),
    (EnumValue, "null", False),
    (EnumValue, "[]", False),
    (EnumValue, "{}", False),
    (Choice, '"a"', True),
    (Choice, '"c"', False),
    (Choice, "1", False),
    (Choice, "[]", False),
    (Choice, "{}", False),
    (OptionalBits, "null", True),
    (OptionalBits, "8", True),
    (OptionalBits, "8.0", True),
    (OptionalBits, "9", False),
    (OptionalBits, '"8"', False),
    (OptionalPath, "null", True),
    (OptionalPath, '"a.npz"', True),
    (OptionalPath, "false", False),
    (Many, "[1]", True),
    (Many, "[1,2,3]", True),
    (Many, "[1,2.0]", True),
    (Many, "[1.0,2.5]", False),
    (Many, "[]", False),
    (Many, "[1,2,3,4]", False),
    (Many, '[1,"2"]', False),
    (Many, "1", False),
    (Many, '"123"', False),
    (Many, '{"0":1}', False),
    (Pair, '[1,"a"]', True),
    (Pair, '["a",1]', False),
    (Pair, "[1]", False),
    (Pair, '[1,"a",2]', False),
    (Colours, '["red","blue"]', True),
    (Colours, '["red","pink"]', False),
    (Nested, '{"count":1}', True),
    (Nested, '{"count":1,"name":"y"}', True),
    (Nested, '{"count":-1}', False),
    (Nested, '{"name":"y"}', False),
    (Nested, '{"count":1,"more":2}', False),
    (Nested, "[1]", False),
    (Nested, "null", False),
    (NestedMany, '[{"count":1},{"count":2}]', True),
    (NestedMany, '[{"count":1},{"count":"2"}]', False),
    (NestedMany, "{}", False),
    (Table, '{"a":1}', True),
    (Table, '{"a":"1"}', False),
    (Table, "[]", False),
    (Free, '{"a":[1,"b",null,{"c":true}]}', True),
    (Free, "[]", False),
    (Either, "1", True),
    (Either, '"1"', True),
    (Either, "true", False),
    (Either, "1.5", False),
    (Either, "1.0", True),
]

# The type, the whole JSON text, and whether it fits.
TEXTS: list[tuple[type, str, bool]] = [
    (Int, "{}", False),
    (Int, '{"value":1,"extra":2}', False),
    (Int, '{"Value":1}', False),
    (Int, "[1]", False),
    (Int, "1", False),
    (Int, "null", False),
    (Int, '{"value":1', False),
    (Int, "{'value':1}", False),
    (Int, '{"value":1,}', False),
    (Int, "not json", False),
    (OptionalBits, "{}", True),
    (NestedMany, "{}", True),
    (Free, "{}", True),
    (Nothing, "{}", True),
    (Nothing, '{"a":1}', False),
    (Nothing, "[]", False),
    (Lines, '{"first":1.0,"share":2.0}', True),
    (Lines, '{"first":1.0,"share":2.0,"last":"3"}', False),
    (Lines, '{"first":1.0,"share":2,"last":1' + "0" * 5000 + "}", False),
]
CASES = [(kind, f'{{"value":{value}}}', fits) for kind, value, fits in VALUES] + TEXTS


def _edge(kind: type, text: str) -> object:
    return validate_json(TypeAdapter(kind), text.encode())


def _codec(kind: type, text: str) -> object:
    return decode_json(kind, text, max_bytes=1_000_000)


@pytest.mark.parametrize("validate", [_edge, _codec], ids=["edge", "codec"])
@pytest.mark.parametrize(
    ("kind", "text", "fits"), CASES, ids=[f"{kind.__name__}-{text[:40]}" for kind, text, _ in CASES]
)
def test_each_validator_takes_what_fits_and_refuses_the_rest(validate: Any, kind: type, text: str, fits: bool) -> None:
    if fits:
        assert isinstance(validate(kind, text), kind)
    else:
        with pytest.raises(InvalidInputError):
            validate(kind, text)


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, text, fits in CASES if fits and kind is not Free])
def test_both_read_the_same_value(kind: type, text: str) -> None:
    edge, codec = _edge(kind, text), _codec(kind, text)

    assert edge == codec
    assert repr(edge) == repr(codec)  # 1 and 1.0 and True are equal, and not the same


@pytest.mark.parametrize("kind", [IntEnumValue, NumberChoice])
@pytest.mark.parametrize("text", ["true", "1.0", '"1"', "3", "null"])
def test_the_codec_takes_a_number_of_another_type_for_no_choice(kind: type, text: str) -> None:
    assert isinstance(_codec(kind, '{"value":1}'), kind)
    with pytest.raises(InvalidInputError):
        _codec(kind, f'{{"value":{text}}}')


@pytest.mark.parametrize("kind", [IntEnumValue, NumberChoice])
def test_the_choices_of_a_parameter_are_strings_because_the_command_line_gives_strings(kind: type) -> None:
    with pytest.raises(TypeError, match="choices of a parameter are strings"):
        describe_parameters(kind)


def test_the_edge_names_the_number_that_is_not_finite() -> None:
    with pytest.raises(InvalidInputError) as caught:
        _edge(Free, '{"value":{"a":[1,NaN]}}')

    assert caught.value.details["fields"] == [{"field": "value.a.1", "message": "must be a finite number"}]


def test_there_is_a_case_for_every_kind_of_parameter() -> None:
    assert len(CASES) >= 60
    assert json.loads(CASES[0][1]) == {"value": 4}
