"""All checks, and going through them."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from edgeloop_companion.doctor.device import check_disk, check_heat, check_inference, check_versions
from edgeloop_companion.doctor.finding import Finding
from edgeloop_companion.doctor.network import (
    check_clock,
    check_computers,
    check_firewall,
    check_isolation,
    check_mdns,
    check_network,
    check_reachability,
    check_subnet,
)
from edgeloop_companion.doctor.subject import Subject
from edgeloop_shared.marks import Mark


@dataclass(frozen=True)
class Check:
    """One check. `id` is stable; `asks` is the question that it answers."""

    id: str
    asks: str
    look: Callable[[Subject], list[Finding] | Awaitable[list[Finding]]]


CHECKS: tuple[Check, ...] = (
    Check("network", "Is this device in a network?", check_network),
    Check("computers", "Which computers are paired, and is one switched off here?", check_computers),
    Check("mdns", "Is this device announced, and has a computer found it so?", check_mdns),
    Check("subnet", "Are the computers in a network of this device, or behind a router?", check_subnet),
    Check(
        "reachability", "Does each computer answer at its device port, with its own certificate?", check_reachability
    ),
    Check("isolation", "Does the access point keep this device and a computer apart?", check_isolation),
    Check("firewall", "Is a computer there, while what is sent to its port vanishes?", check_firewall),
    Check("clock", "How far is this clock from the computers'?", check_clock),
    Check("versions", "Is what the app stands on there, and new enough?", check_versions),
    Check("inference", "Does MNN run a tiny model here, and get its numbers right?", check_inference),
    Check("disk", "Is there room for models and files?", check_disk),
    Check("heat", "Does the system slow this device down for its heat?", check_heat),
)


async def examine(subject: Subject) -> AsyncIterator[Finding]:
    """Make all checks and yield what each finds, as soon as it is there. A check that fails itself is a problem like any other."""
    for check in CHECKS:
        try:
            found = check.look(subject)
            findings = await found if inspect.isawaitable(found) else found
        except Exception as error:  # whatever is broken here must not hide what the other checks find
            values = {"reason": f"{type(error).__name__}: {error}"}
            findings = [Finding(check.id, Mark.PROBLEM, "any.failed", values)]
        for finding in findings:
            yield finding
