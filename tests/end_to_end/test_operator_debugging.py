"""Operators in an editor: function breakpoints named `op:`, what is seen where they stop, and what can be done there."""

from __future__ import annotations

from typing import Any

import numpy as np
from end_to_end.command_line import CommandLine
from end_to_end.editor import editor
from end_to_end.test_operator_breakpoints import project

__all__ = ["project"]  # the fixture

LINE = 7  # of infer.py: where the model is run


async def set_functions(user: Any, *breakpoints: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await user.request("setFunctionBreakpoints", breakpoints=list(breakpoints)))[
        "breakpoints"
    ]
    return found


async def test_an_editor_stops_at_an_operator_looks_and_replaces(project: CommandLine) -> None:
    np.save(project.folder / "fine.npy", np.full((2, 3), 0.25, np.float32))
    script = str(project.folder / "infer.py")
    async with editor(project) as user:
        await user.begin(
            task="infer.py",
            include=["planted.mnn"],
            breakpoints={script: [LINE]},
        )
        thread = await user.stopped("breakpoint")
        _unknown, wrong, watched, python = await set_functions(
            user,
            {"name": "op:nothing*"},
            {"name": "op:root", "condition": "nan_count > > 0"},
            {"name": "op:*", "condition": "nan_count > 0", "hitCondition": "1"},
            {"name": "load_model"},
        )
        assert not watched["verified"]
        assert "has not run yet" in watched["message"]
        assert "at character 13" in wrong["message"]
        assert python["verified"] is True

        await user.request("continue", threadId=thread)
        thread = await user.stopped("function breakpoint")
        top = await user.top(thread)
        assert (top["source"]["path"], top["line"]) == (script, LINE)
        scopes = (await user.request("scopes", frameId=top["id"]))["scopes"]
        assert [one["name"] for one in scopes][:2] == ["Operator", "Tensors"]
        operator = await user.children(scopes[0]["variablesReference"])
        assert {name: operator[name]["value"] for name in ("name", "type", "run", "phase")} == {
            "name": "'root'",
            "type": "'UnaryOp'",
            "run": "0",
            "phase": "after",
        }
        tensors = await user.children(scopes[1]["variablesReference"])
        assert list(tensors) == ["in[0]", "out[0]"]
        assert tensors["out[0]"]["value"].startswith("float32 [2, 3], 1 NaN, min 0.37")
        inner = await user.children(tensors["out[0]"]["variablesReference"])
        assert inner["nan_count"]["value"] == "1"
        row = await user.children(inner["[1]"]["variablesReference"], filter="indexed", start=1, count=1)
        assert {name: one["value"] for name, one in row.items()} == {"[1]": "nan"}
        assert await user.value("model is not None", top["id"]) == "True"

        refused = await user.refused(
            "setVariable", variablesReference=scopes[1]["variablesReference"], name="out[0]", value="'infer.py'"
        )
        assert "is no `.npy` file" in refused
        changed = await user.request(
            "setVariable", variablesReference=scopes[1]["variablesReference"], name="out[0]", value="'fine.npy'"
        )
        assert changed["value"] == "float32 [2, 3], min 0.25, max 0.25, mean 0.25"
        info = await user.request(
            "dataBreakpointInfo", variablesReference=scopes[1]["variablesReference"], name="out[0]"
        )
        assert info["dataId"] == 'op:"root"'
        await user.request("continue", threadId=thread)
        await user.output("nan_count 0")
        await user.event("terminated")


async def test_a_tensor_is_watched_for_its_next_bad_value(project: CommandLine) -> None:
    async with editor(project) as user:
        script = project.folder / "twice.py"
        script.write_text(
            (project.folder / "infer.py").read_text().replace("result =", "model(np.ones((2, 3)))\nresult =")
        )
        await user.begin(task="twice.py", include=["planted.mnn"], breakpoints={str(script): [LINE]})
        assert user.capabilities["supportsDataBreakpoints"] is True
        thread = await user.stopped("breakpoint")
        nothing = await user.request("dataBreakpointInfo", name="model")
        assert nothing["dataId"] is None
        await set_functions(user, {"name": "op:wave @0"})
        await user.request("continue", threadId=thread)
        thread = await user.stopped("function breakpoint")
        tensors = (await user.request("scopes", frameId=(await user.top(thread))["id"]))["scopes"][1][
            "variablesReference"
        ]
        info = await user.request("dataBreakpointInfo", variablesReference=tensors, name="out[0]")
        assert info["dataId"] == 'op:"wave"'
        found = await user.request(
            "setDataBreakpoints", breakpoints=[{"dataId": info["dataId"], "condition": "min < 0"}]
        )
        assert [one["verified"] for one in found["breakpoints"]] == [False]
        await user.request("next", threadId=thread)
        thread = await user.stopped("step")
        assert (await user.top(thread))["line"] == LINE + 1
        await user.request("continue", threadId=thread)
        thread = await user.stopped("function breakpoint")
        frame = (await user.top(thread))["id"]
        operator = await user.scope(frame, "Operator")
        assert (operator["name"]["value"], operator["run"]["value"]) == ("'wave'", "1")
        assert await user.value("abort()", frame, "repl") == "the run is aborted"
        await user.output("RunAbortedError")
        await user.event("terminated")


async def test_an_operator_is_skipped_from_the_console_and_what_matches_is_told(project: CommandLine) -> None:
    async with editor(project) as user:
        text = (project.folder / "infer.py").read_text()
        script = project.folder / "twice.py"
        script.write_text(text.replace("result =", "model(np.ones((2, 3)))\nresult ="))
        await user.begin(task="twice.py", include=["planted.mnn"], breakpoints={str(script): [LINE]})
        await set_functions(user, {"name": "op:nothing*"}, {"name": "op:root before @1"})
        thread = await user.stopped("breakpoint")
        await user.request("continue", threadId=thread)
        await user.stopped("function breakpoint")
        await user.request("restart")
        thread = await user.stopped("breakpoint")
        await user.request("continue", threadId=thread)
        thread = await user.stopped("function breakpoint")
        missing = (await user.event("breakpoint"))["breakpoint"]
        assert (missing["verified"], missing["message"].startswith("matches no operator of planted.mnn")) == (
            False,
            True,
        )
        frame = (await user.top(thread))["id"]
        assert "Write replace" in await user.refused("evaluate", expression="replace()", frameId=frame, context="repl")
        assert await user.value("dump()", frame, "repl") == "the tensors come back as files of the run"
        assert await user.value("1 + 1", frame, "repl") == "2"
        assert await user.value("skip()", frame, "repl") == "the run goes on without the operator"
        await user.output("nan_count 0")
        await user.event("terminated")
