"""The folder `packaging-android` as the tests see it: its script, its specification, and what it stages."""

from __future__ import annotations

import ast
import configparser
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

TOP = Path(__file__).parents[2]
PACKAGING = TOP / "companion_app" / "packaging-android"


def load_stage(packaging: Path = PACKAGING) -> ModuleType:
    """Return the module `stage.py` in a folder, which no import finds."""
    described = importlib.util.spec_from_file_location("stage_android", packaging / "stage.py")
    assert described is not None
    assert described.loader is not None
    module = importlib.util.module_from_spec(described)
    sys.modules[described.name] = module  # where dataclasses look for it
    described.loader.exec_module(module)
    return module


def read_spec(path: Path = PACKAGING / "buildozer.spec") -> configparser.SectionProxy:
    """Return what the specification says of the app."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    with path.open() as file:
        parser.read_file(file)
    return parser["app"]


def listed(spec: configparser.SectionProxy, key: str) -> list[str]:
    """Return the values of a list, as buildozer does: between commas."""
    return [value.strip() for value in spec[key].split(",") if value.strip()]


def requirements(spec: configparser.SectionProxy) -> dict[str, str]:
    """Return the pinned version of each requirement, empty for those that python-for-android's own recipes pin."""
    return dict(one.partition("==")[::2] for one in listed(spec, "requirements"))


def imports(tree: ast.Module) -> Iterator[str]:
    """Yield the top-level name of every module that is imported, but those only for type checkers."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            assert node.module is not None
            yield node.module.partition(".")[0]
        waiting += ast.iter_child_nodes(node)
