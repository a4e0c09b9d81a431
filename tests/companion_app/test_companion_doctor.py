"""The doctor on the device's side: what it concludes from what it meets, and that it meets what is there."""

from __future__ import annotations

import asyncio
import json
import socket
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgeloop_companion.doctor import network
from edgeloop_companion.doctor.checks import CHECKS, examine
from edgeloop_companion.doctor.device import NEEDED, check_disk, check_heat, check_inference, check_versions
from edgeloop_companion.doctor.dial import Dialled, dial_all
from edgeloop_companion.doctor.examination import look_at_companion
from edgeloop_companion.doctor.finding import Finding
from edgeloop_companion.doctor.subject import Advertised, Subject
from edgeloop_companion.doctor.words import WORDS
from edgeloop_companion.link.pairing import Pairing
from edgeloop_companion.link.pairings import Pairings
from edgeloop_companion.main import main
from edgeloop_companion.phone.phone import this_phone
from edgeloop_companion.runtime.storage import StateFolder
from edgeloop_shared.device_states import Vitals
from edgeloop_shared.errors import SettingsError
from edgeloop_shared.marks import Mark, worst
from edgeloop_shared.networks import OwnAddress

from .companion_fixtures import companion_at, pairing_with
from .link_peer import LinkPeer

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
HOME = (OwnAddress(2, "192.168.1.7/24"), OwnAddress(2, "fe80::7/64"))
DESK = Pairing("d1", "00" * 32, "11" * 32, ("192.168.1.2",), 4711, "desk")
LAB = Pairing("d2", "00" * 32, "22" * 32, ("10.0.0.2", "10.0.1.2"), 4712, "lab")
SPOILED = SettingsError("It is spoiled.", hint="Pair again.")
NEAR = Dialled(DESK, "192.168.1.2", True, "answered", 0.2)
FAR = Dialled(LAB, "10.0.0.2", False, "answered", -0.4)


def subject(*dialled: Dialled, **other: Any) -> Subject:
    pairings = tuple(dict.fromkeys(one.pairing for one in dialled))
    return Subject(**{"addresses": HOME, "pairings": pairings, "dialled": dialled, "vitals": Vitals(), **other})


def met(outcome: Any, where: Dialled = NEAR) -> Dialled:
    return replace(where, outcome=outcome, clock_offset=None)


@pytest.mark.parametrize(
    ("check", "given", "key", "mark"),
    [
        (network.check_network, subject(), "network.joined", Mark.OK),
        (network.check_network, subject(addresses=()), "network.none", Mark.PROBLEM),
        (network.check_computers, subject(NEAR, FAR), "computers.paired", Mark.OK),
        (network.check_computers, subject(), "computers.none", Mark.WARNING),
        (network.check_computers, subject(pairings=[replace(DESK, is_on=False)]), "computers.off", Mark.WARNING),
        (network.check_computers, subject(unreadable=SPOILED), "computers.unreadable", Mark.PROBLEM),
        (network.check_mdns, subject(), "mdns.app", Mark.OK),
        (network.check_mdns, subject(advertised=Advertised("off", "", ())), "mdns.off", Mark.WARNING),
        (network.check_mdns, subject(advertised=Advertised("failed", "no", ())), "mdns.failed", Mark.WARNING),
        (network.check_mdns, subject(advertised=Advertised("on", "", ())), "mdns.announced", Mark.OK),
        (network.check_mdns, subject(advertised=Advertised("on", "", ("desk",))), "mdns.knocked", Mark.OK),
        (network.check_subnet, subject(NEAR), "subnet.same", Mark.OK),
        (network.check_subnet, subject(NEAR, FAR), "subnet.routed", Mark.WARNING),
        (network.check_subnet, subject(NEAR, addresses=()), "subnet.unknown", Mark.OK),
        (network.check_reachability, subject(), "reachability.none", Mark.OK),
        (network.check_reachability, subject(NEAR), "reachability.answers", Mark.OK),
        (network.check_reachability, subject(met("refused")), "reachability.refused", Mark.WARNING),
        (network.check_reachability, subject(met("timeout")), "reachability.timeout", Mark.PROBLEM),
        (network.check_reachability, subject(met("unreachable")), "reachability.unreachable", Mark.PROBLEM),
        (network.check_reachability, subject(met("certificate")), "reachability.certificate", Mark.PROBLEM),
        (network.check_reachability, subject(met("failed")), "reachability.failed", Mark.PROBLEM),
        (network.check_isolation, subject(NEAR), "isolation.none", Mark.OK),
        (network.check_isolation, subject(met("unreachable")), "isolation.suspected", Mark.WARNING),
        (network.check_isolation, subject(met("unreachable", FAR)), "isolation.none", Mark.OK),
        (network.check_firewall, subject(met("timeout")), "firewall.suspected", Mark.WARNING),
        (network.check_firewall, subject(met("timeout", FAR)), "firewall.none", Mark.OK),
        (network.check_clock, subject(NEAR, FAR), "clock.same", Mark.OK),
        (network.check_clock, subject(met("timeout")), "clock.unknown", Mark.OK),
        (network.check_clock, subject(replace(NEAR, clock_offset=-3600.0)), "clock.differs", Mark.WARNING),
        (check_disk, subject(vitals=Vitals(free_bytes=10**10)), "disk.free", Mark.OK),
        (check_disk, subject(vitals=Vitals(free_bytes=10**8)), "disk.low", Mark.WARNING),
        (check_disk, subject(), "disk.unknown", Mark.OK),
        (check_heat, subject(vitals=Vitals(throttling="none")), "heat.fine", Mark.OK),
        (check_heat, subject(vitals=Vitals(throttling="severe")), "heat.throttled", Mark.WARNING),
        (check_heat, subject(), "heat.unknown", Mark.OK),
        (check_versions, subject(), "versions.fit", Mark.OK),
    ],
)
def test_what_is_concluded(check: Callable[[Subject], list[Finding]], given: Subject, key: str, mark: Mark) -> None:
    (finding,) = check(given)
    assert (finding.key, finding.mark) == (key, mark)
    assert "{" not in finding.found + finding.remedy
    assert bool(finding.remedy) or mark is Mark.OK


def test_a_computer_that_answers_at_one_address_is_not_missed_at_the_other() -> None:
    second = Dialled(LAB, "10.0.1.2", True, "unreachable")
    given = subject(FAR, second)
    assert [one.key for one in network.check_reachability(given)] == ["reachability.answers"]
    assert network.check_isolation(given)[0].key == "isolation.none"


def test_each_computer_that_does_not_answer_has_a_line_with_where_it_was_dialled() -> None:
    given = subject(met("refused"), met("timeout", FAR), replace(met("unreachable", FAR), address="10.0.1.2"))
    refused, silent = network.check_reachability(given)
    assert "desk refuses at 192.168.1.2:4711" in refused.found
    assert silent.found == "lab does not answer at 10.0.0.2:4712."


def test_a_computer_that_does_not_answer_is_not_hidden_by_another_one_of_its_name() -> None:
    other = Dialled(replace(LAB, host_name="desk"), "192.168.1.3", True, "timeout")
    given = subject(NEAR, other)
    assert [one.key for one in network.check_reachability(given)] == ["reachability.timeout", "reachability.answers"]
    assert network.check_firewall(given)[0].key == "firewall.suspected"
    late = subject(NEAR, replace(other, outcome="answered", clock_offset=3600.0))
    assert network.check_clock(late)[0].key == "clock.differs"
    assert network.check_subnet(late)[0].found == "desk in the same network"


def test_a_clock_that_cannot_be_is_a_problem() -> None:
    (finding,) = network.check_clock(subject(NEAR), lambda: 0.0)
    assert (finding.key, finding.mark) == ("clock.impossible", Mark.PROBLEM)


def test_all_words_are_used_by_a_check_that_is_listed() -> None:
    assert {key.partition(".")[0] for key in WORDS} == {check.id for check in CHECKS} | {"any"}


def test_what_is_too_old_for_the_device_is_too_old_for_the_package() -> None:
    wanted = tomllib.loads(PROJECT.read_text())["project"]["dependencies"]
    for name, least in NEEDED.items():
        assert [one for one in wanted if one.split(",")[0] == f"{name}>={least}"], name


async def test_mnn_is_asked_in_a_process_of_its_own() -> None:
    (finding,) = await check_inference(subject())
    assert (finding.key, finding.mark) == ("inference.works", Mark.OK)
    (late,) = await check_inference(subject(), seconds=0.001)
    assert (late.key, late.mark) == ("inference.fails", Mark.PROBLEM)


async def test_a_check_that_fails_itself_hides_no_other() -> None:
    broken = subject(dialled=None)
    findings = [finding async for finding in examine(broken)]
    assert {one.check for one in findings} == {check.id for check in CHECKS}
    assert {one.check for one in findings if one.key == "any.failed"} >= {"reachability", "clock"}
    assert worst(one.mark for one in findings) is Mark.PROBLEM


async def test_dialling_tells_who_answers_who_refuses_and_who_is_somebody_else() -> None:
    async with LinkPeer().serving() as peer:
        right = pairing_with(peer)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # not listened at
            closed = replace(right, port=taken.getsockname()[1])
            other = replace(right, fingerprint="00" * 32)
            answered, refused, stranger = await dial_all([right, closed, other], ())
        assert peer.hellos == []  # nothing was linked
    assert (answered.outcome, answered.is_on_link) == ("answered", True)
    assert answered.clock_offset is not None
    assert abs(answered.clock_offset) < 30
    assert (refused.outcome, stranger.outcome) == ("refused", "certificate")


async def test_the_running_app_tells_whether_it_is_announced(tmp_path: Path) -> None:
    async with LinkPeer().serving() as peer:
        await asyncio.to_thread(lambda: Pairings(StateFolder(tmp_path).pairings).add(pairing_with(peer)))
        phone = await asyncio.to_thread(this_phone, tmp_path)
        async with companion_at(tmp_path, phone=phone) as companion:
            await peer.linked()
            found = await look_at_companion(companion, phone)
        assert len(peer.hellos) == 1  # the link was left alone
    assert found.advertised == Advertised("off", "", ())
    assert [one.outcome for one in found.dialled] == ["answered"]


def test_the_command_prints_a_line_for_each_finding_or_json_and_fails_on_a_problem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--doctor", "--state", str(tmp_path / "none")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "! computers     No computer is paired." in lines
    assert not (tmp_path / "none").exists()

    StateFolder(tmp_path / "state").pairings.write_text("rubbish")
    assert main(["--doctor", "--json", "--state", str(tmp_path / "state")]) == 1
    printed = json.loads(capsys.readouterr().out)
    assert printed["mark"] == "problem"
    (computers,) = [one for one in printed["items"] if one["check"] == "computers"]
    assert "pairings.json cannot be read" in computers["found"]
    assert "pair again" in computers["remedy"]
