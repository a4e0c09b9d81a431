"""Debug sessions, as an editor sees them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from daemon.debugging.conftest import Desk

from edgeloop_daemon.debugging.breakpoints import NewBreakpoint
from edgeloop_daemon.debugging.records import Pause

LOOP = """\
def add(a, b):
    total = a + b
    return total


def main():
    for i in range(6):
        print("sum", add(i, i))


main()
print("end")
"""


async def test_an_editor_stops_looks_steps_and_goes_on(desk: Desk) -> None:
    path = desk.write("loop.py", LOOP)
    editor = desk.open_editor()

    found = await editor.begin(task="loop.py", breakpoints={path: [2]})

    assert found[path][0]["verified"]
    thread = await editor.stopped("breakpoint")
    frame = await editor.top(thread)
    assert (frame["name"], frame["line"], frame["source"]["path"]) == ("add", 2, path)
    assert {name: one["value"] for name, one in (await editor.scope(frame["id"])).items()} == {"a": "0", "b": "0"}
    assert await editor.value("a + 40", frame["id"]) == "40"

    await editor.request("setVariable", variablesReference=(await _locals(editor, frame)), name="a", value="5")
    await editor.request("next", threadId=thread)
    assert await editor.stopped("step") == thread
    frame = await editor.top(thread)
    assert await editor.value("total", frame["id"], "hover") == "5"

    await editor.request("stepOut", threadId=thread)
    await editor.stopped("step")
    assert (await editor.top(thread))["name"] == "main"
    await editor.set_breakpoints(path, [])
    await editor.request("continue", threadId=thread)
    await editor.output("sum 5")
    assert (await editor.event("exited"))["exitCode"] == 0
    await editor.event("terminated")
    assert editor.order[:8] == [
        "> initialize",
        "< initialize",
        "> launch",
        "< launch",
        "! initialized",
        "> setBreakpoints",
        "< setBreakpoints",
        "> configurationDone",
    ]


async def _locals(editor: object, frame: dict[str, int]) -> int:
    scopes = await editor.request("scopes", frameId=frame["id"])  # type: ignore[attr-defined]
    return int(scopes["scopes"][0]["variablesReference"])


async def test_conditions_hit_counts_and_logpoints(desk: Desk) -> None:
    path = desk.write("loop.py", LOOP)
    editor = desk.open_editor()
    breakpoints = [
        {"line": 2, "condition": "a == 1"},
        {"line": 3, "hitCondition": ">= 6"},
        {"line": 8, "logMessage": "i is {i}"},
    ]

    await editor.begin(task="loop.py", breakpoints={path: breakpoints})

    thread = await editor.stopped("breakpoint")
    frame = await editor.top(thread)
    assert (frame["line"], await editor.value("a", frame["id"])) == (2, "1")
    await editor.output("i is 1")
    await editor.request("continue", threadId=thread)
    await editor.stopped("breakpoint")
    frame = await editor.top(thread)
    assert (frame["line"], await editor.value("a", frame["id"])) == (3, "5")
    await editor.request("continue", threadId=thread)
    await editor.event("terminated")


async def test_an_exception_that_nobody_catches_stops_where_it_is_raised(desk: Desk) -> None:
    desk.write("raises.py", "def halve(x):\n    return x / 0\n\n\nhalve(3)\n")
    editor = desk.open_editor()

    await editor.begin(task="raises.py", filters=["uncaught"])

    thread = await editor.stopped("exception")
    info = await editor.request("exceptionInfo", threadId=thread)
    assert info["exceptionId"] == "ZeroDivisionError"
    await editor.request("continue", threadId=thread)
    assert (await editor.event("exited"))["exitCode"] == 1


async def test_a_kept_breakpoint_on_exceptions_is_verified_and_its_stop_says_what_was_raised(desk: Desk) -> None:
    desk.write("raises.py", "def halve(x):\n    return x / 0\n\n\nhalve(3)\n")
    await desk.breakpoints.add("w1", NewBreakpoint(kind="exception", filter="uncaught"))
    editor = desk.open_editor()

    await editor.begin(task="raises.py")

    thread = await editor.stopped("exception")
    pause = await _pause(desk)
    assert (pause.reason, pause.description) == ("exception", "ZeroDivisionError: division by zero")
    (kept,) = await desk.breakpoints.list("w1")
    assert kept.verification is not None
    assert (kept.verification.state, kept.verification.line) == ("verified", None)
    await editor.request("continue", threadId=thread)
    assert (await editor.event("exited"))["exitCode"] == 1


async def test_breakpoints_of_the_workspace_are_set_beside_the_editors_and_reported(desk: Desk) -> None:
    path = desk.write("loop.py", LOOP)
    desk.write("other.py", "x = 1\n")
    for line in (2, 4, 8):
        await desk.breakpoints.add("w1", NewBreakpoint(file="loop.py", line=line))
    await desk.breakpoints.add("w1", NewBreakpoint(file="gone.py", line=1))
    editor = desk.open_editor()

    found = await editor.begin(task="loop.py", breakpoints={path: [8, {"line": 2, "condition": "False"}]})

    assert [one["line"] for one in found[path]] == [8, 2]
    thread = await editor.stopped("breakpoint")
    assert (await editor.top(thread))["line"] == 8
    await editor.set_breakpoints(path, [])
    for line in (2, 3, 8):
        await editor.request("continue", threadId=thread)
        await editor.stopped("breakpoint")
        assert (await editor.top(thread))["line"] == line
    states = {one.place: one.verification and one.verification.state for one in await desk.breakpoints.list("w1")}
    assert states["loop.py:2"] == "verified"
    assert states["gone.py:1"] == "not-in-bundle"
    assert states["loop.py:4"] == "moved"
    await editor.request("disconnect", terminateDebuggee=True)


async def test_breakpoints_that_are_kept_or_removed_meanwhile_count_at_once_and_the_others_count_on(desk: Desk) -> None:
    path = desk.write("loop.py", LOOP)
    desk.write("other.py", "x = 1\n")
    editor = desk.open_editor()
    await editor.begin(task="loop.py", breakpoints={path: [{"line": 8, "hitCondition": "% 2"}]})
    thread = await editor.stopped("breakpoint")
    frame = await editor.top(thread)
    assert (frame["line"], await editor.value("i", frame["id"])) == (8, "1")

    await desk.breakpoints.add("w1", NewBreakpoint(file="other.py", line=1))
    desk.sessions.breakpoints_changed("w1")
    await _verified(desk, "other.py:1")
    await editor.request("continue", threadId=thread)
    await editor.stopped("breakpoint")
    frame = await editor.top(thread)
    assert (frame["line"], await editor.value("i", frame["id"])) == (8, "3")

    kept = await desk.breakpoints.add("w1", NewBreakpoint(file="loop.py", line=2))
    desk.sessions.breakpoints_changed("w1")
    await _verified(desk, "loop.py:2")
    await editor.set_breakpoints(path, [])
    await editor.request("continue", threadId=thread)
    await editor.stopped("breakpoint")
    assert (await editor.top(thread))["line"] == 2

    await desk.breakpoints.remove("w1", kept.id)
    await desk.breakpoints.add("w1", NewBreakpoint(kind="exception", filter="raised"))
    desk.sessions.breakpoints_changed("w1")
    await _verified(desk, "exception:raised")
    await editor.request("continue", threadId=thread)
    assert (await editor.event("exited"))["exitCode"] == 0


async def _verified(desk: Desk, place: str) -> None:
    """Return once the breakpoint at a place is known to be verified."""
    async with asyncio.timeout(20):
        while True:
            for one in await desk.breakpoints.list("w1"):
                if one.place == place and one.verification is not None and one.verification.state == "verified":
                    return
            await asyncio.sleep(0.01)


async def test_a_disconnected_task_goes_on_and_can_be_attached_to_again(desk: Desk) -> None:
    path = desk.write(
        "endless.py", "import time\ni = 0\nwhile i >= 0:\n    i += 1\n    time.sleep(0.01)\nprint('over')\n"
    )
    editor = desk.open_editor()
    await editor.begin(task="endless.py", breakpoints={path: [4]})
    thread = await editor.stopped("breakpoint")
    first = int(await editor.value("i", (await editor.top(thread))["id"]))

    await editor.request("disconnect")
    again = desk.open_editor()
    found = await again.begin("attach", breakpoints={path: [5]})

    assert found[path][0]["verified"]
    await again.stopped("breakpoint")
    frame = await again.top(thread)
    assert frame["line"] == 5
    assert int(await again.value("i", frame["id"])) > first
    await again.request("setExpression", expression="i", value="-5", frameId=frame["id"])
    await again.set_breakpoints(path, [])
    await again.request("continue", threadId=thread)
    await again.event("terminated")


async def test_an_editor_that_attaches_to_a_paused_task_is_told_where_it_stands(desk: Desk) -> None:
    path = desk.write("loop.py", LOOP)
    editor = desk.open_editor()
    await editor.begin(task="loop.py", breakpoints={path: [2]})
    await editor.stopped("breakpoint")
    await editor.request("disconnect", suspendDebuggee=True)
    again = desk.open_editor()

    await again.begin("attach")

    thread = await again.stopped("breakpoint")
    assert (await again.top(thread))["line"] == 2
    await again.request("continue", threadId=thread)
    await again.event("terminated")


async def test_restart_starts_the_script_anew_with_the_same_breakpoints(desk: Desk) -> None:
    path = desk.write("loop.py", LOOP)
    editor = desk.open_editor()
    await editor.begin(task="loop.py", breakpoints={path: [{"line": 2, "condition": "a == 3"}]})
    thread = await editor.stopped("breakpoint")

    await editor.request("restart")

    thread = await editor.stopped("breakpoint")
    assert await editor.value("a", (await editor.top(thread))["id"]) == "3"
    assert not editor.has_event("terminated")
    await editor.request("terminate")
    await editor.event("terminated")
    assert len(desk.tasks.tasks) == 2


async def test_stop_on_entry_pause_and_a_link_that_is_lost(desk: Desk) -> None:
    desk.write("spin.py", "import time\nwhile True:\n    time.sleep(0.01)\n")
    editor = desk.open_editor()
    await editor.begin(task="spin.py", stopOnEntry=True)
    thread = await editor.stopped("entry")
    assert (await editor.top(thread))["line"] == 1
    await editor.request("continue", threadId=thread)
    await editor.request("pause", threadId=thread)
    await editor.stopped("pause")
    (session,) = desk.sessions.list()

    desk.tasks.channel(session.run or "").cut()
    await editor.output("The link to the device is lost")
    assert desk.sessions.list()[0].state == "link-lost"
    asked = asyncio.create_task(editor.top(thread))
    desk.tasks.channel(session.run or "").heal()

    await editor.output("The device is back")
    assert (await asked)["line"] in (2, 3)
    assert desk.sessions.list()[0].state == "paused"
    await editor.request("disconnect", terminateDebuggee=True)


async def test_events_say_what_a_session_does(desk: Desk) -> None:
    path = desk.write("loop.py", LOOP)
    editor = desk.open_editor()
    await editor.begin(task="loop.py", breakpoints={path: [{"line": 2, "condition": "a == 5"}]})
    thread = await editor.stopped("breakpoint")
    await editor.top(thread)
    await editor.top(thread)
    (session,) = desk.sessions.list()
    assert session.pause is not None
    assert (session.pause.file, session.pause.line, session.pause.function) == ("loop.py", 2, "add")

    await editor.request("continue", threadId=thread)
    await editor.event("terminated")

    kinds = [kind for kind, _ in await desk.events()]
    assert kinds[0] == "debug.started"
    assert "debug.paused" in kinds


async def test_what_cannot_be_is_refused_in_words(desk: Desk) -> None:
    desk.write("loop.py", LOOP)
    editor = desk.open_editor()
    assert "initialized" in await editor.refused("threads")
    await editor.initialize()
    assert "names no task" in await editor.refused("launch")
    assert "stopOnEntry: must be true or false" in await editor.refused("launch", task="loop.py", stopOnEntry="yes")
    assert "There is no script missing.py" in await editor.refused("launch", task="missing.py")
    other = desk.open_editor()
    await other.initialize()
    assert "No task of this workspace is being debugged" in await other.refused("attach")


async def test_an_editor_that_works_behind_a_link_sees_its_own_paths(desk: Desk, tmp_path: Path) -> None:
    desk.write("loop.py", LOOP)
    (tmp_path / "shortcut").symlink_to(desk.root)
    path = str(tmp_path / "shortcut" / "loop.py")
    editor = desk.open_editor(folder=tmp_path / "shortcut")

    found = await editor.begin(task=path, breakpoints={path: [{"line": 2, "condition": "a == 5"}]})

    assert found[path][0]["verified"]
    thread = await editor.stopped("breakpoint")
    assert (await editor.top(thread))["source"]["path"] == path
    assert (await _pause(desk)).file == "loop.py"
    await editor.request("continue", threadId=thread)
    await editor.event("terminated")


async def test_a_task_whose_editor_crashes_goes_on_without_its_breakpoints(desk: Desk) -> None:
    path = desk.write("loop.py", LOOP)
    editor = desk.open_editor()
    await editor.begin(task="loop.py", breakpoints={path: [2]})
    await editor.stopped("breakpoint")

    await desk.crash(editor)

    (session,) = desk.sessions.list()
    await desk.sessions.get(session.id).has_ended.wait()
    assert (await desk.tasks.get(session.run or "")).state.value == "succeeded"


async def test_a_task_that_waits_for_an_editor_that_crashes_is_ended(desk: Desk) -> None:
    desk.write("loop.py", LOOP)
    editor = desk.open_editor()
    await editor.initialize()
    await editor.request("launch", task="loop.py")

    await desk.crash(editor)

    (session,) = desk.sessions.list()
    assert session.state == "ended"
    assert (await desk.tasks.get(session.run or "")).state.value == "cancelled"


async def test_a_breakpoint_on_a_function_stops_in_it_also_after_a_restart(desk: Desk) -> None:
    desk.write("loop.py", LOOP)
    editor = desk.open_editor()
    await editor.initialize()
    await editor.request("launch", task="loop.py")
    body = await editor.request("setFunctionBreakpoints", breakpoints=[{"name": "add"}])
    assert body["breakpoints"][0]["verified"]
    await editor.request("configurationDone")
    await editor.stopped("function breakpoint")

    await editor.request("restart")

    thread = await editor.stopped("function breakpoint")
    assert (await editor.top(thread))["name"] == "add"
    await editor.request("disconnect", terminateDebuggee=True)


async def test_a_second_editor_is_refused_while_the_first_is_there(desk: Desk) -> None:
    path = desk.write("loop.py", LOOP)
    editor = desk.open_editor()
    await editor.begin(task="loop.py", breakpoints={path: [2]})
    await editor.stopped("breakpoint")
    other = desk.open_editor()
    await other.initialize()

    assert "An editor is attached" in await other.refused("attach")
    await editor.request("disconnect", terminateDebuggee=True)


async def _pause(desk: Desk) -> Pause:
    """Return where the only session stands, once that is known."""
    async with asyncio.timeout(20):
        while True:
            (session,) = desk.sessions.list()
            if session.pause is not None and session.pause.line is not None:
                return session.pause
            await asyncio.sleep(0.01)
