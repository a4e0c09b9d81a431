"""What the doctor tells of the network between this computer and phones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgeloop_daemon.doctor.finding import Finding, RunningDaemon, Subject
from edgeloop_daemon.doctor.network import (
    check_firewall,
    check_isolation,
    check_mdns,
    check_phone_clocks,
    check_reachability,
    check_subnet,
)
from edgeloop_daemon.doctor.network_view import DeviceOnNetwork, NetworkView, network_view
from edgeloop_daemon.store.folders import Folders
from edgeloop_shared.marks import Mark
from edgeloop_shared.network_reports import DialAttempt, DialOutcome

PHONE = DeviceOnNetwork("pocket", True, True, False, 0, True, (), 0.2, True)
CHECKS = (check_mdns, check_subnet, check_isolation, check_reachability, check_firewall, check_phone_clocks)


def subject(*devices: DeviceOnNetwork, state: str = "on", reason: str = "", strangers: int = 0) -> Subject:
    view = NetworkView(state, reason, ("192.168.1.5/24",), strangers, devices)
    daemon = RunningDaemon("1", 1, 1, 4711, ("192.168.1.5",), (), frozenset(), view)
    return Subject(Folders(Path("/nowhere")), daemon)


def tried(outcome: DialOutcome, address: str = "192.168.1.5", port: int = 4711) -> DeviceOnNetwork:
    return replace(PHONE, failed=(DialAttempt(address, port, outcome, 2),))


@pytest.mark.parametrize("check", CHECKS)
def test_where_all_is_well_no_check_complains(check: Callable[[Subject], Finding]) -> None:
    for state in (subject(PHONE), subject(), Subject(Folders(Path("/nowhere"))), subject(state="starting")):
        assert check(state).mark is Mark.OK


@pytest.mark.parametrize(
    ("check", "state", "found", "remedy"),
    [
        (check_mdns, subject(state="failed", reason="no zeroconf"), "no zeroconf", "addresses that they know"),
        (check_mdns, subject(replace(PHONE, is_nearby=False)), "multicast", "access point"),
        (check_subnet, subject(replace(PHONE, is_on_link=False)), "router", "same network"),
        (
            check_isolation,
            subject(replace(PHONE, is_linked=False, unanswered_knocks=4)),
            "after 4 knocks",
            "client isolation",
        ),
        (check_reachability, subject(tried("unreachable")), "found no way at 192.168.1.5", "isolation"),
        (check_reachability, subject(tried("certificate")), "another computer", "firewall"),
        (check_firewall, subject(tried("timeout")), "firewall is suspected", "4711"),
        (check_phone_clocks, subject(replace(PHONE, clock_offset=-90.0)), "90 s (behind)", "clocks"),
    ],
)
def test_each_fault_is_told_with_its_remedy(
    check: Callable[[Subject], Finding], state: Subject, found: str, remedy: str
) -> None:
    finding = check(state)
    assert finding.mark is Mark.WARNING
    assert "pocket" in finding.found or check is check_mdns
    assert found in finding.found
    assert remedy in finding.remedy


def test_what_phones_met_elsewhere_or_while_no_daemon_ran_is_no_fault_of_this_network() -> None:
    for device in (tried("timeout", "10.0.0.9"), tried("timeout", port=9), tried("refused")):
        assert check_reachability(subject(device)).mark is Mark.OK
        assert check_firewall(subject(device)).mark is Mark.OK


def test_a_phone_that_does_not_announce_itself_is_not_missed() -> None:
    quiet = replace(PHONE, is_nearby=False, announces=False)
    assert check_mdns(subject(quiet)).mark is Mark.OK
    assert check_mdns(subject(replace(quiet, announces=True), strangers=1)).found.endswith("1 unknown phone")


@pytest.mark.parametrize(("activity", "mark"), [("foreground", Mark.WARNING), ("background", Mark.OK)])
def test_a_phone_whose_app_went_to_the_background_announces_itself_no_longer_and_is_not_missed(
    activity: str, mark: Mark
) -> None:
    device = {
        "id": "d1",
        "info": {"name": "pocket", "is_virtual": False},
        "is_linked": True,
        "is_nearby": False,
        "network": {"mdns": "on", "failed": [], "clock_offset": 0.0, "is_on_link": True},
        "state": {"activity": activity},
    }
    view = network_view([device], {"state": "on", "reason": "", "addresses": [], "items": []})
    assert check_mdns(subject(*view.devices)).mark is mark


def test_off_tells_why_or_how_to_switch_it_on() -> None:
    assert "device search on" in check_mdns(subject(state="off")).remedy
    assert "loopback" in check_mdns(subject(state="off", reason="the device port listens on loopback alone")).found
