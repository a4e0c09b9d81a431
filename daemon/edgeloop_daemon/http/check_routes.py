"""Routes on a workspace's checks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from edgeloop_daemon.devices.run_table import Run
from edgeloop_daemon.devices.runs import Runs
from edgeloop_daemon.http.routes import Accepted, Call, Route
from edgeloop_daemon.http.run_routes import FindWorkspace
from edgeloop_daemon.measuring.baselines import read_baselines, write_baselines
from edgeloop_daemon.measuring.check import CheckReport, CheckRequest, check_report, check_tool, measured_latencies
from edgeloop_shared.checks import Check
from edgeloop_shared.errors import ConflictError
from edgeloop_shared.models import DeviceInfo

FindChecks = Callable[[str], Awaitable[Mapping[str, Check]]]
"""Returns the checks in the settings of the workspace with an id. Raises `SettingsError`."""
FindInfo = Callable[[str], DeviceInfo]
"""Returns what the device with an id says of itself. Raises `NotFoundError`."""


def check_routes(
    runs: Runs, find_workspace: FindWorkspace, find_checks: FindChecks, find_info: FindInfo
) -> tuple[Route, ...]:
    """Return the routes."""

    async def start_check(call: Call) -> Accepted:
        body: CheckRequest = call.body
        workspace = await find_workspace(call.path["workspace"])
        tool = await asyncio.to_thread(check_tool, await find_checks(workspace.id), body, workspace.root)
        run = await runs.start_tool(workspace, tool, device=body.device, also=call.begins("/runs"))
        return Accepted(f"/runs/{run.id}", run)

    async def get_check(call: Call) -> CheckReport:
        run = await runs.get(call.path["run"])
        workspace = await find_workspace(run.workspace)
        return check_report(run, find_info(run.device), await asyncio.to_thread(read_baselines, workspace.root))

    async def set_baseline(call: Call) -> CheckReport:
        run = await runs.get(call.path["run"])
        info, measured = find_info(run.device), measured_latencies(run)
        workspace = await find_workspace(run.workspace)
        async with one_at_a_time:
            known = await asyncio.to_thread(read_baselines, workspace.root)
            new = known.updated(run.device, info, measured)
            await asyncio.to_thread(write_baselines, workspace.root, new)
        return check_report(run, info, new)

    one_at_a_time = asyncio.Lock()
    return (
        Route(
            "POST",
            "/workspaces/{workspace:w[0-9a-z]+}/check",
            "start_check",
            "Check a workspace's expectations on a device.",
            start_check,
            result=Run,
            body=CheckRequest,
            status=202,
            tag="runs",
        ),
        Route(
            "GET",
            "/runs/{run}/check",
            "get_check",
            "Judge what a check found.",
            get_check,
            result=CheckReport,
            tag="runs",
            errors=(ConflictError,),
        ),
        Route(
            "POST",
            "/runs/{run}/baseline",
            "set_baseline",
            "Take the latencies of a check as the device's baselines.",
            set_baseline,
            result=CheckReport,
            tag="runs",
            errors=(ConflictError,),
        ),
    )
