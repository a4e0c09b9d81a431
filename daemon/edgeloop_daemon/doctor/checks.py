"""All checks, and going through them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgeloop_daemon.doctor.clock import check_clock
from edgeloop_daemon.doctor.daemon_process import check_daemon, check_local_api
from edgeloop_daemon.doctor.database import check_database
from edgeloop_daemon.doctor.debugger import check_debugger
from edgeloop_daemon.doctor.device_port import check_device_port
from edgeloop_daemon.doctor.disk import check_disk
from edgeloop_daemon.doctor.distributions import check_versions, needed
from edgeloop_daemon.doctor.finding import Finding, NotCheckedError, Subject
from edgeloop_daemon.doctor.git import check_git
from edgeloop_daemon.doctor.inference import check_inference
from edgeloop_daemon.doctor.interpreter import Interpreter, check_python
from edgeloop_daemon.doctor.leftovers import check_leftovers
from edgeloop_daemon.doctor.network import (
    check_firewall,
    check_isolation,
    check_mdns,
    check_phone_clocks,
    check_reachability,
    check_subnet,
)
from edgeloop_daemon.doctor.paired_devices import check_devices
from edgeloop_daemon.doctor.plugins import check_plugins
from edgeloop_daemon.doctor.running_jobs import check_jobs
from edgeloop_daemon.doctor.shell_completion import check_completion
from edgeloop_daemon.doctor.state_folder import check_state_files, check_state_folder
from edgeloop_shared.marks import Mark, worst


@dataclass(frozen=True)
class Check:
    """One check. `id` is stable; `asks` is the question that it answers."""

    id: str
    asks: str
    look: Callable[[Subject], Finding]


@dataclass(frozen=True)
class CheckResult:
    """What the check called `check` found. `remedy` is what to do about it, and may be empty."""

    check: str
    mark: Mark
    found: str
    remedy: str


@dataclass(frozen=True)
class Examination:
    """All results, in the order of the checks; `mark` is the worst of theirs."""

    mark: Mark
    items: tuple[CheckResult, ...]


CHECKS: tuple[Check, ...] = (
    Check(
        "python",
        "Is Python new enough, still there, and in a virtual environment?",
        lambda _: check_python(Interpreter()),
    ),
    Check(
        "versions",
        "Does what is installed fit together, without combinations that are known to fail?",
        lambda _: check_versions(needed()),
    ),
    Check("inference", "Does MNN run a tiny model, and get its numbers right?", lambda _: check_inference()),
    Check("git", "Is Git there, working and new enough?", lambda _: check_git()),
    Check(
        "state-folder",
        "Is the state folder this user's alone, writable, and on a local disk?",
        lambda subject: check_state_folder(subject.folders),
    ),
    Check(
        "state-files",
        "Can the files in the state folder be read, and do certificate and key belong together?",
        lambda subject: check_state_files(subject.folders),
    ),
    Check(
        "database",
        "Does SQLite find the database whole (`pragma quick_check`, read-only)?",
        lambda subject: check_database(subject.folders.database),
    ),
    Check("disk", "Is there room, and who takes it?", lambda subject: check_disk(subject.folders)),
    Check(
        "clock",
        "Does the clock stand after everything that has happened?",
        lambda subject: check_clock(subject.folders.database),
    ),
    Check("daemon", "Does the daemon run and answer, in the version of the command line?", check_daemon),
    Check("local-api", "Does the local API answer, and only to who has a token?", check_local_api),
    Check(
        "device-port",
        "Can phones reach the device port; is the remembered one free for the next daemon?",
        check_device_port,
    ),
    Check("devices", "Which devices are paired and here; do their versions differ?", check_devices),
    Check("mdns", "Are phones looked for by mDNS, and does what they announce come through?", check_mdns),
    Check("subnet", "Are linked phones in a network of this computer, or behind a router?", check_subnet),
    Check("isolation", "Is a paired phone seen that does not come when it is knocked at?", check_isolation),
    Check("reachability", "What did phones meet that dialled the device port in vain?", check_reachability),
    Check("firewall", "Is a firewall suspected, because a phone got no answer here?", check_firewall),
    Check("phone-clocks", "How far are the phones' clocks from this computer's?", check_phone_clocks),
    Check("jobs", "Is a job entered as running that has no process, or is silent for a day?", check_jobs),
    Check("plugins", "Which plugins failed to load, and why?", check_plugins),
    Check("leftovers", "What have daemons that were killed left behind?", check_leftovers),
    Check("completion", "Is TAB completion installed for the user's shell?", lambda _: check_completion()),
    Check(
        "debugger",
        "Can debugpy be used, and what does it cost in this Python?",
        lambda _: check_debugger(Interpreter()),
    ),
)


def examine(subject: Subject, report: Callable[[CheckResult], None] = lambda _: None) -> Examination:
    """Make all checks, one after the other, and `report` each result as soon as it is there.

    A check that fails itself is a problem like any other. Takes some seconds, and blocks.
    """
    results = []
    for check in CHECKS:
        finding = _look(check, subject)
        result = CheckResult(check.id, finding.mark, finding.found, finding.remedy)
        report(result)
        results.append(result)
    return Examination(worst(result.mark for result in results), tuple(results))


def _look(check: Check, subject: Subject) -> Finding:
    try:
        return check.look(subject)
    except NotCheckedError as reason:
        return Finding(Mark.WARNING, f"Not checked: {reason}.", "See the other checks.")
    except PermissionError as error:
        return Finding(
            Mark.PROBLEM,
            f"Not checked: {error.filename or 'something'} may not be read.",
            "Give it back to this user (chown), or use edgeloop as the user that it belongs to.",
        )
    except Exception as error:  # whatever is broken here must not hide what the other checks find
        return Finding(
            Mark.PROBLEM, f"Not checked: {type(error).__name__}: {error}.", "See what the other checks find."
        )
