"""The page that teaches to write a plugin: its files are built and installed into a fresh environment, its commands are run."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
from end_to_end.command_line import CommandLine

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "write-a-plugin.md").read_text()
MODEL = "artifacts/latest/digits.mnn"


def files_of_the_page() -> dict[str, str]:
    """Return the text of every block that begins with the name of a file."""
    blocks = re.findall(r"^```\w+\n# (\S+\.\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return dict(blocks)


def commands_of_the_page() -> list[list[str]]:
    blocks = re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return [shlex.split(line.removeprefix("$ ")) for block in blocks for line in block.splitlines()]


def check(*command: str | Path, folder: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a newcomer who has copied the page's files."""
    folder = tmp_path_factory.mktemp("noise")
    for name, text in files_of_the_page().items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, plugin: Path) -> Path:
    """A fresh environment with the wheels of edgeloop and of the plugin; returns its folder of commands.

    Both are built and installed as a user's are. Only what they depend on is not installed again but taken from the
    environment of the tests, so that no network is needed.
    """
    folder = tmp_path_factory.mktemp("environment")
    check(sys.executable, "-m", "venv", "--without-pip", folder, folder=plugin)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    building = ("wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder / "wheels")
    check(*pip, *building, ROOT, plugin, folder=plugin)
    wheels = sorted((folder / "wheels").glob("*.whl"))
    assert len(wheels) == 2
    python = folder / "bin" / "python"
    check(*pip, "--python", python, "install", "--no-deps", "--no-index", *wheels, folder=plugin)
    site = Path(check(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=plugin).strip())
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "bin"


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory, environment: Path, plugin: Path) -> Iterator[CommandLine]:
    """Somebody who calls edgeloop in that environment, in a workspace with a model."""
    home, folder = tmp_path_factory.mktemp("newcomer-home"), tmp_path_factory.mktemp("newcomer")
    line = CommandLine(home, folder, command=environment / "edgeloop")
    line.run("up", "--device-host", "127.0.0.1")
    line.run("init", "digits", "--template", "empty")
    model = folder / "digits" / MODEL
    model.parent.mkdir(parents=True)
    write = f"import runpy, pathlib; runpy.run_path('tests/test_noise.py')['save_model'](pathlib.Path({str(model)!r}))"
    check(environment / "python", "-c", write, folder=plugin)
    yield line.within(folder / "digits")
    line.run("down", "--stop-jobs")


def test_edgeloop_and_the_plugin_are_those_that_were_installed(environment: Path, plugin: Path) -> None:
    code = "import edgeloop, edgeloop_noise.plugin as p; print(edgeloop.__file__, p.__file__)"
    for file in check(environment / "python", "-P", "-c", code, folder=plugin).split():
        assert Path(file).is_relative_to(environment.parent)


def test_every_command_of_the_page_works(newcomer: CommandLine) -> None:
    """`pip` and `pytest` have tests of their own here."""
    printed = {
        " ".join(command): newcomer.run(*command[1:]) for command in commands_of_the_page() if command[0] == "edgeloop"
    }

    assert re.search(r"^noise +1\.0 +loaded +noise$", printed["edgeloop plugins"], re.MULTILINE)
    page_help = printed["edgeloop noise --help"]
    assert "Usage: edgeloop noise [OPTIONS] MODEL" in page_help
    assert "Tell how much noise on its input a model's answers survive." in page_help
    assert "MODEL  the MNN model" in page_help
    assert re.search(
        r"--samples INTEGER RANGE +random inputs per level +\[default: +100\]", " ".join(page_help.split())
    )
    table = printed[f"edgeloop noise {MODEL}"].splitlines()
    shown = re.findall(r"^```text\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[0].splitlines()
    assert [line.split()[0] for line in table if line] == [line.split()[0] for line in shown if line]
    assert table[1:5] == shown[1:5]
    result = json.loads(printed[f"edgeloop noise {MODEL} --levels 0.1 --samples 20 --json"])
    assert (result["samples"], [level["noise"] for level in result["levels"]]) == (20, [0.1])
    assert 0 < result["levels"][0]["changed"] < 1


def test_the_job_keeps_progress_log_and_metrics(newcomer: CommandLine) -> None:
    newcomer.run("noise", MODEL, "--levels", "0.5")
    job = newcomer.json("jobs")[0]

    assert (job["name"], job["state"], job["parameters"]["samples"]) == ("noise", "succeeded", 100)
    assert "noise of 0.5: " in newcomer.run("logs", job["id"])
    assert [point["tag"] for point in newcomer.api(f"/jobs/{job['id']}/metrics")["items"]] == ["changed"]


def test_the_tool_is_served_over_http_and_stands_in_the_openapi_document(newcomer: CommandLine) -> None:
    workspace = newcomer.json("workspaces")[0]["id"]
    job = newcomer.api(f"/workspaces/{workspace}/tools/noise", {"model": MODEL, "samples": 5})
    page = {"next_offset": 0, "ended": False}
    while not page["ended"]:
        page = newcomer.api(f"/jobs/{job['id']}/log?wait=30&offset={page['next_offset']}")
    ended = newcomer.api(f"/jobs/{job['id']}")
    document = newcomer.api("/openapi.json")
    operation = document["paths"]["/api/v1/workspaces/{workspace}/tools/noise"]["post"]

    assert (ended["state"], ended["result"]["samples"]) == ("succeeded", 5)
    assert operation["summary"] == "Tell how much noise on its input a model's answers survive."
    levels = document["components"]["schemas"]["NoiseParameters"]["properties"]["levels"]
    assert (levels["default"], levels["minItems"], levels["items"]) == ([0.01, 0.1, 1.0], 1, {"type": "number"})


def test_a_mistake_of_the_user_is_told_as_one_sentence(newcomer: CommandLine) -> None:
    error = newcomer.fail("noise", "nowhere.mnn")
    assert error["code"] == "not-found"
    assert "nowhere.mnn" in error["message"]


def test_the_plugins_own_tests_pass_there(environment: Path, plugin: Path) -> None:
    (command,) = [command for command in commands_of_the_page() if "pytest" in command]
    told = check(environment / "python", *command[1:], "-q", "-p", "no:cacheprovider", folder=plugin)
    assert "9 passed" in told
