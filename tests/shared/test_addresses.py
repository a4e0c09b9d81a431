from __future__ import annotations

import pytest

from edgeloop_shared.addresses import parse_address, show_address
from edgeloop_shared.errors import InvalidInputError


@pytest.mark.parametrize(
    ("host", "shown"),
    [("192.168.1.7", "192.168.1.7:40123"), ("fd00::2", "[fd00::2]:40123"), ("laptop.local", "laptop.local:40123")],
)
def test_an_address_is_shown_as_it_is_typed(host: str, shown: str) -> None:
    assert show_address(host, 40123) == shown
    assert parse_address(shown) == (host, 40123)


@pytest.mark.parametrize(
    "text", ["", "laptop", "laptop:", ":40123", "laptop:0", "laptop:65536", "a b:1", "a/b:1", "x" * 254 + ":1"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        parse_address(text)
