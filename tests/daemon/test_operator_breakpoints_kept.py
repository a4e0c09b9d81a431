"""Breakpoints on operators that a workspace keeps: what is refused, and what goes with a run."""

from __future__ import annotations

from pathlib import Path

import pytest
from daemon.device_daemon import DeviceDaemon, device_daemon
from daemon.device_peer import Link, link

from edgeloop_daemon.debugging.breakpoints import Breakpoints, NewBreakpoint, checked
from edgeloop_daemon.devices.run_breakpoints import RunBreakpoint, RunBreakpoints
from edgeloop_shared.errors import BundleError, EdgeloopError, InvalidInputError, NotFoundError, TooLargeError
from edgeloop_shared.messages import CommandResult, RunTask, encode_message
from edgeloop_shared.models import RunState
from edgeloop_shared.operator_breakpoints import OperatorBreakpointOrder
from edgeloop_shared.operator_stops import OperatorsMatched
from edgeloop_shared.run_events import TaskFinished, TaskStarted


def operators(selector: str = "op:*", **options: object) -> NewBreakpoint:
    return NewBreakpoint(kind="operator", selector=selector, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("new", "kind", "message"),
    [
        (operators(condition="nan_count > > 0"), InvalidInputError, "at character 13"),
        (operators(condition="__import__('os').system('x') > 0"), InvalidInputError, "cannot be said in a condition"),
        (operators("op:* after", action="skip"), InvalidInputError, "cannot be skipped after it has run"),
        (operators("op:conv @"), InvalidInputError, "`@` is no part of a selector"),
        (operators(condition="cosine_to_reference < 1"), InvalidInputError, "none was given"),
        (operators(log_message="here"), InvalidInputError, "log_message is not for"),
        (operators(reference="nowhere"), NotFoundError, "no folder or `.npy` file nowhere"),
        (operators(reference="../secret.npy"), BundleError, "outside the workspace"),
        (operators(reference="empty"), InvalidInputError, "holds 0 `.npy` files"),
        (NewBreakpoint(file="task.py", line=1, action="wait"), InvalidInputError, "action is not for"),
        (NewBreakpoint(file="task.py", line=1, first_only=True), InvalidInputError, "first_only is not for"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, new: NewBreakpoint, kind: type[EdgeloopError], message: str) -> None:
    (tmp_path / "task.py").write_text("print(1)\n")
    (tmp_path / "empty").mkdir()
    with pytest.raises(kind) as caught:
        checked(tmp_path, new)
    assert message in caught.value.message


async def test_a_run_takes_its_own_and_the_kept_ones_along(daemon: DeviceDaemon, linked: Link) -> None:
    breakpoints = Breakpoints(daemon.database)
    kept = await breakpoints.add("w1", operators("op:conv*", condition="nan_count > 0", hit_condition=">= 2"))
    await breakpoints.add("w1", NewBreakpoint(file="task.py", line=1))
    found = await breakpoints.for_run("w1", [operators("op:#3", action="wait")])
    run = await daemon.runs.start(daemon.workspace, "task.py", breakpoints=found)
    task = await linked.accept()

    assert task.operator_breakpoints == (
        OperatorBreakpointOrder("o1", "op:#3", action="wait"),
        OperatorBreakpointOrder(kept.id, "op:conv*", when="nan_count > 0", hit=">= 2"),
    )
    assert run.operator_breakpoints == task.operator_breakpoints
    assert (await breakpoints.for_run("w1", (), with_kept=False)).items == ()
    with pytest.raises(InvalidInputError, match="takes 64 breakpoints on operators, and these are 66"):
        await breakpoints.for_run("w1", [operators(f"op:#{number}") for number in range(65)])
    with pytest.raises(InvalidInputError, match="kind is not operator"):
        await breakpoints.for_run("w1", [NewBreakpoint(file="task.py", line=1)])


async def test_references_lie_where_the_worker_is_told_to_look(daemon: DeviceDaemon, linked: Link) -> None:
    folder = daemon.workspace.root / "reference"
    folder.mkdir()
    (folder / "conv.npy").write_bytes(b"one")
    (folder / "other.txt").write_bytes(b"no reference")
    found = await Breakpoints(daemon.database).for_run(
        "w1", [operators(condition="cosine_to_reference < 1", reference="reference")]
    )
    await daemon.runs.start(daemon.workspace, "task.py", breakpoints=found)
    task = await linked.accept()

    manifest, _, _ = await linked.ask("GET", task.manifest)
    assert b'".edgeloop/references/o1/conv.npy"' in manifest
    assert b"other.txt" not in manifest
    assert task.operator_breakpoints is not None
    assert task.operator_breakpoints[0].reference == ".edgeloop/references/o1"


async def test_breakpoints_that_fit_into_no_message_are_refused(daemon: DeviceDaemon, linked: Link) -> None:
    condition = " or ".join(["out[0].abs_max > 1e4"] * 40)
    many = tuple(RunBreakpoint(OperatorBreakpointOrder(f"o{n}", "op:*", when=condition)) for n in range(64))
    with pytest.raises(TooLargeError, match="and its breakpoints"):
        await daemon.runs.start(daemon.workspace, "task.py", breakpoints=RunBreakpoints(many))


async def test_a_daemon_that_was_killed_sends_the_same_breakpoints_again(tmp_path: Path) -> None:
    order = OperatorBreakpointOrder("o1", "op:conv", action="dump")
    async with device_daemon(tmp_path) as daemon:
        (daemon.workspace.root / "task.py").touch()
        phone = await daemon.pair()
        async with link(phone) as live:
            await daemon.runs.start(daemon.workspace, "task.py", breakpoints=RunBreakpoints((RunBreakpoint(order),)))
            await live.receive(RunTask)
        port = daemon.port
    async with device_daemon(tmp_path, port=port), link(phone) as live:
        task = await live.receive(RunTask)
        await live.socket.send_str(encode_message(CommandResult(task.command_id)))
        assert task.operator_breakpoints == (order,)


async def test_what_a_breakpoint_matches_stands_in_its_verification(daemon: DeviceDaemon, linked: Link) -> None:
    breakpoints = Breakpoints(daemon.database)
    kept = await breakpoints.add("w1", operators("op:conv*"))
    run = await daemon.runs.start(daemon.workspace, "task.py")
    await linked.accept()
    await linked.report(run.id, TaskStarted(1))
    await linked.report(run.id, OperatorsMatched("stranger", "op:conv*", "digits.mnn", 3, ("conv1",)))
    await linked.report(run.id, OperatorsMatched(kept.id, "op:conv*", "digits.mnn", 2, ("conv1", "conv\x1b2")))
    await linked.report(run.id, OperatorsMatched(kept.id, "op:conv*", "other.mnn", 0))
    await linked.report(run.id, TaskFinished(2, RunState.SUCCEEDED, 0, 0))
    await daemon.runs.get(run.id, wait=10)

    verification = (await breakpoints.get("w1", kept.id)).verification
    assert verification is not None
    assert (verification.session, verification.state) == (run.id, "verified")
    assert verification.message == "2 operators of digits.mnn: conv1, conv\\x1b2"
