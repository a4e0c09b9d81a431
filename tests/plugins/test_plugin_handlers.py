"""Handlers that declarations name as text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeloop import load_handler
from edgeloop.handlers import reference_to
from edgeloop_shared.errors import ConflictError, PluginError


def test_functions_classes_and_what_they_hold_are_found() -> None:
    assert load_handler("json:dumps") is json.dumps
    assert load_handler("pathlib:Path.home") == Path.home
    assert load_handler(reference_to(PluginError)) is PluginError


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("json", "module:name"),
        (":dumps", "module:name"),
        ("json:", "module:name"),
        ("json:no_such_name", "json holds no no_such_name"),
        ("no_such_module_here:f", "No module named"),
        ("json.:f", "importing json"),
    ],
)
def test_what_is_missing_is_named(reference: str, reason: str) -> None:
    with pytest.raises(PluginError) as caught:
        load_handler(reference)
    assert reason in caught.value.message
    assert caught.value.details == {"handler": reference}


def test_what_a_module_raises_is_told_and_errors_for_the_user_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "raises_when_imported.py").write_text("1 / 0\n")
    (tmp_path / "tells_when_imported.py").write_text(
        "from edgeloop_shared.errors import ConflictError\nraise ConflictError('Not now.')\n"
    )
    with pytest.raises(PluginError, match="ZeroDivisionError"):
        load_handler("raises_when_imported:f")
    with pytest.raises(ConflictError, match="Not now"):
        load_handler("tells_when_imported:f")
