"""What no line of ours does, whoever wrote it."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("shared", "plugins", "daemon", "companion_app", "benchmarks", "docs")
UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
SECRETS = {
    *((name, "str") for name in ("device_key", "secret", "bearer", "token", "offer", "password")),
    *((name, "bytes") for name in ("key", "secret", "stretched", "server_nonce")),
}


@functools.cache
def sources() -> tuple[tuple[Path, ast.Module], ...]:
    paths = (path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py")))
    return tuple((path.relative_to(ROOT), ast.parse(path.read_text())) for path in paths)


def unpickling(tree: ast.Module) -> Iterator[str]:
    """Yield whatever in a module could unpickle, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            names = []
        yield from (f"{node.lineno}: import {name}" for name in names if name.partition(".")[0] in UNPICKLERS)  # type: ignore[attr-defined]
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called in ("torch.load", "np.load", "numpy.load"):
            allowed = [keyword.value for keyword in node.keywords if keyword.arg == "allow_pickle"]
            is_safe = "torch" not in called and all(
                isinstance(one, ast.Constant) and one.value is False for one in allowed
            )
            if not is_safe:
                yield f"{node.lineno}: {ast.unparse(node)}"
        elif called.endswith("read_pickle"):
            yield f"{node.lineno}: {ast.unparse(node)}"


def test_nothing_is_ever_unpickled() -> None:
    found = [f"{path}:{what}" for path, tree in sources() for what in unpickling(tree)]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib.numpy_pickle",
        "torch.load('m.pt', weights_only=True)",
        "np.load('a.npy', allow_pickle=True)",
        "np.load('a.npy', allow_pickle=flag)",
        "pd.read_pickle('x')",
    ],
)
def test_whatever_could_unpickle_would_be_found(source: str) -> None:
    assert list(unpickling(ast.parse(source)))


def test_no_shell_no_eval_and_no_archive_is_ever_unpacked() -> None:
    found = []
    for path, tree in sources():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            has_shell = any(
                keyword.arg == "shell" and ast.unparse(keyword.value) != "False" for keyword in node.keywords
            )
            is_archive = called.rpartition(".")[2] in ("extractall", "unpack_archive")
            if has_shell or is_archive or called in ("eval", "exec", "os.system", "os.popen", "yaml.load"):
                found.append(f"{path}:{node.lineno}: {ast.unparse(node)[:80]}")
    assert found == []


def shown_secrets(tree: ast.Module) -> Iterator[str]:
    """Yield the fields of dataclasses that hold a secret, by their name and type, and show it."""
    for kind in ast.walk(tree):
        if not isinstance(kind, ast.ClassDef) or not any(
            "dataclass" in ast.unparse(one) for one in kind.decorator_list
        ):
            continue
        for field in kind.body:
            if not isinstance(field, ast.AnnAssign) or "repr=False" in ast.unparse(field):
                continue
            if (ast.unparse(field.target), ast.unparse(field.annotation)) in SECRETS:
                yield f"{field.lineno}: {kind.name}.{ast.unparse(field.target)}"


def test_no_record_shows_a_secret_when_it_is_printed() -> None:
    found = [f"{path}:{what}" for path, tree in sources() for what in shown_secrets(tree)]
    assert found == []


def test_a_secret_that_is_shown_would_be_found() -> None:
    source = "@dataclass(frozen=True)\nclass A:\n    {}\n"
    assert list(shown_secrets(ast.parse(source.format("bearer: str")))) == ["3: A.bearer"]
    assert not list(shown_secrets(ast.parse(source.format("bearer: str = field(repr=False)"))))
