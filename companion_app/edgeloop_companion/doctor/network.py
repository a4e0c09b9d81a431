"""The way from this device to its computers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from edgeloop_companion.doctor.dial import Dialled
from edgeloop_companion.doctor.finding import Finding
from edgeloop_companion.doctor.subject import Subject
from edgeloop_companion.link.pairing import Pairing
from edgeloop_shared.addresses import show_address
from edgeloop_shared.marks import Mark

MAX_CLOCK_OFFSET_SECONDS = 30.0
EARLIEST = datetime(2025, 1, 1, tzinfo=UTC).timestamp()  # edgeloop is younger than that


def check_network(subject: Subject) -> list[Finding]:
    """Tell in which networks this device is."""
    if not subject.addresses:
        return [Finding("network", Mark.PROBLEM, "network.none")]
    shown = [one.address for one in subject.addresses if not one.is_link_local] or [subject.addresses[0].address]
    return [Finding("network", Mark.OK, "network.joined", {"addresses": ", ".join(shown[:3])})]


def check_computers(subject: Subject) -> list[Finding]:
    """Tell which computers are paired, and which of them are switched off."""
    if (error := subject.unreadable) is not None:
        values = {"reason": error.message, "hint": error.hint or ""}
        return [Finding("computers", Mark.PROBLEM, "computers.unreadable", values)]
    if not subject.pairings:
        return [Finding("computers", Mark.WARNING, "computers.none")]
    off = [one for one in subject.pairings if not one.is_on]
    if off:
        return [Finding("computers", Mark.WARNING, "computers.off", {"computers": _names(off)})]
    return [Finding("computers", Mark.OK, "computers.paired", {"computers": _names(subject.pairings)})]


def check_mdns(subject: Subject) -> list[Finding]:
    """Tell whether this device is announced, and whether a computer has found it so."""
    told = subject.advertised
    if told is None:
        return [Finding("mdns", Mark.OK, "mdns.app")]
    if told.state == "off":
        return [Finding("mdns", Mark.WARNING, "mdns.off")]
    if told.state == "failed":
        return [Finding("mdns", Mark.WARNING, "mdns.failed", {"reason": told.problem})]
    if told.knocked_by:
        return [Finding("mdns", Mark.OK, "mdns.knocked", {"computers": ", ".join(told.knocked_by)})]
    return [Finding("mdns", Mark.OK, "mdns.announced")]


def check_subnet(subject: Subject) -> list[Finding]:
    """Tell whether the computers are in a network of this device, by the addresses that it knows of them."""
    if not subject.addresses or not subject.dialled:
        return [Finding("subnet", Mark.OK, "subnet.unknown")]
    near = _computers(subject, lambda one: one.is_on_link)
    far = [one for one in _computers(subject, lambda _: True) if one not in near]
    if far:
        return [Finding("subnet", Mark.WARNING, "subnet.routed", {"computers": _names(far)})]
    return [Finding("subnet", Mark.OK, "subnet.same", {"computers": _names(near)})]


def check_reachability(subject: Subject) -> list[Finding]:
    """Tell which computers answer at their device port, and what was met where they do not."""
    answering = _computers(subject, lambda one: one.outcome == "answered")
    found = []
    for pairing in subject.pairings:
        met = [one for one in subject.dialled if one.pairing == pairing]
        if not met or pairing in answering:
            continue
        outcome = _worst(met)
        places = ", ".join(show_address(one.address, pairing.port) for one in met if one.outcome == outcome)
        mark = Mark.WARNING if outcome == "refused" else Mark.PROBLEM
        values = {"computer": pairing.host_name, "places": places}
        found.append(Finding("reachability", mark, f"reachability.{outcome}", values))
    if answering:
        values = {"computers": _names(answering)}
        found.append(Finding("reachability", Mark.OK, "reachability.answers", values))
    return found or [Finding("reachability", Mark.OK, "reachability.none")]


def check_isolation(subject: Subject) -> list[Finding]:
    """Suspect an access point that keeps its clients apart: who is in this network does not even tell where it is."""
    return _suspected(subject, "isolation", "unreachable")


def check_firewall(subject: Subject) -> list[Finding]:
    """Suspect a computer's firewall: the computer is there, and what is sent to its port vanishes."""
    return _suspected(subject, "firewall", "timeout")


def check_clock(subject: Subject, now: Callable[[], float] = time.time) -> list[Finding]:
    """Tell how far this clock is from the computers'."""
    if (current := now()) < EARLIEST:
        values = {"now": datetime.fromtimestamp(current).astimezone().isoformat(" ", "seconds")}
        return [Finding("clock", Mark.PROBLEM, "clock.impossible", values)]
    offsets = {one.pairing: one.clock_offset for one in subject.dialled if one.clock_offset is not None}
    wrong = {one: abs(offset) for one, offset in offsets.items() if abs(offset) > MAX_CLOCK_OFFSET_SECONDS}
    if wrong:
        return [
            Finding("clock", Mark.WARNING, "clock.differs", {"computer": one.host_name, "seconds": f"{seconds:.0f}"})
            for one, seconds in wrong.items()
        ]
    if not offsets:
        return [Finding("clock", Mark.OK, "clock.unknown")]
    return [Finding("clock", Mark.OK, "clock.same", {"seconds": f"{max(map(abs, offsets.values())):.0f}"})]


def _suspected(subject: Subject, check: str, outcome: str) -> list[Finding]:
    """Return a finding about the computers in this network that answer nowhere, and at one address met `outcome`."""
    answering = _computers(subject, lambda one: one.outcome == "answered")
    met = _computers(subject, lambda one: one.is_on_link and one.outcome == outcome)
    silent = [one for one in met if one not in answering]
    if not silent:
        return [Finding(check, Mark.OK, f"{check}.none")]
    values = {"computers": _names(silent), "port": str(silent[0].port)}
    return [Finding(check, Mark.WARNING, f"{check}.suspected", values)]


def _worst(met: Iterable[Dialled]) -> str:
    """Return the outcome that says most: somebody else is there, then a computer without a daemon, then silence."""
    order = ("certificate", "refused", "timeout", "unreachable", "failed")
    return min((one.outcome for one in met), key=order.index)


def _computers(subject: Subject, holds: Callable[[Dialled], bool]) -> list[Pairing]:
    """Return the computers of which it holds at one address at least: two of them may have one name."""
    return list(dict.fromkeys(one.pairing for one in subject.dialled if holds(one)))


def _names(pairings: Iterable[Pairing]) -> str:
    return ", ".join(dict.fromkeys(one.host_name for one in pairings))
