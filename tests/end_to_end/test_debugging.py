"""An editor debugs tasks on virtual devices: `edgeloop dap`, the daemon, the link, the companion and debugpy, all real."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from end_to_end.command_line import CommandLine
from end_to_end.editor import editor

LOOP = """\
import sys

import helper


def main():
    for i in range(6):
        print("sum", helper.add(i, i))


main()
print("end", *sys.argv[1:])
"""
HELPER = "def add(a, b):\n    total = a + b\n    return total\n"
ENDLESS = "import time\ni = 0\nwhile i >= 0:\n    i += 1\n    time.sleep(0.01)\nprint('over')\n"


@pytest.fixture(scope="module")
def project(workspace: CommandLine, device: dict[str, Any]) -> CommandLine:
    """The workspace with tasks to debug, and a device linked."""
    for name, text in {"loop.py": LOOP, "helper.py": HELPER, "endless.py": ENDLESS}.items():
        (workspace.folder / name).write_text(text)
    (workspace.folder / "raises.py").write_text("def halve(x):\n    return x / 0\n\n\nhalve(3)\n")
    return workspace


async def test_an_editor_stops_looks_steps_and_goes_on(project: CommandLine) -> None:
    helper = str(project.folder / "helper.py")
    async with editor(project) as user:
        found = await user.begin(
            task="loop.py",
            args=["well"],
            breakpoints={helper: [{"line": 2, "condition": "a == 1"}, {"line": 3, "logMessage": "total is {total}"}]},
        )

        assert [one["verified"] for one in found[helper]] == [True, True]
        thread = await user.stopped("breakpoint")
        frames = (await user.request("stackTrace", threadId=thread))["stackFrames"]
        assert [(one["name"], one["source"]["path"], one["line"]) for one in frames] == [
            ("add", helper, 2),
            ("main", str(project.folder / "loop.py"), 8),
            ("<module>", str(project.folder / "loop.py"), 11),
        ]
        assert {name: one["value"] for name, one in (await user.scope(frames[0]["id"])).items()} == {"a": "1", "b": "1"}
        assert await user.value("a + b + 40", frames[0]["id"]) == "42"
        await user.request("setExpression", expression="a", value="100", frameId=frames[0]["id"])
        await user.request("next", threadId=thread)
        await user.stopped("step")
        assert await user.value("total", (await user.top(thread))["id"], "hover") == "101"
        await user.request("stepOut", threadId=thread)
        await user.stopped("step")
        assert (await user.top(thread))["name"] == "main"
        await user.request("continue", threadId=thread)
        await user.output("end well")
        assert (await user.event("exited"))["exitCode"] == 0
        await user.event("terminated")


async def test_an_exception_that_nobody_catches_stops_where_it_is_raised(project: CommandLine) -> None:
    async with editor(project) as user:
        await user.begin(task=str(project.folder / "raises.py"), filters=["uncaught"])

        thread = await user.stopped("exception")
        assert (await user.request("exceptionInfo", threadId=thread))["exceptionId"] == "ZeroDivisionError"
        assert (await user.top(thread))["line"] == 2
        await user.request("continue", threadId=thread)
        assert (await user.event("exited"))["exitCode"] == 1


async def test_a_task_is_restarted_disconnected_from_and_attached_to_again(project: CommandLine) -> None:
    endless = str(project.folder / "endless.py")
    async with editor(project) as user:
        await user.begin(task="endless.py", breakpoints={endless: [{"line": 4, "hitCondition": ">= 3"}]})
        thread = await user.stopped("breakpoint")
        assert await user.value("i", (await user.top(thread))["id"]) == "2"
        await user.request("restart")
        thread = await user.stopped("breakpoint")
        assert await user.value("i", (await user.top(thread))["id"]) == "2"
        await user.request("disconnect")
    async with editor(project) as user:
        await user.begin("attach", breakpoints={endless: [5]})
        thread = await user.stopped("breakpoint")
        frame = await user.top(thread)
        assert int(await user.value("i", frame["id"])) > 2
        await user.request("terminate")
        await user.event("terminated")


async def test_a_script_that_runs_without_a_debugger_can_be_attached_to(project: CommandLine) -> None:
    endless = str(project.folder / "endless.py")
    project.json("run", "--detach", "endless.py")
    run = await asyncio.to_thread(project.wait_for_run, "running")
    async with editor(project) as user:
        await user.begin("attach", run=run["id"], breakpoints={endless: [4]})
        thread = await user.stopped("breakpoint")
        await user.request("pause", threadId=thread)
        assert (await user.top(thread))["line"] == 4
        await user.request("disconnect", terminateDebuggee=True)
    assert (await asyncio.to_thread(project.api, f"/runs/{run['id']}?wait=30"))["state"] == "cancelled"
