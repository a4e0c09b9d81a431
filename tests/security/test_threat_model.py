"""`docs/threat-model.md`: every threat names the tests that hold it, and they are there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "threat-model.md"
THREATS = (
    *("man in the middle", "rogue", "relayed", "reuse", "expir", "guess", "racing", "reflect", "replay", "downgrade"),
    *("revoked during a transfer", "resum", "bearer of another", "slow", "flood", "oversized", "rebind", "cross-site"),
    *("unauthenticated", "smuggl", "markup", "escape", "hostile bundle", "hostile record", "compress", "pickle"),
    *("lie about", "git", "link", "symbolic", "secrets", "untrusted workspace", "debugger"),
)


def rows() -> list[tuple[str, str, str]]:
    _, _, section = PAGE.read_text().partition("## Threats")
    lines = [line for line in section.splitlines() if line.startswith("| ") and not line.startswith("| ---")]
    cells = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]
    return [(row[0], row[1], row[2]) for row in cells if len(row) == 3 and row[0] != "threat"]


def names_of_tests(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


def named_tests() -> Iterator[tuple[str, str]]:
    for _, _, tests in rows():
        yield from re.findall(r"`([\w/]+\.py)::(\w+)`", tests)


def test_every_threat_is_answered_by_a_protection_and_by_tests() -> None:
    assert len(rows()) >= 30
    for threat, protection, tests in rows():
        assert len(protection) > 20, threat
        assert re.search(r"`[\w/]+\.py::test_\w+`", tests), threat


def test_every_named_test_exists() -> None:
    files = {file: names_of_tests(ROOT / "tests" / file) for file in {file for file, _ in named_tests()}}
    assert [f"{file}::{name}" for file, name in named_tests() if name not in files[file]] == []


@pytest.mark.parametrize("threat", THREATS)
def test_the_threats_of_the_plan_are_all_there(threat: str) -> None:
    assert any(threat in row[0].lower() for row in rows()), threat


def test_the_page_says_what_is_not_protected() -> None:
    text = PAGE.read_text().lower()
    for limit in ("## what is not protected", "root", "once trusted", "side channel", "denial of service"):
        assert limit in text, limit
