"""Plugins are loaded one by one; a broken one is named and left out, and the others stay."""

from __future__ import annotations

import json
import logging
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from daemon.plugins.conftest import NewPlugin

from edgeloop_daemon.plugins import Plugins, installed_plugins, load_plugins
from edgeloop_shared import __version__
from edgeloop_shared.errors import PluginError

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
        ("raise RuntimeError('broken at import')", "RuntimeError: broken at import"),
        ("import no_such_library", "No module named 'no_such_library'"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("def x(: pass", "SyntaxError"),
        ("@hookimpl\ndef edgeloop_model_tools():\n    raise KeyError('in the hook')", "in the hook"),
        ("@hookimpl\ndef edgeloop_model_tools():\n    return ['shrink']", "'shrink', which is no ModelTool"),
        ("@hookimpl\ndef edgeloop_model_tools():\n    return 4", "not iterable"),
        ("@hookimpl\ndef edgeloop_modell_tools():\n    return []", "edgeloop_modell_tools"),
        ("@hookimpl\ndef edgeloop_model_tools(extra):\n    return []", "extra"),
        (SHRINK.replace('"shrink", "Make', '"Shrink It", "Make'), "its name is 'Shrink It'"),
        (SHRINK.replace('"MODULE:shrink"', '"MODULE.shrink"'), "its handler is"),
        (
            SHRINK.replace("bits: int", "bits: complex"),
            "bits: <class 'complex'> is not a type that parameters may have",
        ),
        (SHRINK.replace("Shrink, Shrunk", "int, Shrunk"), "is not a dataclass"),
        (SHRINK.replace('"le": 8', '"pattern": "x"'), "'pattern' is no constraint for this type"),
        (
            SHRINK.replace("output: str", "output: type(sys)").replace("class Mode", "import sys\n    class Mode"),
            "its result",
        ),
        (SHRINK.replace("output: str", "output: NoSuchType"), "NoSuchType"),
        (SHRINK.replace('Shrunk, "MODULE:shrink")]', 'Shrunk, "MODULE:shrink")] * 2'), "twice"),
        (FULL.replace('"notes"', '"tools"'), "cannot be called 'tools'"),
        (FULL.replace('"notes"', '"shrink"'), "both a tool and a group"),
        (FULL.replace('"sort"', '"list"'), "declares the operation 'notes list' twice"),
        (FULL.replace("MODULE:Moon", "Moon"), "its implementation is 'Moon'"),
        (FULL.replace("MODULE:crater", "crater"), "its folder is 'crater'"),
        (FULL.replace('("create",', '("a b",'), "the source control: its create"),
    ],
)
def test_a_plugin_that_breaks_its_contract_is_left_out_and_the_others_stay(
    new_plugin: NewPlugin, caplog: pytest.LogCaptureFixture, source: str, words: str
) -> None:
    good = SHRINK.replace('"shrink"', '"squeeze"')
    with caplog.at_level(logging.INFO):
        plugins = load_plugins([new_plugin("bad", source), new_plugin("good", good)])

    assert words in _error(plugins, "bad")
    assert [tool.name for tool in plugins.model_tools()] == ["squeeze"]
    assert [plugin.state for plugin in plugins.listed()] == ["failed", "loaded"]
    assert "Loading the plugin bad" in caplog.text
    assert "bad" in next(record.getMessage() for record in caplog.records if record.levelno == logging.ERROR)


def test_a_name_that_another_plugin_has_is_refused_and_nothing_of_the_later_one_stays(new_plugin: NewPlugin) -> None:
    plugins = load_plugins([new_plugin("first", SHRINK), new_plugin("second", FULL)])

    assert "declares the tool 'shrink' too, which the plugin first has already" in _error(plugins, "second")
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
