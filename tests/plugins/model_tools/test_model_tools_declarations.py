from __future__ import annotations

import dataclasses
import importlib
import subprocess
import sys

import pluggy

from edgeloop import hookspecs
from edgeloop.parameters import describe_parameters
from edgeloop_plugins.model_tools import plugin


def test_the_entry_point_declares_all_tools() -> None:
    manager = pluggy.PluginManager("edgeloop")
    manager.add_hookspecs(hookspecs)
    manager.register(plugin)

    tools = [tool for found in manager.hook.edgeloop_model_tools() for tool in found]

    assert [tool.name for tool in tools] == ["convert", "quantize", "inspect", "compare", "diverge"]
    for tool in tools:
        module, name = tool.handler.split(":")
        assert callable(getattr(importlib.import_module(module), name))
        assert dataclasses.is_dataclass(tool.result)
        assert all(parameter.description for parameter in describe_parameters(tool.parameters))


def test_models_are_positional_and_everything_else_has_a_default() -> None:
    required = {
        tool.name: [parameter.name for parameter in describe_parameters(tool.parameters) if parameter.required]
        for tool in plugin.edgeloop_model_tools()
    }

    assert required == {
        "convert": ["model"],
        "quantize": ["model"],
        "inspect": ["model"],
        "compare": ["reference", "variants"],
        "diverge": ["model"],
    }


def test_the_declaration_imports_nothing_heavy() -> None:
    script = (
        "import sys, edgeloop_plugins.model_tools.plugin;"
        "print([name for name in ('MNN', '_tools', 'numpy', 'flatbuffers', 'onnx', 'edgeloop_task') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
