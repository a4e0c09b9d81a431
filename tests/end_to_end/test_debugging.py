"""An editor debugs tasks on virtual devices: `edgeloop dap`, the daemon, the link, the companion and debugpy, all real."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dap_client import DapClient
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
        assert "debugger" not in await user.output("end well")  # it need not be told to attach one
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


async def test_what_edgeloop_raises_within_itself_stops_at_the_line_of_the_script(project: CommandLine) -> None:
    catching = "import edgeloop_task\n\ntry:\n    edgeloop_task.load_model('missing.mnn')\nexcept Exception:\n    print('caught')\n"
    (project.folder / "catches.py").write_text(catching)
    async with editor(project) as user:
        await user.begin(task=str(project.folder / "catches.py"), filters=["raised"])

        thread = await user.stopped("exception")
        top = await user.top(thread)
        assert (Path(top["source"]["path"]).name, top["line"]) == ("catches.py", 4)
        await user.request("continue", threadId=thread)
        await user.output("caught")


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


TENSORS = """
import numpy as np

image = np.arange(12, dtype=np.float32).reshape(3, 4)
large = np.zeros((5000, 5000), np.float32)
image[1, 1] = np.nan
print("mean", np.nanmean(image))
"""


async def test_arrays_show_their_statistics_and_a_page_at_a_time_and_can_be_set(project: CommandLine) -> None:
    (project.folder / "tensors.py").write_text(TENSORS)
    async with editor(project) as user:
        await user.begin(task="tensors.py", breakpoints={str(project.folder / "tensors.py"): [7]})
        thread = await user.stopped("breakpoint")
        frame = await user.top(thread)
        found = await user.scope(frame["id"])

        assert found["image"]["value"] == "float32 [3, 4], 1 NaN, min 0, max 11, mean 5.545, std 3.602"
        assert found["large"]["value"] == "float32 [5000, 5000], 100 MB"
        rows = await user.children(found["image"]["variablesReference"])
        assert list(rows) == ["statistics", "shape", "dtype", "[0]", "[1]", "[2]"]
        statistics = await user.children(rows["statistics"]["variablesReference"])
        assert (statistics["nan_count"]["value"], statistics["max"]["value"]) == ("1", "11.0")
        pages = await user.children(found["large"]["variablesReference"])
        assert pages["[4900:5000]"]["value"] == "float32 [100, 5000], min 0, max 0, mean 0, std 0"
        assert await user.value(pages["[4900:5000]"]["evaluateName"] + ".shape", frame["id"]) == "(100, 5000)"
        await user.request("setExpression", expression="image[1, 1]", value="50.0", frameId=frame["id"])
        await user.request("continue", threadId=thread)
        await user.output("mean 9.25")
        await user.event("terminated")


async def test_two_phones_and_two_workspaces_are_debugged_at_once(project: CommandLine, user: CommandLine) -> None:
    await asyncio.to_thread(user.json, "device", "virtual", "--allow", "--name", "tablet")
    await asyncio.to_thread(user.run, "init", "other", "--template", "empty")
    other = user.within(user.folder / "other")
    (other.folder / "loop.py").write_text("for i in range(3):\n    print('other', i)\n")
    helper = str(project.folder / "helper.py")
    async with editor(project) as first, editor(project) as second, editor(other) as third:
        await asyncio.gather(
            first.begin(task="loop.py", device="pocket", breakpoints={helper: [2]}),
            second.begin(task="loop.py", device="tablet", breakpoints={helper: [3]}),
            third.begin(task="loop.py", device="pocket", breakpoints={str(other.folder / "loop.py"): [2]}),
        )
        threads = [await one.stopped("breakpoint") for one in (first, second, third)]
        tops = [await one.top(thread) for one, thread in zip((first, second, third), threads, strict=True)]
        assert [(top["source"]["path"], top["line"]) for top in tops] == [
            (helper, 2),
            (helper, 3),
            (str(other.folder / "loop.py"), 2),
        ]
        sessions = (await asyncio.to_thread(user.api, "/debug/sessions"))["items"]
        paused = [one for one in sessions if one["state"] == "paused"]
        assert len({(one["workspace"], one["device"]) for one in paused}) == 3
        # The others stay paused, and hold nobody up.
        await third.set_breakpoints(str(other.folder / "loop.py"), [])
        await third.request("continue", threadId=threads[2])
        await third.output("other 2")
        await third.event("terminated")
        assert (await first.top(threads[0]))["line"] == 2
        for one in (first, second):
            await one.request("disconnect", terminateDebuggee=True)
    await asyncio.to_thread(user.run, "device", "stop", "tablet")


async def test_a_session_without_an_editor_says_where_it_stands_and_takes_requests(project: CommandLine) -> None:
    await asyncio.to_thread(project.run, "break", "add", "helper.py:2", "--condition", "a == 4")
    try:
        following = await asyncio.to_thread(project.start, "debug", "loop.py")
        session = await asyncio.to_thread(_paused, project)
        assert session["pause"]["file"] == "helper.py"
        assert (session["pause"]["line"], session["pause"]["function"]) == (2, "add")
        path = f"/debug/sessions/{session['id']}/requests"
        ask = {"command": "stackTrace", "arguments": {"threadId": session["pause"]["thread"]}}
        frames = (await asyncio.to_thread(project.api, path, ask))["body"]["stackFrames"]
        ask = {"command": "evaluate", "arguments": {"expression": "a * 10", "frameId": frames[0]["id"]}}
        assert (await asyncio.to_thread(project.api, path, ask))["body"]["result"] == "40"
        (kept,) = await asyncio.to_thread(project.json, "break", "list")
        assert kept["verification"]["state"] == "verified"
        await asyncio.to_thread(project.api, path, {"command": "continue", "arguments": {"threadId": 1}})
        assert await asyncio.to_thread(following.wait, 60) == 0
    finally:
        await asyncio.to_thread(project.run, "break", "remove", "--all")


def test_run_debug_takes_the_options_of_a_session_and_refuses_the_others(project: CommandLine) -> None:
    ended = project.json("run", "--debug", "--trace", "--memory", "512", "helper.py")

    assert project.api(f"/runs/{ended['run']}")["trace"] is True
    refused = project.call("run", "--debug", "--detach", "--break", "op:conv*", "helper.py")
    assert refused.returncode == 1
    assert "--debug does not go with --break, --detach." in refused.stderr


def _paused(project: CommandLine) -> dict[str, Any]:
    """Return the newest session once it is paused somewhere."""
    cursor = 0
    while True:
        page = project.api(f"/events?kinds=debug.paused&since={cursor}&wait=30")
        cursor = page["next"]
        for event in page["items"]:
            session: dict[str, Any] = project.api(f"/debug/sessions/{event['data']['session']}")
            if session["state"] == "paused" and session["script"] == "loop.py" and not session["has_editor"]:
                return session


async def test_an_editor_that_needs_a_port_gets_one_for_itself(project: CommandLine) -> None:
    process = await asyncio.create_subprocess_exec(
        *(str(project.command), "debug", "--port", "0", "--json"),
        cwd=project.folder,
        env={**os.environ, "EDGELOOP_HOME": str(project.home)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    port = json.loads((await process.stdout.readuntil(b"}\n")).decode())["port"]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def send(data: bytes) -> None:
        writer.write(data)

    user = DapClient(send, lambda: reader.read(65536))
    helper = str(project.folder / "helper.py")
    await user.begin(
        "attach", task=str(project.folder / "loop.py"), breakpoints={helper: [{"line": 2, "condition": "a == 5"}]}
    )
    thread = await user.stopped("breakpoint")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    await user.request("continue", threadId=thread)
    await user.event("terminated")
    await user.request("disconnect")
    await user.close()
    assert await process.wait() == 0
    writer.close()


async def test_an_editor_without_a_daemon_is_answered_in_its_own_protocol(project: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    lost = replace(project, home=tmp_path / "file")
    async with editor(lost) as user:
        assert "edgeloop" in await user.refused("initialize", adapterID="edgeloop")
