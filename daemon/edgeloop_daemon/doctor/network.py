"""The network between this computer and phones, as far as its two ends can tell."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path

from edgeloop_daemon.doctor.finding import Finding, Subject, amount, named, ok, warning
from edgeloop_daemon.doctor.network_view import DeviceOnNetwork, NetworkView
from edgeloop_shared.network_reports import DialAttempt

ENOUGH_KNOCKS = 3
MAX_CLOCK_OFFSET_SECONDS = 30.0
_NO_DAEMON = "not known while the daemon does not run"
_KNOWN_ADDRESSES = "Until then paired phones dial the addresses that they know."
_WORDS = {
    "timeout": "got no answer",
    "refused": "was refused",
    "unreachable": "found no way",
    "certificate": "met another computer",
    "failed": "failed",
}


def _of_network(look: Callable[[Subject, NetworkView], Finding]) -> Callable[[Subject], Finding]:
    """Make a check of what looks at the network as the daemon sees it: without a daemon nothing is known."""

    @wraps(look)
    def check(subject: Subject) -> Finding:
        view = subject.daemon.network if subject.daemon else None
        return ok(_NO_DAEMON) if view is None else look(subject, view)

    return check


@_of_network
def check_mdns(_: Subject, view: NetworkView) -> Finding:
    """Tell whether phones are looked for, and whether what they announce comes through."""
    if view.state == "off":
        remedy = (
            "" if view.reason else f"`edgeloop device search on` has phones found by themselves. {_KNOWN_ADDRESSES}"
        )
        return ok(f"phones are not looked for{f': {view.reason}' if view.reason else ''}", remedy)
    if view.state == "failed":
        return warning(f"Phones cannot be looked for: {view.reason}.", f"Join the phones' network. {_KNOWN_ADDRESSES}")
    nearby = [device.name for device in view.devices if device.is_nearby]
    unheard = [device.name for device in view.devices if device.announces and device.is_linked and not device.is_nearby]
    if unheard and not nearby and not view.strangers:
        return warning(
            f"{named(unheard)} announces itself and is linked, yet it is not seen here: multicast does not come through.",
            "Let multicast through the access point (IGMP snooping, isolation) and UDP port 5353 through the firewall, unless "
            f"being found was switched off in the app since it linked. {_KNOWN_ADDRESSES}",
        )
    seen = f"{named(nearby)} nearby" if nearby else "no paired phone is nearby"
    unknown = f", and {amount(view.strangers, 'unknown phone')}" if view.strangers else ""
    return ok("begins to look for phones" if view.state == "starting" else seen + unknown)


@_of_network
def check_subnet(_: Subject, view: NetworkView) -> Finding:
    """Tell whether linked phones are in a network of this computer."""
    linked = [device for device in view.devices if device.is_linked and device.is_on_link is not None]
    routed = [device.name for device in linked if not device.is_on_link]
    if routed:
        return warning(
            f"{named(routed)} comes through a router: mDNS and knocks end there.",
            "Join the same network; else the phone dials only the addresses that it knows.",
        )
    return ok(f"{named([device.name for device in linked])} in the same network" if linked else "no phone is linked")


@_of_network
def check_isolation(subject: Subject, view: NetworkView) -> Finding:
    """Tell whether a paired phone is seen and does not come."""
    away = [
        device
        for device in view.devices
        if device.is_nearby and not device.is_linked and device.unanswered_knocks >= ENOUGH_KNOCKS
    ]
    if not away:
        return ok("every paired phone that is seen can come")
    knocks = max(device.unanswered_knocks for device in away)
    return warning(
        f"{named([device.name for device in away])} is seen, but does not come after {amount(knocks, 'knock')}.",
        "Switch client isolation off in the access point (guest networks have it), or use another network. If the phone has "
        f"left without a goodbye, this ends within half a minute. {_port_remedy(subject)}",
    )


@_of_network
def check_reachability(subject: Subject, view: NetworkView) -> Finding:
    """Tell what phones met that dialled an address of this computer in vain, before they were linked."""
    met = [
        f"{device.name} {_WORDS[attempt.outcome]} at {attempt.address} port {attempt.port} ({attempt.times}x)"
        for device, attempt in _vain(subject, view)
        if attempt.outcome != "refused"  # no daemon was running
    ]
    if met:
        return warning(f"{named(met)}.", "It is linked now. If it happens again, see `isolation` and `firewall`.")
    told = [device.name for device in view.devices if device.is_linked and device.announces is not None]
    return ok(f"{named(told)} came at once" if told else "no phone has told")


@_of_network
def check_firewall(subject: Subject, view: NetworkView) -> Finding:
    """Tell whether a firewall of this computer is suspected of dropping what phones send."""
    silent = {device.name for device, attempt in _vain(subject, view) if attempt.outcome == "timeout"}
    firewall = _known_firewall()
    if silent:
        return warning(
            f"{named(sorted(silent))} got no answer at an address of this computer: a firewall is suspected.",
            _port_remedy(subject),
        )
    return ok(f"none is suspected{f', though {firewall} is on' if firewall else ''}")


@_of_network
def check_phone_clocks(_: Subject, view: NetworkView) -> Finding:
    """Tell how far the clocks of phones are from this computer's."""
    offsets = {device.name: device.clock_offset for device in view.devices if device.clock_offset is not None}
    wrong = [
        f"{name} by {abs(offset):.0f} s ({'ahead' if offset > 0 else 'behind'})"
        for name, offset in offsets.items()
        if abs(offset) > MAX_CLOCK_OFFSET_SECONDS
    ]
    if wrong:
        return warning(
            f"Clocks differ: {named(wrong)}.", "Have both set their clocks by the network. Traces are corrected anyway."
        )
    most = max((abs(offset) for offset in offsets.values()), default=None)
    return ok("no phone has told" if most is None else f"at most {most:.1f} s apart when they linked")


def _vain(subject: Subject, view: NetworkView) -> list[tuple[DeviceOnNetwork, DialAttempt]]:
    """Return the attempts at what are this computer's addresses and port now: others are of other networks and days."""
    assert subject.daemon is not None
    ours = {*subject.daemon.device_addresses, *(one.partition("/")[0] for one in view.addresses)}
    return [
        (device, attempt)
        for device in view.devices
        for attempt in device.failed
        if attempt.address in ours and attempt.port == subject.daemon.device_port
    ]


def _port_remedy(subject: Subject) -> str:
    port = subject.daemon.device_port if subject.daemon else None
    number = port or "PORT"
    commands = {"ufw": f"`sudo ufw allow {number}/tcp`", "firewalld": f"`sudo firewall-cmd --add-port={number}/tcp`"}
    firewall = _known_firewall()
    return f"Let TCP port {number} in: {commands[firewall] if firewall else 'in the firewall of this computer'}."


def _known_firewall() -> str:
    """Return the name of a firewall that is switched on, as far as anybody may see that; empty: none is known."""
    try:
        if "ENABLED=yes" in Path("/etc/ufw/ufw.conf").read_text(errors="replace"):
            return "ufw"
    except OSError:
        pass  # not installed
    return "firewalld" if Path("/run/firewalld").is_dir() else ""
