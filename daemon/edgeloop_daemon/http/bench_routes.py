"""Routes on benchmarks."""

from __future__ import annotations

import asyncio

from edgeloop_daemon.devices.run_table import Run
from edgeloop_daemon.devices.runs import Runs
from edgeloop_daemon.http.routes import Accepted, Call, Route
from edgeloop_daemon.http.run_routes import FindWorkspace
from edgeloop_daemon.measuring.bench import BenchRequest, bench_result, bench_tool
from edgeloop_shared.benchmarks import BenchResult
from edgeloop_shared.errors import ConflictError


def bench_routes(runs: Runs, find_workspace: FindWorkspace) -> tuple[Route, ...]:
    """Return the routes."""

    async def start_bench(call: Call) -> Accepted:
        body: BenchRequest = call.body
        workspace = await find_workspace(call.path["workspace"])
        tool = await asyncio.to_thread(bench_tool, body, workspace.root)
        run = await runs.start_tool(
            workspace, tool, device=body.device, include=body.include, also=call.begins("/runs")
        )
        return Accepted(f"/runs/{run.id}", run)

    async def get_bench(call: Call) -> BenchResult:
        return bench_result(await runs.get(call.path["run"]))

    return (
        Route(
            "POST",
            "/workspaces/{workspace:w[0-9a-z]+}/bench",
            "start_bench",
            "Measure how fast models are on a device.",
            start_bench,
            result=Run,
            body=BenchRequest,
            status=202,
            tag="runs",
        ),
        Route(
            "GET",
            "/runs/{run}/bench",
            "get_bench",
            "Show what a benchmark found.",
            get_bench,
            result=BenchResult,
            tag="runs",
            errors=(ConflictError,),
        ),
    )
