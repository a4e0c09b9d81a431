"""The specification of the Android app against what it stages: python-for-android itself is only there in `make lint-android`."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from android_app.staging import PACKAGING, TOP, imports, listed, read_spec, requirements

IMPORTED_AS = {"MNN": "MNN", "pyjnius": "jnius"}
ALSO = {"debugpy": {"pydevd", "_pydevd_bundle"}}
OWN = {"edgeloop_companion", "edgeloop_task", "edgeloop_shared"}
ELSEWHERE = {"PIL", "uvloop", "zxingcpp"}
"""What adapters for other platforms import, and what is done without where it is not there."""
PYTHON = {"python3", "hostpython3"}
ABSENT = {
    # "Mobile platforms" in the introduction of Python's library reference
    *("curses", "dbm", "ensurepip", "grp", "idlelib", "multiprocessing", "readline", "tkinter", "turtle", "venv"),
    # removed in 3.12 and 3.13; PEP 594 and the lists of removals
    *("asynchat", "asyncore", "cgi", "cgitb", "chunk", "crypt", "distutils", "imghdr", "imp", "lib2to3", "mailcap"),
    *("nis", "nntplib", "pipes", "smtpd", "sndhdr", "spwd", "sunau", "telnetlib", "uu", "xdrlib", "audioop"),
}
USES = {
    "INTERNET": r"aiohttp|create_connection",
    "ACCESS_NETWORK_STATE": r"CONNECTIVITY_CHANGE",
    "CHANGE_WIFI_MULTICAST_STATE": r"createMulticastLock",
    "CAMERA": r"Permission\.CAMERA",
    "WAKE_LOCK": r"newWakeLock",
    "POST_NOTIFICATIONS": r"Permission\.POST_NOTIFICATIONS",
}
"""What in the sources needs a permission, by Android's reference."""
SERVICE_PERMISSIONS = {"FOREGROUND_SERVICE", "FOREGROUND_SERVICE_CONNECTED_DEVICE"}
OTHER_APIS = {
    "ACCESS_FINE_LOCATION": r"LocationManager|getScanResults",
    "ACCESS_WIFI_STATE": r"getConnectionInfo|getWifiState|getDhcpInfo",
    "BLUETOOTH_CONNECT": r"BluetoothAdapter",
    "CHANGE_NETWORK_STATE": r"requestNetwork",
    "RECORD_AUDIO": r"MediaRecorder|AudioRecord",
    "VIBRATE": r"Vibrator|plyer\.vibrator",
    "WRITE_EXTERNAL_STORAGE": r"primary_external_storage_path|getExternalStorageDirectory",
}
"""What would need one that the app does not ask for."""

SPEC = read_spec()


def pins() -> dict[str, str]:
    """Return the versions in constraints.txt by their names in lower case."""
    lines = (line.partition("==") for line in (TOP / "constraints.txt").read_text().splitlines())
    return {name.lower(): version for name, _, version in lines if version}


def needs(name: str) -> set[str]:
    """Return what a package needs on Python 3.14 for Android, and what that needs."""
    found = set()
    for text in importlib.metadata.requires(name) or ():
        requirement, _, marker = text.partition(";")
        # Markers here name extras, old Pythons and other platforms.
        if marker and ("extra" in marker or "<" in marker):
            continue
        needed = re.split(r"[<>=!~\[ ]", requirement, maxsplit=1)[0]
        found |= {needed, *needs(needed)}
    return found


def java_and_python(sources: dict[Path, ast.Module]) -> str:
    """Return all that the sources say but their docstrings, which speak of what is not done as well."""
    return "\n".join(ast.unparse(strip_docstrings(ast.parse(ast.unparse(tree)))) for tree in sources.values())


def strip_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            kept = [one for one in body if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))]
            node.body = kept or [ast.Pass()]  # type: ignore[attr-defined]
    return tree


def test_versions_are_those_of_the_constraints() -> None:
    own = {name: version for name, version in requirements(SPEC).items() if version and name not in PYTHON}
    assert {"aiohttp", "zeroconf", "debugpy", "MNN"} < own.keys()
    known = pins()
    assert own == {name: known[name.lower()] for name in own}


def test_recipes_of_ours_have_the_versions_of_the_specification() -> None:
    wanted = {name.lower(): version for name, version in requirements(SPEC).items()}
    recipes = sorted((PACKAGING / "recipes").glob("*/__init__.py"))
    assert len(recipes) == 4
    for path in recipes:
        version = re.search(r'^    version = "(.*)"$', path.read_text(), re.MULTILINE)
        assert version is not None
        assert version[1] == wanted[path.parent.name]


def test_every_import_of_the_app_is_a_requirement(sources: dict[Path, ast.Module]) -> None:
    provided = {IMPORTED_AS.get(name, name) for name in requirements(SPEC)}.union(*ALSO.values())
    imported = {name for tree in sources.values() for name in imports(tree)}
    assert "aiohttp" in imported
    assert imported - sys.stdlib_module_names - OWN - ELSEWHERE <= provided


def test_every_requirement_is_imported_or_needed_by_one_that_is(sources: dict[Path, ast.Module]) -> None:
    imported = {name for tree in sources.values() for name in imports(tree)}
    asked = set(requirements(SPEC)) - PYTHON
    direct = {name for name in asked if IMPORTED_AS.get(name, name) in imported}
    # python-for-android adds those of its own recipes; kivy's own come with its recipe.
    needed = {one for name in direct - {"kivy", "numpy", "MNN", "android", "pyjnius"} for one in needs(name)}
    assert {"yarl", "multidict"} < needed
    assert asked == direct | needed


def test_nothing_is_imported_that_python_lacks_on_android(sources: dict[Path, ast.Module]) -> None:
    found = {(str(path), name) for path, tree in sources.items() for name in imports(tree) if name in ABSENT}
    assert found == set()


def test_nothing_leaves_a_finally_clause_early(sources: dict[Path, ast.Module]) -> None:
    """Python 3.14 warns of that (PEP 765); the app's Python is newer than the one that the tests run on."""

    def leaving(nodes: list[ast.stmt]) -> Iterator[int]:
        for node in nodes:
            if isinstance(node, ast.Return | ast.Break | ast.Continue):
                yield node.lineno
            elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.For | ast.While):
                yield from leaving([child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)])

    found = [
        f"{path}:{line}"
        for path, tree in sources.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Try)
        for line in leaving(node.finalbody)
    ]
    assert found == []


def test_every_permission_is_used_and_everything_that_needs_one_has_it(sources: dict[Path, ast.Module]) -> None:
    text = java_and_python(sources)
    used = {permission for permission, pattern in USES.items() if re.search(pattern, text)}
    services = SERVICE_PERMISSIONS if ":foreground" in SPEC["services"] else set()
    assert set(listed(SPEC, "android.permissions")) == used | services
    assert [permission for permission, pattern in OTHER_APIS.items() if re.search(pattern, text)] == []


def test_each_slot_has_a_service_of_its_own_whose_script_is_staged(
    staged: Path, sources: dict[Path, ast.Module]
) -> None:
    starter = sources[Path("edgeloop_companion/phone/android_workers.py")]
    slots = re.search(r"^SLOTS = (\d+)$", ast.unparse(starter), re.MULTILINE)
    assert slots is not None
    services = [one.split(":") for one in listed(SPEC, "services")]
    assert [name for name, *_ in services] == [f"Worker{slot}" for slot in range(int(slots[1]))]
    for _, script, *options in services:
        assert (staged / "app" / script).is_file()
        assert options == ["foreground", "foregroundServiceType=connectedDevice"]


def test_every_kind_of_file_that_is_staged_is_packaged(staged: Path) -> None:
    files = json.loads((staged / "manifest.json").read_text())["files"]
    kinds = {Path(name).suffix.removeprefix(".") for name in files}
    assert {"py", "kv"} <= kinds <= set(listed(SPEC, "source.include_exts"))


def test_every_file_that_the_specification_names_is_there(staged: Path) -> None:
    keys = [key for key in SPEC if key.endswith(".filename") and key != "version.filename"]
    keys += ["p4a.local_recipes", "source.dir", "android.extra_manifest_xml"]
    assert len(keys) == 7
    assert [key for key in keys if not (staged / SPEC[key]).exists()] == []
    version = re.search(SPEC["version.regex"], (staged / "app/edgeloop_shared/__init__.py").read_text())
    assert version is not None
    assert re.fullmatch(r"\d+\.\d+\.\d+", version[1])


def test_pairings_are_in_no_backup() -> None:
    assert SPEC["android.allow_backup"] == "False"


def test_the_app_turns_with_the_phone_and_runs_where_its_packages_do() -> None:
    assert listed(SPEC, "orientation") == ["portrait", "landscape"]
    assert (SPEC["android.minapi"], listed(SPEC, "android.archs")) == ("24", ["arm64-v8a"])


IMPORT_ALL = """
import importlib, os, sys

allowed = set(sys.argv[1].split(","))
finders = list(sys.meta_path)

class OnThePhone:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in allowed and top not in sys.stdlib_module_names:
            return None
        return next(filter(None, (finder.find_spec(name, path, target) for finder in finders)), None)

sys.meta_path[:] = [OnThePhone()]
here = os.getcwd()
count = 0
for name in sys.argv[2].split(","):
    module = importlib.import_module(name)
    assert module.__file__.startswith(here), module.__file__
    count += 1
print(count)
"""


def test_the_app_imports_with_nothing_but_its_requirements(staged: Path, sources: dict[Path, ast.Module]) -> None:
    """All but its screens, which open a window, and adapters for a platform: those are read only."""
    modules = [
        ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        for path, tree in sources.items()
        if path.parts[0] in OWN
        and path.name != "__main__.py"
        and "ui" not in path.parts
        and not {"android", "jnius", "PIL", "zxingcpp"} & set(imports(tree))
    ]
    assert len(modules) > 150
    allowed = {*OWN, *(IMPORTED_AS.get(name, name) for name in requirements(SPEC)), "attr"}.union(*ALSO.values())
    allowed -= {"kivy", "jnius", "android"}
    allowed |= {"typing_extensions"} if sys.version_info < (3, 13) else set()  # what aiohttp needs on older Pythons
    command = [sys.executable, "-OO", "-c", IMPORT_ALL, ",".join(allowed), ",".join(modules)]
    done = subprocess.run(command, cwd=staged / "app", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(modules)


@pytest.mark.parametrize("name", ["pluggy", "click", "cryptography", "sqlite3", "pydantic", "git"])
def test_nothing_of_the_daemon_is_in_the_app(sources: dict[Path, ast.Module], name: str) -> None:
    assert name not in {one for tree in sources.values() for one in imports(tree)}
    assert name not in requirements(SPEC)
