"""Plugins are loaded one by one; a broken one is named and left out, and the others stay."""

from __future__ import annotations

import importlib.util
import json
import logging
import stat
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from daemon.plugins.conftest import NewPlugin

from edgeloop.trial import try_plugin
from edgeloop_daemon.disabled_plugins import DisabledPlugins
from edgeloop_daemon.plugins import Plugins, installed_plugins, load_plugins
from edgeloop_shared import __version__
from edgeloop_shared.errors import NotFoundError, PluginError

SHRINK = """
    class Mode(enum.Enum):
        FAST = "fast"
        GOOD = "good"

    @dataclass(frozen=True)
    class Shrink:
        model: ModelPath = field(metadata={"description": "the model"})
        bits: int = field(default=8, metadata={"ge": 2, "le": 8, "description": "bits per weight"})
        mode: Mode = Mode.GOOD
        data: tuple[DataPath, ...] = ()

    @dataclass(frozen=True)
    class Shrunk:
        output: str

    @hookimpl
    def edgeloop_model_tools():
        return [ModelTool("shrink", "Make a model smaller.", Shrink, Shrunk, "MODULE:shrink")]
"""
FULL = (
    SHRINK
    + """
    @dataclass(frozen=True)
    class None_:
        pass

    @hookimpl
    def edgeloop_workspace_operations():
        yield WorkspaceOperation("notes", "list", "List the notes.", None_, Shrunk, "MODULE:list_notes", runs="query")
        yield WorkspaceOperation("notes", "sort", "Sort the notes.", None_, Shrunk, "MODULE:sort_notes")

    @hookimpl
    def edgeloop_training_backends():
        return (TrainingBackend("moon", "Train on the moon.", None_, "MODULE:Moon"),)

    @hookimpl
    def edgeloop_project_templates():
        return [ProjectTemplate("crater", "A crater.", "MODULE:crater")]

    @hookimpl
    def edgeloop_source_control():
        return SourceControl(*(f"MODULE:{name}" for name in ("create", "locate", "examine", "snapshot", "checkout", "discard")))
"""
)


def _error(plugins: Plugins, name: str) -> str:
    (found,) = (plugin for plugin in plugins.listed() if plugin.name == name)
    assert found.state == "failed"
    return found.error


def test_what_a_plugin_declares_is_listed(new_plugin: NewPlugin) -> None:
    plugins = load_plugins([new_plugin("full", FULL)])

    (info,) = plugins.listed()
    assert (info.name, info.state, info.error) == ("full", "loaded", "")
    assert (info.tools, info.backends, info.templates) == (("shrink",), ("moon",), ("crater",))
    assert info.operations == ("notes list", "notes sort")
    assert [tool.name for tool in plugins.model_tools()] == ["shrink"]
    assert [(plugin, one.runs) for plugin, one in plugins.workspace_operations()] == [
        ("full", "query"),
        ("full", "job"),
    ]
    assert plugins.source_control()[0] == "full"


def test_the_command_lines_declarations_are_written(new_plugin: NewPlugin, tmp_path: Path) -> None:
    path = tmp_path / "declarations.json"
    load_plugins([new_plugin("full", FULL)]).write_declarations(path)
    record = json.loads(path.read_text())

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (record["version"], record["prefix"]) == (__version__, sys.prefix)
    (tool,) = record["tools"]
    assert [(p["name"], p["kind"], p["required"], p["many"]) for p in tool["parameters"]] == [
        ("model", "model-path", True, False),
        ("bits", "integer", False, False),
        ("mode", "choice", False, False),
        ("data", "data-path", False, True),
    ]
    assert tool["parameters"][1]["constraints"] == {"ge": 2, "le": 8}
    assert (tool["parameters"][2]["choices"], tool["parameters"][2]["default"]) == (["fast", "good"], "good")
    assert [(one["group"], one["name"]) for one in record["operations"]] == [("notes", "list"), ("notes", "sort")]
    assert record["backends"][0]["name"] == "moon"
    assert record["templates"] == [{"name": "crater", "summary": "A crater."}]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("raise RuntimeError('broken at import')", "RuntimeError: broken at import (FILE, line 8)"),
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library' (FILE, line 8)"),
        ("import sys; sys.exit(3)", "SystemExit: 3 (FILE, line 8)"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt (FILE, line 8)"),
        ("def x(: pass", "SyntaxError: invalid syntax ("),
        ("import os; os._exit(0)", "It ended the process that imported it."),
        ("import ctypes; ctypes.string_at(0)", "crashed natively (SIGSEGV)"),
        ("import threading; threading.Event().wait()", "did not end within 3 s"),
        ("@hookimpl\ndef edgeloop_model_tools():\n    raise KeyError('in the hook')", "in the hook"),
        (
            SHRINK.replace("bits: int", "bits: complex"),
            "bits: <class 'complex'> is not a type that parameters may have",
        ),
        (
            SHRINK.replace("output: str", "output: type(sys)").replace("class Mode", "import sys\n    class Mode"),
            "'shrink': Shrunk cannot be described in JSON",
        ),
        (SHRINK.replace('"shrink", "Make', '"status", "Make'), "`edgeloop status` is a command of edgeloop itself."),
        (FULL.replace('"notes"', '"shrink"'), "'shrink' would be both a tool and a group"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_is_left_out_and_the_others_stay(
    new_plugin: NewPlugin, caplog: pytest.LogCaptureFixture, source: str, words: str
) -> None:
    bad = new_plugin("bad", source)
    with caplog.at_level(logging.INFO):
        plugins = load_plugins([bad, new_plugin("good", SHRINK.replace('"shrink"', '"squeeze"'))], seconds=3)

    spec = importlib.util.find_spec(bad.module)
    assert spec is not None
    assert words.replace("FILE", str(spec.origin)) in _error(plugins, "bad")
    assert [tool.name for tool in plugins.model_tools()] == ["squeeze"]
    assert [plugin.state for plugin in plugins.listed()] == ["failed", "loaded"]
    assert "Trying the plugin bad" in caplog.text
    assert "bad" in next(record.getMessage() for record in caplog.records if record.levelno == logging.ERROR)


def test_the_place_of_a_native_crash_is_in_the_log(new_plugin: NewPlugin, caplog: pytest.LogCaptureFixture) -> None:
    entry = new_plugin("bad", "import ctypes\ndef crash():\n    ctypes.string_at(0)\ncrash()")
    load_plugins([entry])

    assert f'{entry.module}.py", line 10 in crash' in caplog.text


def test_what_a_declaration_module_should_not_do_is_remarked(new_plugin: NewPlugin) -> None:
    source = """
        import subprocess, sys, threading
        import numpy
        subprocess.Popen(["sleep", "600"])
        threading.Thread(target=threading.Event().wait, name="own thread").start()
        sys.stdout.buffer.write(b"\\xff" * 3_000_000)
    """
    trial = try_plugin(new_plugin("loud", source))

    assert trial.error == ""
    assert trial.remarks == (
        "It imports numpy: import that in the handlers' modules only.",
        "It starts the thread 'own thread' while it is imported.",
        "It starts a process while it is imported.",
        "It prints 3000000 bytes while it is imported.",
    )


def test_a_disabled_plugin_is_listed_and_not_even_tried(new_plugin: NewPlugin, tmp_path: Path) -> None:
    witness = tmp_path / "imported"
    entries = [new_plugin("off", f"Path({str(witness)!r}).touch()"), new_plugin("on", SHRINK)]
    disabled = DisabledPlugins(tmp_path / "disabled.json")
    disabled.change("off", is_disabled=True)
    plugins = load_plugins(entries, disabled=disabled)

    assert [(info.name, info.state, info.is_enabled) for info in plugins.listed()] == [
        ("off", "disabled", False),
        ("on", "loaded", True),
    ]
    assert not witness.exists()
    plugins.set_enabled("off", is_enabled=True)
    plugins.set_enabled("on", is_enabled=False)
    assert [info.is_enabled for info in plugins.listed()] == [True, False]
    assert [info.state for info in load_plugins(entries, disabled=disabled).listed()] == ["loaded", "disabled"]
    with pytest.raises(NotFoundError, match="No plugin is called 'nobody'"):
        plugins.set_enabled("nobody", is_enabled=True)


def test_a_damaged_list_of_disabled_plugins_disables_none(tmp_path: Path) -> None:
    path = tmp_path / "disabled.json"
    for text in ("[", '{"a": 1}', "[4]"):
        path.write_text(text)
        assert DisabledPlugins(path).names() == frozenset()
    DisabledPlugins(path).change("one", is_disabled=True)
    assert DisabledPlugins(path).names() == {"one"}


def test_two_distributions_cannot_have_plugins_of_one_name(new_plugin: NewPlugin) -> None:
    first, second = new_plugin("same", SHRINK), new_plugin("other", SHRINK.replace('"shrink"', '"squeeze"'))
    plugins = load_plugins([first, EntryPoint("same", second.module, "edgeloop")])

    assert [info.state for info in plugins.listed()] == ["loaded", "failed"]
    assert "Another distribution has a plugin called 'same' already." in plugins.listed()[1].error


def test_a_name_that_another_plugin_has_is_refused_and_nothing_of_the_later_one_stays(new_plugin: NewPlugin) -> None:
    plugins = load_plugins([new_plugin("first", SHRINK), new_plugin("second", FULL)])

    assert "It declares the tool 'shrink', which the plugin first has already." in _error(plugins, "second")
    assert plugins.training_backends() == ()
    with pytest.raises(PluginError, match="No plugin records the state"):
        plugins.source_control()


def test_two_plugins_may_add_to_one_group_of_operations(new_plugin: NewPlugin) -> None:
    def only_operations(name: str) -> str:
        return FULL[: FULL.index("    @hookimpl\n    def edgeloop_training")].replace('"shrink"', f'"{name}"')

    more = only_operations("other").replace('"list"', '"count"').replace('"sort"', '"shuffle"')
    plugins = load_plugins([new_plugin("one", only_operations("one")), new_plugin("two", more)])

    assert [plugin.error for plugin in plugins.listed()] == ["", ""]
    assert len(plugins.workspace_operations()) == 4


def test_the_installed_plugins_are_all_sound() -> None:
    plugins = load_plugins(installed_plugins())

    assert {plugin.name: plugin.error for plugin in plugins.listed() if plugin.error} == {}
    assert {plugin.distribution for plugin in plugins.listed()} >= {"edgeloop"}
    assert all(plugin.version for plugin in plugins.listed())
    assert {tool.name for tool in plugins.model_tools()} >= {"convert", "quantize", "inspect", "compare"}
    assert {template.name for template in plugins.project_templates()} >= {"digits-mnn", "empty"}
    assert plugins.source_control()[0] == "git_flow"


def test_loading_the_installed_plugins_imports_nothing_heavy() -> None:
    code = (
        "import sys; from edgeloop_daemon.plugins import *; load_plugins(installed_plugins());"
        "print(sorted({'MNN', 'numpy', 'git', 'onnx', 'sklearn', 'aiohttp'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
