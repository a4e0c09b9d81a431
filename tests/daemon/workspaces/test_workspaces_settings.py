"""`edgeloop.toml`: what it may say, and what an error in it says."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from edgeloop_daemon.workspaces.settings import (
    MAX_SETTINGS_BYTES,
    RunSettings,
    Settings,
    TrainSettings,
    describe_settings,
    load_settings,
)
from edgeloop_shared.checks import Check
from edgeloop_shared.errors import SettingsError

FULL = """\
# A comment with [brackets] and name = "x"
name = "Digits"

[train]
command = "python train.py --name 'two words'"
backend = "ray"
[train.data]
digits = "data/digits"
more = "s3://bucket/more"

[run]
include = [
    "*.mnn",
    "models/**",
]
device = "Pixel"
"""


def _load(tmp_path: Path, text: str | bytes) -> Settings:
    content = text if isinstance(text, bytes) else text.encode()
    (tmp_path / "edgeloop.toml").write_bytes(content)
    return load_settings(tmp_path)


def test_everything_that_can_be_set_is_read(tmp_path: Path) -> None:
    assert _load(tmp_path, FULL) == Settings(
        name="Digits",
        train=TrainSettings(
            command=("python", "train.py", "--name", "two words"),
            backend="ray",
            data={"digits": "data/digits", "more": "s3://bucket/more"},
        ),
        run=RunSettings(include=("*.mnn", "models/**"), device="Pixel"),
    )


def test_checks_are_tables_by_name(tmp_path: Path) -> None:
    settings = _load(
        tmp_path, 'name = "x"\n[check.fast]\nmodel = "m.mnn"\nmax_latency_ratio = 1.1\n[check.ok]\nscript = "s.py"'
    )

    assert settings.check == {"fast": Check(model="m.mnn", max_latency_ratio=1.1), "ok": Check(script="s.py")}


def test_only_the_name_is_needed(tmp_path: Path) -> None:
    settings = _load(tmp_path, 'name = "Digits"')

    assert settings == Settings(name="Digits")
    assert settings.run.include == ("*.mnn", "*.npz", "*.npy", "models/**", "assets/**")


def test_a_command_can_be_an_array(tmp_path: Path) -> None:
    settings = _load(tmp_path, 'name = "x"\n[train]\ncommand = ["python", "a b.py"]')

    assert settings.train.command == ("python", "a b.py")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "name is missing"),
        ("\n\nname = 4\n", 3, "name must be a string"),
        ('name = ""', 1, "at least 1 characters"),
        ('name = "x"\nnmae = "y"', 2, "Did you mean 'name'? Allowed in the top level: name, train, run, debug, check."),
        (
            'name = "x"\n\n[train]\ncomand = "a"',
            4,
            "Did you mean 'command'? Allowed in [train]: command, backend, data.",
        ),
        ('name = "x"\n[train]\ntrain.command = "a"', 3, "train.train is not a known setting"),
        ('name = "x"\ntrain.comand = "a"', 2, "train.comand is not a known setting"),
        ('name = "x"\n"train" . "comand" = "a"', 2, "train.comand is not a known setting"),
        ('name = "x"\n[trian]\n', 2, "Did you mean 'train'?"),
        ('name = "x"\ntrain = "python"', 2, "Write [train] with the keys command, backend, data."),
        ('name = "x"\n[[train]]\ncommand = "a"', 2, "train must be a table"),
        ('name = "x"\n[train]\ncommand = 4', 3, "train.command must be an array"),
        ('name = "x"\n[train]\ncommand = "a \'b"', 3, "No closing quotation"),
        ('name = "x"\n[train]\nbackend = true', 3, "train.backend must be a string"),
        ('name = "x"\n[train.data]\nfirst = "a"\nsecond = 5', 4, "train.data.second must be a string"),
        ('name = "x"\n[train]\ndata = {first = 5}', 3, "train.data.first must be a string"),
        ('name = "x"\n[run]\ninclude = "*.mnn"', 3, "run.include must be an array"),
        ('name = "x"\n[run]\ninclude = [\n"a",\n4]', 3, "run.include[1] must be a string"),
        ('name = "x"\n[run]\ndevice = 1979-05-27', 3, "run.device must be a string"),
        ('name = "x"\n[check.a]\nmodel = "m"\n[check.b]\nmdl = "m"', 5, "check.b.mdl is not a known setting"),
        ('name = "x"\n[check.a]\nmin_accuracy = 2', 3, "The least part of the samples with the right class."),
        ('name = "x"\n[check.a]\nmin_results = {score = "high"}', 3, "check.a.min_results.score must be a number"),
        ('name = "x"\n[check]\na = 5', 3, "check.a must be a table"),
        ('name = "x"\n[train\n', 2, "is not valid TOML"),
        ('name = "x"\nname = "y"', 2, "is not valid TOML"),
        ('name = "x"\n\n[train]\ncommand = "a', 4, "is not valid TOML"),
        ('name = "x"\na = [1,\n2\n', 3, "is not valid TOML"),
        ("name = " + "[" * 5000, 1, "is not valid TOML"),
        (b'name = "x"\n# \xff\n', 2, "not UTF-8"),
        (b"#" * (MAX_SETTINGS_BYTES + 1), 1, "has more than"),
    ],
)
def test_an_error_names_the_file_the_line_and_what_is_allowed(
    tmp_path: Path, text: str | bytes, line: int, words: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        _load(tmp_path, text)

    assert words in str(caught.value)
    assert caught.value.details["line"] == line
    assert caught.value.details["file"] == str(tmp_path / "edgeloop.toml")
    assert f"{tmp_path / 'edgeloop.toml'}, line {line}" in caught.value.message


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        load_settings(tmp_path)


def test_every_key_is_described() -> None:
    described = {one.key: one for one in describe_settings()}

    assert list(described)[:4] == ["name", "train.command", "train.backend", "train.data"]
    assert list(described)[4:7] == ["run.include", "run.device", "run.memory_mb"]
    assert list(described)[7] == "debug.lost_link_seconds"
    assert list(described)[8:] == [f"check.NAME.{one.name}" for one in fields(Check)]
    assert all(one.description.endswith(".") for one in described.values())
    assert (described["name"].required, described["train.backend"].default) == (True, "local")
    assert described["run.include"].default == ["*.mnn", "*.npz", "*.npy", "models/**", "assets/**"]
