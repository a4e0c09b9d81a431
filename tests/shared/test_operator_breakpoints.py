"""Breakpoints on operators as they travel: what cannot be is refused on either side."""

from __future__ import annotations

from typing import Any

import pytest

from edgeloop_shared.codec import decode_json, encode_json
from edgeloop_shared.errors import BundleError, EdgeloopError, InvalidInputError, MessageError
from edgeloop_shared.operator_breakpoints import OperatorBreakpointOrder, hit_is_meant
from edgeloop_shared.operator_control import parse_index


@pytest.mark.parametrize(
    ("expression", "meant"),
    [
        (None, [1, 2, 3, 4, 5, 6]),
        ("3", [3]),
        ("== 3", [3]),
        (">= 3", [3, 4, 5, 6]),
        (">5", [6]),
        ("<= 2", [1, 2]),
        ("< 2", [1]),
        ("% 2", [2, 4, 6]),
        ("% 0", []),
    ],
)
def test_hit_counts_choose_hits(expression: str | None, meant: list[int]) -> None:
    assert [number for number in range(1, 7) if hit_is_meant(expression, number)] == meant


@pytest.mark.parametrize(
    ("fields", "kind", "message"),
    [
        ({"selector": "op:conv @"}, InvalidInputError, "is no part of a selector"),
        ({"when": "nan_count"}, InvalidInputError, "a condition is true or false"),
        ({"hit": "often"}, InvalidInputError, "does not say at which hits"),
        ({"selector": "op:* after", "action": "skip"}, InvalidInputError, "cannot be skipped after"),
        ({"selector": "op:* before", "when": "out[0].max > 0"}, InvalidInputError, "do not exist before"),
        ({"when": "rmse_to_reference > 0"}, InvalidInputError, "none was given"),
        ({"reference": "../elsewhere"}, BundleError, ""),
    ],
)
def test_what_cannot_be_is_refused_where_it_is_made_and_where_it_arrives(
    fields: dict[str, Any], kind: type[EdgeloopError], message: str
) -> None:
    with pytest.raises(kind) as caught:
        OperatorBreakpointOrder(**{"id": "b1", "selector": "op:*", **fields})
    assert message in caught.value.message
    with pytest.raises(MessageError):
        decode_json(OperatorBreakpointOrder, encode_json({"id": "b1", "selector": "op:*", **fields}), max_bytes=4096)


def test_an_index_is_read_as_numpy_writes_it() -> None:
    assert parse_index("0, -1, :, 1:, :2, ::3, 4:5:6, ...") == (
        *(0, -1, slice(None), slice(1, None), slice(None, 2), slice(None, None, 3), slice(4, 5, 6), ...),
    )
