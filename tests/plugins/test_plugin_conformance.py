"""The conformance suite: the built-in plugins pass it, and it finds what authors get wrong."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeloop.testing import PluginConformance, check_plugin


class TestModelTools(PluginConformance):
    plugin = "edgeloop_plugins.model_tools.plugin"


@pytest.mark.parametrize("name", ["git_flow", "templates", "training_local"])
def test_the_built_in_plugins_conform(name: str) -> None:
    check_plugin(f"edgeloop_plugins.{name}.plugin")


SOUND = """
    from dataclasses import dataclass, field
    from edgeloop import *

    @dataclass(frozen=True)
    class Shrink:
        model: ModelPath = field(metadata={"description": "the model"})

    @dataclass(frozen=True)
    class Shrunk:
        output: str

    def shrink(parameters, context):
        return Shrunk(parameters.model)

    class Moon:
        def __init__(self, parameters, context): pass
        def submit(self, run): pass
        def status(self, reference): pass
        def follow_logs(self, reference): pass
        def stop(self, reference): pass
        def fetch_artifacts(self, reference, folder): pass

    @hookimpl
    def edgeloop_model_tools():
        return [ModelTool("shrink", "Make a model smaller.", Shrink, Shrunk, "MODULE:shrink")]

    @hookimpl
    def edgeloop_training_backends():
        return [TrainingBackend("moon", "Train there.", Shrink, "MODULE:Moon")]
"""
TEMPLATE = """
    @hookimpl
    def edgeloop_project_templates():
        return [ProjectTemplate("crater", "A crater.", "FOLDER")]
"""
CONTROL = """
    def one(workspace): pass

    @hookimpl
    def edgeloop_source_control():
        return SourceControl(*["MODULE:one"] * 6)
"""


@pytest.fixture
def new_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Return a function that writes an installed plugin's declaration module and returns the module's name."""
    module = f"conforming_{abs(hash(str(tmp_path)))}"
    monkeypatch.syspath_prepend(tmp_path)
    information = tmp_path / "conforming-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: conforming\nVersion: 1\n")
    (information / "entry_points.txt").write_text(f"[edgeloop]\nconforming = {module}\n")

    def write(source: str) -> str:
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(source).replace("MODULE", module))
        return module

    return write


def test_a_sound_plugin_conforms(new_module: Callable[[str], str]) -> None:
    check_plugin(new_module(SOUND))


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (SOUND.replace('"MODULE:shrink"', '"MODULE:shrinc"'), "MODULE holds no shrinc"),
        (
            SOUND.replace("def shrink(parameters, context)", "def shrink(parameters)"),
            "MODULE:shrink does not take 2 arg",
        ),
        (
            SOUND.replace("def shrink(parameters, context)", "shrink = 3\n    def x()"),
            "MODULE:shrink cannot be called.",
        ),
        (SOUND.replace("def stop", "def halt"), "MODULE:Moon has no stop. edgeloop.Training says what they do."),
        (SOUND.replace(' = field(metadata={"description": "the model"})', ""), "Shrink.model has no description."),
        (SOUND.replace("output: str", "output: list[str]"), "Shrunk.output: list[str] cannot be read back. Use str,"),
        (SOUND.replace("output: str", "output: tuple[set[int], ...]"), "Shrunk.output: set[int] cannot be read back."),
        (SOUND + "    import numpy", "It imports numpy: import that in the handlers' modules only."),
        (SOUND + "    print('hello')", "It prints 6 bytes while it is imported."),
        (SOUND + "    sum(range(10**8))", "s of processor time to import."),
        ("    from edgeloop import hookimpl", "MODULE declares nothing."),
        ("    raise RuntimeError('no')", "RuntimeError: no"),
        (SOUND + TEMPLATE.replace("FOLDER", "json:templates"), "'crater' holds no edgeloop.toml at json:templates."),
        (SOUND + TEMPLATE.replace("FOLDER", "no_such_package:x"), "No module named 'no_such_package'"),
        (SOUND + CONTROL, "MODULE:one does not take 3 arguments."),
    ],
)
def test_what_an_author_gets_wrong_is_told(new_module: Callable[[str], str], source: str, problem: str) -> None:
    module = new_module(source)
    with pytest.raises(AssertionError) as caught:
        check_plugin(module)
    assert problem.replace("MODULE", module) in str(caught.value)


def test_a_module_that_no_distribution_names_is_told_how_to_be_found() -> None:
    with pytest.raises(AssertionError, match=r"No installed distribution names json\.tool\. Add it below \[project\."):
        check_plugin("json.tool")


def test_the_helpers_for_tests_bring_no_test_framework() -> None:
    code = "import sys, edgeloop.testing; print({'pytest', 'numpy', 'pydantic', 'aiohttp'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
