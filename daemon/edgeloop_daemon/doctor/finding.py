"""What a check found, and what it was given to look at."""

from __future__ import annotations

from dataclasses import dataclass

from edgeloop_daemon.doctor.network_view import NetworkView
from edgeloop_daemon.store.folders import Folders
from edgeloop_shared.marks import Mark


@dataclass(frozen=True)
class Finding:
    """One check's answer. `remedy` is what to do, or for what is ok what could be done; it may be empty."""

    mark: Mark
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class FailedPlugin:
    """A plugin that is left out, and why."""

    name: str
    error: str


@dataclass(frozen=True)
class RunningDaemon:
    """What a daemon that answers says of itself. `linked` are the ids of the devices that are here.

    `network` is None for a daemon that is older than phones being looked for.
    """

    version: str
    pid: int
    api_port: int
    device_port: int | None
    device_addresses: tuple[str, ...]
    failed_plugins: tuple[FailedPlugin, ...]
    linked: frozenset[str]
    network: NetworkView | None = None


@dataclass(frozen=True)
class Subject:
    """The installation to look at. `daemon` is None while none answers; `silence` then says why, if one runs nevertheless."""

    folders: Folders
    daemon: RunningDaemon | None = None
    silence: str = ""


class NotCheckedError(Exception):
    """A check has nothing to look at, because of something that another check tells."""


def ok(found: str, remedy: str = "") -> Finding:
    """Return a finding that all is well."""
    return Finding(Mark.OK, found, remedy)


def warning(found: str, remedy: str) -> Finding:
    """Return a finding of what may bite later."""
    return Finding(Mark.WARNING, found, remedy)


def problem(found: str, remedy: str) -> Finding:
    """Return a finding of what does not work."""
    return Finding(Mark.PROBLEM, found, remedy)


def named(things: list[str], limit: int = 3) -> str:
    """Return the first of the names, and how many more there are."""
    more = f" and {len(things) - limit} more" if len(things) > limit else ""
    return ", ".join(things[:limit]) + more


def amount(count: int, thing: str) -> str:
    """Return a number of things in words: `amount(2, "job")` is `"2 jobs"`."""
    return f"{count} {thing}{'' if count == 1 else 's'}"
