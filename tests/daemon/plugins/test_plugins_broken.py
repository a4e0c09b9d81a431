"""Many broken plugins at once, as real distributions, in one real daemon: each is named, and everything else works."""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import select
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from end_to_end.command_line import CommandLine

HEAD = """
from dataclasses import dataclass, field
from edgeloop import *

@dataclass(frozen=True)
class Word:
    word: str = "hello"

@dataclass(frozen=True)
class Answer:
    text: str = ""
    number: float = 0.0

def tool(name):
    return ModelTool(name, f"Call {name}.", Word, Answer, f"{__name__}:{name.replace('-', '_')}")

def query(group, name):
    return WorkspaceOperation(
        group, name.replace("_", "-"), f"Ask {name}.", Word, Answer, f"{__name__}:{name}", runs="query"
    )
"""
TOOL = """
    @hookimpl
    def edgeloop_model_tools():
        return [tool("NAME")]
"""

BROKEN_AT_LOAD = {
    "raises": ("raise RuntimeError('no licence')", "RuntimeError: no licence ("),
    "exits": ("raise SystemExit('gone')", "SystemExit: gone"),
    "interrupts": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "misspelt": ("def x(: pass", "SyntaxError: invalid syntax"),
    "hangs": ("import threading; threading.Event().wait()", "did not end within 4 s"),
    "crashes": ("import ctypes; ctypes.string_at(0)", "crashed natively (SIGSEGV)"),
    "aborts": ("import os; print('last words', flush=True); os.abort()", "crashed natively (SIGABRT)"),
    "leaves": ("import os; os._exit(7)", "It ended the process that imported it."),
    "odd-hook": ("@hookimpl\ndef edgeloop_modell_tools(): pass", "There is no hook edgeloop_modell_tools. Call it"),
    "garbage": ("@hookimpl\ndef edgeloop_model_tools(): return b'tools'", "edgeloop_model_tools returned b'tools'."),
    "twice": (TOOL.replace("[tool", "2 * [tool").replace("NAME", "same"), "It declares the tool 'same' twice."),
    "thief": (TOOL.replace("NAME", "greet"), "It declares the tool 'greet', which the plugin good has already."),
    "usurper": (TOOL.replace("NAME", "inspect"), "which the plugin model_tools has already."),
    "pretender": (TOOL.replace("NAME", "status"), "`edgeloop status` is a command of edgeloop itself."),
}
GOOD = """
    def greet(parameters, context):
        context.progress(0.5)
        return Answer(parameters.word)

    def ask(parameters, workspace):
        return Answer(parameters.word)

    @hookimpl
    def edgeloop_model_tools():
        return [tool("greet")]

    @hookimpl
    def edgeloop_workspace_operations():
        return [query("good", "ask")]
"""
LOUD = """
    import subprocess, sys, threading
    sys.stdout.buffer.write(bytes(range(256)) * 20_000)
    print("x" * 5_000_000)
    threading.Thread(target=threading.Event().wait, name="left over").start()
    subprocess.Popen(["sleep", "300"], stdout=subprocess.DEVNULL)
"""
JOBS = """
    def crash(parameters, context):
        import ctypes
        print("native last words", flush=True)
        ctypes.string_at(0)

    def babble(parameters, context):
        import sys
        sys.stdout.write("x" * 10_000_000)
        sys.stdout.buffer.write(bytes(range(256)) * 40_000)
        return Answer("said")

    def no_number(parameters, context):
        return Answer("x", float("nan"))

    def huge(parameters, context):
        return Answer("x" * 5_000_000)

    def no_json(parameters, context):
        return Answer(object())

    def wrong(parameters, context):
        return {"text": "x"}

    def leave(parameters, context):
        import subprocess, threading
        threading.Thread(target=threading.Event().wait).start()
        return Answer(str(subprocess.Popen(["sleep", "300"]).pid))

    @hookimpl
    def edgeloop_model_tools():
        return [tool(name) for name in ("crash", "babble", "no-number", "huge", "no-json", "wrong", "leave")]
"""
QUERIES = """
    import threading
    started = threading.Semaphore(0)

    def hang(parameters, workspace):
        (workspace / "hanging").open("w").write("yes")
        threading.Event().wait()

    def babble(parameters, workspace):
        import os, sys
        print("words of a query")
        sys.stderr.write("y" * 10_000_000)
        threading.Thread(target=threading.Event().wait).start()
        return Answer("said")

    def break_down(parameters, workspace):
        raise KeyboardInterrupt

    @hookimpl
    def edgeloop_workspace_operations():
        return [query("queries", name) for name in ("hang", "babble", "break_down")]
"""


def install(folder: Path, name: str, source: str) -> None:
    """Lay a distribution with one plugin, as pip would."""
    module = f"plugin_{name.replace('-', '_')}"
    (folder / f"{module}.py").write_text(HEAD + textwrap.dedent(source))
    information = folder / f"{module}-1.2.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    (information / "entry_points.txt").write_text(f"[edgeloop]\n{name} = {module}\n")


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """Somebody who has installed them all, in a workspace."""
    folder, packages = tmp_path_factory.mktemp("broken"), tmp_path_factory.mktemp("packages")
    for name, (source, _) in BROKEN_AT_LOAD.items():
        install(packages, name, source)
    for name, source in (("good", GOOD), ("loud", LOUD), ("jobs", JOBS), ("queries", QUERIES)):
        install(packages, name, source)
    line = CommandLine(folder / "home", folder, {"PYTHONPATH": str(packages)})
    start = "import sys, pathlib; from edgeloop_daemon.cli import client, daemon_process, session;" + (
        "home = client.Client(session.Folders(pathlib.Path(sys.argv[1])));"
        "daemon_process.start_daemon(home, ['--plugin-seconds', '4', '--device-host', '127.0.0.1'])"
    )
    environment = os.environ | line.variables
    subprocess.run([sys.executable, "-c", start, str(line.home)], env=environment, check=True, timeout=60)
    line.run("init", "work", "--template", "empty")
    yield line.within(folder / "work")
    line.run("down", "--stop-jobs")


@pytest.fixture(scope="module")
def listed(user: CommandLine) -> dict[str, dict[str, Any]]:
    return {plugin["name"]: plugin for plugin in user.json("plugins")}


@pytest.mark.parametrize("name", BROKEN_AT_LOAD)
def test_a_plugin_that_cannot_be_loaded_is_listed_with_the_reason(listed: dict[str, dict[str, Any]], name: str) -> None:
    plugin = listed[name]
    assert (plugin["state"], plugin["version"], plugin["distribution"]) == ("failed", "1.2", name)
    assert BROKEN_AT_LOAD[name][1] in plugin["error"]
    assert plugin["tools"] == []


def test_every_other_plugin_works(user: CommandLine, listed: dict[str, dict[str, Any]]) -> None:
    assert {name for name, plugin in listed.items() if plugin["state"] != "loaded"} == set(BROKEN_AT_LOAD)
    assert user.json("greet", "--word", "hi") == {"text": "hi", "number": 0.0}
    assert "text    hello" in user.run("good", "ask")
    assert "convert" in listed["model_tools"]["tools"]


def test_one_that_is_loud_when_it_is_imported_is_loaded_with_remarks(listed: dict[str, dict[str, Any]]) -> None:
    assert listed["loud"]["remarks"] == [
        "It starts the thread 'left over' while it is imported.",
        "It starts a process while it is imported.",
        "It prints 10120001 bytes while it is imported.",
    ]


def test_the_list_fits_a_terminal_and_tells_why(user: CommandLine) -> None:
    done = user.call("plugins")
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "raises is left out: RuntimeError: no licence" in done.stderr
    assert "loud: It prints 10120001 bytes while it is imported." in done.stderr


def test_the_log_names_who_printed_and_where_native_code_crashed(
    user: CommandLine, listed: dict[str, dict[str, Any]]
) -> None:
    log = (user.home / "logs" / "daemon.log").read_text()
    assert "The plugin loud printed:" in log
    assert "The plugin aborts printed in its trial:\nlast words" in log
    assert "plugin_crashes.py" in log
    assert len(log) < 200_000
    assert (user.home / "logs" / "start.log").stat().st_size < 100_000


@pytest.mark.parametrize(
    ("tool", "code", "words"),
    [
        ("crash", "job-failed", "was ended by SIGSEGV"),
        ("no-number", "plugin-failed", ":no_number has no JSON form"),
        ("huge", "too-large", ":huge has 5000024 bytes, more than the limit of 4194304"),
        ("no-json", "plugin-failed", ":no_json has no JSON form: object has no JSON form"),
        ("wrong", "plugin-failed", ":wrong returned a value of the type dict instead of Answer"),
    ],
)
def test_a_job_that_goes_wrong_is_told(user: CommandLine, tool: str, code: str, words: str) -> None:
    error = user.fail(tool)
    assert error["code"] == code
    assert words in error["message"]
    if tool == "crash":
        assert "native last words" in error["details"]["native_output"]


def test_a_job_that_prints_megabytes_has_them_in_its_log(user: CommandLine) -> None:
    assert user.json("babble")["text"] == "said"
    job = user.json("jobs")[0]
    assert len(user.run("logs", job["id"])) > 20_000_000


def test_what_a_job_has_left_running_ends_with_it(user: CommandLine) -> None:
    child = Path("/proc", user.json("leave")["text"], "stat")
    assert not child.exists() or child.read_text().rpartition(")")[2].split()[0] == "Z"


def test_queries_that_print_or_break_down_are_named(user: CommandLine) -> None:
    assert "said" in user.run("queries", "babble")
    error = json.loads(user.call("queries", "break-down", "--json").stdout)["error"]
    log = (user.home / "logs" / "daemon.log").read_text()

    assert (error["code"], error["details"]["plugin"]) == ("plugin-failed", "queries")
    assert "KeyboardInterrupt" in error["message"]
    assert "The plugin queries printed:\n    words of a query\n    yyy" in log
    assert "and 9991825 more bytes" in log


def test_queries_that_hang_hold_up_neither_others_nor_the_end_of_the_daemon(user: CommandLine) -> None:
    workspace = user.api("/workspaces")["items"][0]["id"]
    ends: list[Exception] = []

    def ask() -> None:
        try:
            user.api(f"/workspaces/{workspace}/queries/hang", {})
        except (OSError, http.client.HTTPException) as error:
            ends.append(error)

    os.mkfifo(user.folder / "hanging")
    asking = [threading.Thread(target=ask) for _ in range(20)]
    for thread in asking:
        thread.start()
    hanging = (user.folder / "hanging").read_text()
    answer = user.api(f"/workspaces/{workspace}/good/ask", {"word": "meanwhile"})
    daemon = os.pidfd_open(user.api("/status")["pid"])
    user.run("down")
    is_gone = bool(select.select([daemon], [], [], 20)[0])
    os.close(daemon)
    for thread in asking:
        thread.join()

    assert hanging.startswith("yes")
    assert answer["text"] == "meanwhile"
    assert is_gone, "threads of plugins keep the daemon's process"
    assert len(ends) == len(asking)


def test_a_plugin_that_was_disabled_is_out_after_the_next_start(user: CommandLine) -> None:
    later = dataclasses.replace(user, variables={"PYTHONPATH": ""})
    assert "is left out from the daemon's next start on" in later.run("plugins", "disable", "templates")
    assert "loaded, disabled at the next start" in later.run("plugins")
    later.run("down")
    assert "disabled" in later.run("plugins")
    assert "nothing changes" in later.run("plugins", "disable", "templates")
    assert later.fail("init", "other", "--template", "empty")["code"] == "not-found"
    later.run("plugins", "enable", "templates")
    later.run("down")
    assert {plugin["state"] for plugin in later.json("plugins")} == {"loaded"}
    assert "nobody" in later.fail("plugins", "disable", "nobody")["message"]
