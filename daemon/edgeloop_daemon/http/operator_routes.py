"""Routes on the operators of models that run on a device: the hits of breakpoints on them."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgeloop_daemon.devices.operator_hits import OperatorHit
from edgeloop_daemon.devices.runs import Runs
from edgeloop_daemon.http.paging import LIMIT
from edgeloop_daemon.http.routes import Call, Route


@dataclass(frozen=True)
class OperatorHitsQuery:
    """Which hits: those behind the one with the number `after`, which is zero or an earlier answer's `next`.

    With `wait` seconds an empty list comes only when the run has ended or that time is over.
    """

    after: int = field(default=0, metadata={"ge": 0, "lt": 2**63})
    limit: int = field(default=100, metadata=LIMIT)
    wait: float = field(default=0.0, metadata={"ge": 0, "le": 30})


@dataclass(frozen=True)
class OperatorHitItems:
    """Hits in the order in which they came. `next` goes on behind them; it is null where there were no more."""

    items: tuple[OperatorHit, ...]
    next: int | None


def operator_routes(runs: Runs) -> tuple[Route, ...]:
    """Return the routes."""

    async def list_hits(call: Call) -> OperatorHitItems:
        query: OperatorHitsQuery = call.query
        found = await runs.operator_hits(call.path["run"], query.after, query.limit + 1, query.wait)
        shown = found[: query.limit]
        return OperatorHitItems(shown, shown[-1].number if len(found) > len(shown) else None)

    return (
        Route(
            "GET",
            "/runs/{run}/operator-hits",
            "list_operator_hits",
            "List the hits of breakpoints on operators.",
            list_hits,
            result=OperatorHitItems,
            query=OperatorHitsQuery,
            tag="operators",
        ),
    )
