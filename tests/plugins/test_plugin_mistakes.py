"""The mistakes of a plugin's author: each is told in one sentence, with what to do."""

from __future__ import annotations

import textwrap
import types

import pytest

from edgeloop.declared import read_declarations
from edgeloop_shared.errors import PluginError

SOUND = """
from dataclasses import dataclass, field
from edgeloop import *

@dataclass(frozen=True)
class Shrink:
    model: ModelPath
    bits: int = field(default=8, metadata={"ge": 2, "le": 8})

@dataclass(frozen=True)
class Shrunk:
    output: str

@hookimpl
def edgeloop_model_tools():
    return [ModelTool("shrink", "Make a model smaller.", Shrink, Shrunk, "shrinking.work:shrink")]
"""


def module(source: str) -> types.ModuleType:
    made = types.ModuleType("shrinking")
    made.__dict__["__name__"] = __name__  # dataclasses look their module up
    exec(compile(textwrap.dedent(source), "shrinking.py", "exec", dont_inherit=True), made.__dict__)
    return made


def test_a_sound_plugin_declares_its_tool() -> None:
    assert read_declarations(module(SOUND), "shrinking").names == (("tool", "shrink"),)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (
            "edgeloop_model_tools",
            "edgeloop_model_tool",
            "There is no hook edgeloop_model_tool. Call it edgeloop_model_tools.",
        ),
        ("@hookimpl\n", "", "edgeloop_model_tools is not marked as a hook. Put @edgeloop.hookimpl above it."),
        ("tools():", "tools(config):", "asks for arguments, and is given none. Write `def edgeloop_model_tools():`."),
        (
            "return [",
            "return 4 and {}['x'] if 0 else 4 or [",
            "edgeloop_model_tools returned 4. Return a list of ModelTool.",
        ),
        ('"shrink", "Make', '"Shrink It", "Make', "lower-case words joined by hyphens: 'shrink-it', say."),
        ('"Make a model smaller."', '""', "The tool 'shrink' has no summary. Say in one line what it does;"),
        ('"shrinking.work:shrink"', "print", "names <built-in function print> as its handler. Write it as text:"),
        ("Shrink, Shrunk", "Shrink, dict", "The tool 'shrink': its result is <class 'dict'>, which is no dataclass."),
        ("Shrink, Shrunk", "Shrink(''), Shrunk", "which is no dataclass. Declare a class with @dataclass(frozen=True)"),
        ("frozen=True)\nclass Shrink:", ")\nclass Shrink:", "Shrink can be changed. Write @dataclass(frozen=True)."),
        ("bits: int", "bits: complex", "<class 'complex'> is not a type that parameters may have."),
        ("default=8", "default=16", "the default of Shrink.bits does not fit: it"),
        ("output: str", "output: 'Missing'", "the types of Shrunk cannot be read: name 'Missing' is not defined."),
        ("return [", "return 2 * [", "It declares the tool 'shrink' twice. Rename or remove one of the two."),
    ],
)
def test_a_mistake_is_told_with_its_remedy(before: str, after: str, told: str) -> None:
    assert before in SOUND
    with pytest.raises(PluginError) as caught:
        read_declarations(module(SOUND.replace(before, after)), "shrinking")
    assert told in str(caught.value)
