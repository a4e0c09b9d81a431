"""What editors are told, and how it is put beside what is there without losing any of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeloop_daemon.cli.editor_configurations import EDITORS, NAME, configuration_of, write_configuration
from edgeloop_daemon.cli.json_with_comments import add_to_array, parse
from edgeloop_shared.errors import InvalidInputError

THEIRS = """\
// mine, "configurations": [ is not one
{
    "version": "0.2.0", /* the only one */
    "inputs": [{"id": "configurations", "configurations": [1]}],
    "configurations": [
        // the tests
        {"name": "pytest", "type": "debugpy", "args": ["-k", "a // b", "]"],},
    ],
}
"""


def test_a_workspace_without_any_gets_the_files_whole(tmp_path: Path) -> None:
    written = write_configuration("vscode", tmp_path)

    assert [path.relative_to(tmp_path).as_posix() for path in written] == [".vscode/tasks.json", ".vscode/launch.json"]
    tasks, launch = (json.loads(path.read_text()) for path in written)
    (one,) = launch["configurations"]
    assert one["name"] == NAME
    assert one["preLaunchTask"] == tasks["tasks"][0]["label"]
    assert str(one["connect"]["port"]) in tasks["tasks"][0]["command"]


def test_what_a_user_has_stays_to_the_letter(tmp_path: Path) -> None:
    path = tmp_path / ".vscode" / "launch.json"
    path.parent.mkdir()
    path.write_text(THEIRS)

    write_configuration("vscode", tmp_path)

    text = path.read_text()
    assert [one["name"] for one in parse(text)["configurations"]] == [NAME, "pytest"]
    assert parse(text)["inputs"] == parse(THEIRS)["inputs"]
    head, tail = THEIRS.split("        // the tests")
    assert text.startswith(head.rstrip())
    assert text.endswith("        // the tests" + tail)


def test_a_second_time_changes_nothing(tmp_path: Path) -> None:
    for editor in ("vscode", "zed"):
        assert write_configuration(editor, tmp_path)
        assert write_configuration(editor, tmp_path) == []


@pytest.mark.parametrize("text", ["{", '{"configurations": {}}', "[1]", '{"configurations": [', "nothing"])
def test_a_file_that_cannot_be_read_is_named_and_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / ".vscode" / "launch.json"
    path.parent.mkdir()
    path.write_text(text)

    with pytest.raises(InvalidInputError, match=r"launch\.json cannot be read"):
        write_configuration("vscode", tmp_path)

    assert path.read_text() == text
    assert not path.with_name("tasks.json").exists()


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("{}", "a", {"a": [{"k": 1}]}),
        ('{"b": 2}', "a", {"a": [{"k": 1}], "b": 2}),
        ('{"a": []}', "a", {"a": [{"k": 1}]}),
        ('{"a": [{"k": 2}]}', "a", {"a": [{"k": 1}, {"k": 2}]}),
        ("[]", None, [{"k": 1}]),
        ("// x\n[{},]", None, [{"k": 1}, {}]),
        ("", "a", {"a": [{"k": 1}]}),
    ],
)
def test_an_item_is_added_to_any_form(text: str, name: str | None, expected: object) -> None:
    added = add_to_array(text, name, {"k": 1}, "k")

    assert added is not None
    assert parse(added) == expected


@pytest.mark.parametrize("editor", EDITORS)
def test_every_editor_has_a_configuration_that_starts_edgeloop(editor: str) -> None:
    text = configuration_of(editor)

    assert "edgeloop" in text
    assert "dap" in text or "debug --port" in text
