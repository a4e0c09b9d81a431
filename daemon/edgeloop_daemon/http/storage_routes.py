"""Routes on what edgeloop keeps on this computer."""

from __future__ import annotations

from dataclasses import dataclass

from edgeloop_daemon.http.routes import Call, Route
from edgeloop_daemon.retention.policy import RetentionPolicy
from edgeloop_daemon.retention.retention import PruneReport, Retention, StorageReport


@dataclass(frozen=True)
class Prune:
    """Whether to remove anything, or only to tell what would be removed."""

    dry_run: bool = False


def storage_routes(retention: Retention) -> tuple[Route, ...]:
    """Return the routes below `/storage`."""
    tag = "storage"

    async def get_storage(_: Call) -> StorageReport:
        return await retention.report()

    async def put_policy(call: Call) -> RetentionPolicy:
        return await retention.set_policy(call.body)

    async def prune(call: Call) -> PruneReport:
        return await retention.prune(dry_run=call.body.dry_run)

    return (
        Route("GET", "/storage", "get_storage", "Tell what uses the disk.", get_storage, StorageReport, tag=tag),
        Route(
            "PUT",
            "/storage/policy",
            "set_retention_policy",
            "Set how long and how much is kept.",
            put_policy,
            RetentionPolicy,
            RetentionPolicy,
            tag=tag,
        ),
        Route(
            "POST",
            "/storage/prune",
            "prune_storage",
            "Remove what the policy does not keep; with `dry_run` only tell.",
            prune,
            PruneReport,
            Prune,
            tag=tag,
        ),
    )
