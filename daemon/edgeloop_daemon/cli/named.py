"""What a user means by a name: an id, the beginning of one, `last`, or a device's own name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from edgeloop_daemon.cli import completers
from edgeloop_daemon.cli.client import Client, Record
from edgeloop_daemon.cli.output import clean
from edgeloop_daemon.cli.session import Session
from edgeloop_shared.errors import EdgeloopError, InvalidInputError, NotFoundError

LAST = "last"
_SHOWN = 5  # candidates
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Work:
    """A job or a run on a device; `path` is where the API has it."""

    path: str
    record: Record

    @property
    def id(self) -> str:
        """Its whole id."""
        return str(self.record["id"])

    @property
    def is_run(self) -> bool:
        """Whether it is a run."""
        return self.path.startswith("/runs/")


def find_work(session: Session, wanted: str) -> Work:
    """Return the job or the run that `wanted` names. Raises `NotFoundError` and `InvalidInputError`."""
    return _find(session, wanted, ("jobs", "runs"))


def find_run(session: Session, wanted: str) -> Record:
    """Return the run that `wanted` names. Raises `NotFoundError` and `InvalidInputError`."""
    return _find(session, wanted, ("runs",)).record


def find_device(client: Client, wanted: str) -> Record:
    """Return the paired device that `wanted` names. Raises `NotFoundError` and `InvalidInputError`."""
    devices = client.items("/devices")
    same_name = [device for device in devices if device["info"]["name"] == wanted]
    begin = [device for device in devices if wanted and device["id"].startswith(wanted)]
    return _only(
        wanted,
        [device for device in begin if device["id"] == wanted] or same_name or begin,
        lambda device: f"{device['id']} ({device['info']['name']})",
        NotFoundError(f"No paired device is called {wanted[:64]!r}.", hint="`edgeloop devices` lists them."),
    )


def device_option(command: F) -> F:
    """Add `--device`; `chosen_device` tells what it means."""
    option = click.option(
        "--device",
        "-d",
        shell_complete=completers.devices,
        help="Which device, by id or name (default: edgeloop.toml's, else the only linked one).",
    )
    return option(command)


def chosen_device(client: Client, wanted: str | None) -> str | None:
    """Return the id of the device that `--device` names, None without it. Raises as `find_device` does."""
    return None if wanted is None else str(find_device(client, wanted)["id"])


def _find(session: Session, wanted: str, kinds: Sequence[str]) -> Work:
    nouns = " and no ".join(kind.removesuffix("s") for kind in kinds)
    hint = f"See {' and '.join(f'`edgeloop {kind}`' for kind in kinds)}."
    if wanted == LAST:
        workspace = session.workspace()["id"]
        newest = _listed(session.daemon(), kinds, workspace=workspace, limit=1)
        if not newest:
            raise NotFoundError(f"There is no {nouns} in this workspace yet.")
        return max(newest, key=lambda work: float(work.record["created_at"]))
    missing = NotFoundError(f"There is no {nouns} {wanted[:64]!r}.", hint=hint)
    if not wanted.isalnum() or len(wanted) > 64:
        raise missing
    begin = _listed(session.daemon(), kinds, prefix=wanted, limit=_SHOWN + 1)
    exact = [work for work in begin if work.id == wanted]
    return _only(wanted, exact or begin, lambda work: f"{work.id} ({_described(work.record)})", missing)


def _listed(client: Client, kinds: Sequence[str], **query: object) -> list[Work]:
    return [Work(f"/{kind}/{item['id']}", item) for kind in kinds for item in client.items(f"/{kind}", **query)]


def _described(record: Record) -> str:
    return f"{record.get('name') or record.get('script')}, {record['state']}"


def _only(wanted: str, found: list[T], described: Callable[[T], str], missing: EdgeloopError) -> T:
    if not found:
        raise missing
    if len(found) > 1:
        more = " and others" if len(found) > _SHOWN else ""
        names = ", ".join(clean(described(one)) for one in found[:_SHOWN])
        raise InvalidInputError(f"{wanted!r} may mean {names}{more}.", hint="Write more of the id.")
    return found[0]
