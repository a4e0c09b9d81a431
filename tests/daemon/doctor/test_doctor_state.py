"""The doctor on the state folder, the daemon and its ports: each check on what is well and on what is really broken."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgeloop_daemon.devices.certificate import load_or_create_certificate
from edgeloop_daemon.doctor.checks import CHECKS, examine
from edgeloop_daemon.doctor.clock import check_clock
from edgeloop_daemon.doctor.daemon_process import check_daemon, check_local_api
from edgeloop_daemon.doctor.database import check_database
from edgeloop_daemon.doctor.device_port import check_device_port
from edgeloop_daemon.doctor.disk import check_disk
from edgeloop_daemon.doctor.finding import Finding, NotCheckedError, RunningDaemon, Subject
from edgeloop_daemon.doctor.leftovers import check_leftovers
from edgeloop_daemon.doctor.paired_devices import check_devices
from edgeloop_daemon.doctor.running_jobs import check_jobs
from edgeloop_daemon.doctor.state_folder import check_state_files, check_state_folder
from edgeloop_daemon.jobs.job_folder import JobFolder, JobSpec
from edgeloop_daemon.store.database import open_database
from edgeloop_daemon.store.folders import Folders
from edgeloop_shared import __version__, process_lock
from edgeloop_shared.marks import Mark

HOUR = 3600.0


def assert_problem(finding: Finding, found: str, remedy: str) -> None:
    assert finding.mark is Mark.PROBLEM
    assert found in finding.found
    assert remedy in finding.remedy


def assert_warning(finding: Finding, found: str, remedy: str) -> None:
    assert finding.mark is Mark.WARNING
    assert found in finding.found
    assert remedy in finding.remedy


@pytest.fixture
async def folders(tmp_path: Path) -> Folders:
    """A state folder with a database, as a daemon that has stopped leaves it."""
    made = Folders(tmp_path / "state")
    made.create()
    async with open_database(made.database):
        pass
    return made


def execute(folders: Folders, statement: str, *values: Any) -> None:
    with contextlib.closing(sqlite3.connect(folders.database)) as connection, connection:
        connection.execute(statement, values)


def pair(folders: Folders, device: str, *, version: str = __version__, last_seen: float | None = None) -> None:
    info = f'{{"name": "{device}-phone", "app_version": "{version}"}}'
    execute(
        folders,
        "insert into devices (id, device_key, info_json, paired_at, last_seen) values (?, x'00', ?, 1, ?)",
        *(device, info, last_seen),
    )


def enter_job(folders: Folders, job: str) -> JobFolder:
    execute(folders, "insert or ignore into workspaces (id, path, name, opened_at) values ('w', '/w', 'w', 1)")
    execute(
        folders,
        "insert into jobs (id, workspace, kind, name, state, parameters_json, created_at)"
        " values (?, 'w', 'tool', 'inspect', 'running', '{}', 1)",
        job,
    )
    folder = JobFolder(folders.jobs / job)
    folder.create(JobSpec(job, "inspect", "m:f", "m:P", {}, "m:R", "/w"))
    return folder


def daemon(
    *, version: str = __version__, api_port: int = 1, device_port: int | None = None, **more: Any
) -> RunningDaemon:
    return RunningDaemon(
        version=version,
        pid=1,
        api_port=api_port,
        device_port=device_port,
        device_addresses=more.get("addresses", ()),
        failed_plugins=(),
        linked=more.get("linked", frozenset()),
    )


@contextlib.contextmanager
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_folder_of_our_own_is_well(folders: Folders) -> None:
    assert check_state_folder(folders).mark is Mark.OK


def test_no_folder_is_no_problem(tmp_path: Path) -> None:
    assert check_state_folder(Folders(tmp_path / "none")).mark is Mark.OK


def test_a_folder_that_others_may_read_is_a_problem(folders: Folders) -> None:
    folders.root.chmod(0o755)
    assert_problem(check_state_folder(folders), "Other users may look", f"chmod 700 {folders.root}")


def test_a_file_in_its_place_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    assert_problem(check_state_folder(Folders(tmp_path / "state")), "not a folder", "EDGELOOP_HOME")


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, which may give files away")
def test_a_folder_of_somebody_else_is_a_problem(folders: Folders) -> None:
    os.chown(folders.root, 12345, 12345)
    assert_problem(check_state_folder(folders), "belongs to another user (id 12345)", "chown -R")


def test_a_network_file_system_is_a_warning(folders: Folders, tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        f"/dev/sda / ext4 rw 0 0\nserver:/home {tmp_path} nfs4 rw 0 0\n/dev/sdb {folders.root}er ext4 rw 0 0\n"
    )
    assert_warning(check_state_folder(folders, mounts), "network file system (nfs4)", "local disk")
    mounts.write_text(f"server:/ / nfs4 rw 0 0\n/dev/sda {tmp_path} ext4 rw 0 0\n")
    assert check_state_folder(folders, mounts).mark is Mark.OK


def test_whole_files_are_well(folders: Folders) -> None:
    load_or_create_certificate(folders.certificate, folders.certificate_key)
    enter_job(folders, "jwhole")
    assert check_state_files(folders).mark is Mark.OK


def test_a_half_written_file_is_a_problem(folders: Folders) -> None:
    folder = enter_job(folders, "jhalf").root
    (folder / "spec.json").write_text('{"job": "jha')
    assert_problem(check_state_files(folders), "Damaged: jobs/jhalf/spec.json", "remove them")


def test_a_key_of_another_certificate_is_a_problem(folders: Folders, tmp_path: Path) -> None:
    load_or_create_certificate(folders.certificate, folders.certificate_key)
    load_or_create_certificate(tmp_path / "other.crt", tmp_path / "other.key")
    folders.certificate_key.unlink()
    (tmp_path / "other.key").rename(folders.certificate_key)
    assert_problem(check_state_files(folders), "certificate and key cannot be used", "pair every device again")


def test_a_key_that_others_may_read_is_a_problem(folders: Folders) -> None:
    load_or_create_certificate(folders.certificate, folders.certificate_key)
    folders.certificate_key.chmod(0o644)
    assert_problem(check_state_files(folders), "Other users may read device-port.key", "chmod 600")


def test_a_whole_database_is_well_and_untouched(folders: Folders) -> None:
    before = folders.database.read_bytes()
    assert check_database(folders.database).mark is Mark.OK
    assert folders.database.read_bytes() == before


def test_a_damaged_database_is_a_problem(folders: Folders) -> None:
    size = folders.database.stat().st_size
    with folders.database.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(size - 4096))
    assert_problem(check_database(folders.database), "database", ".recover")


def test_a_file_that_is_no_database_is_a_problem(folders: Folders) -> None:
    folders.database.write_bytes(b"this is a text\n" * 100)
    assert_problem(check_database(folders.database), "cannot be read: file is not a database", "keep a copy")


def test_a_database_of_a_newer_edgeloop_is_a_problem(folders: Folders) -> None:
    execute(folders, "insert into _sqlite_migrations values (999, 'edgeloop', 'm999_future', 'later')")
    assert_problem(check_database(folders.database), "newer edgeloop: it has the step m999_future", "Update edgeloop")


def test_a_database_that_somebody_keeps_locked_is_a_warning(folders: Folders) -> None:
    with contextlib.closing(sqlite3.connect(folders.database, isolation_level=None)) as connection:
        connection.execute("pragma locking_mode = exclusive")
        connection.execute("begin exclusive")
        connection.execute("create table t (x)")
        assert_warning(check_database(folders.database), "locked", "fuser")


def test_room_on_the_disk_is_told_with_what_takes_it(folders: Folders) -> None:
    (folders.blobs / "ab").mkdir()
    (folders.blobs / "ab" / "cd").write_bytes(b"x" * 5000)
    finding = check_disk(folders, enough=1, too_little=0)
    assert finding.mark is Mark.OK
    assert "blobs 5 kB" in finding.found


def test_little_room_is_a_warning_and_none_a_problem(folders: Folders) -> None:
    free = 2**62
    assert_warning(check_disk(folders, enough=free, too_little=0), "nearly full", "Make room")
    assert_problem(check_disk(folders, enough=free, too_little=free), "The disk is full", "Make room")


def test_a_clock_before_what_is_stored_is_a_problem(folders: Folders) -> None:
    pair(folders, "d", last_seen=time.time() + 3 * HOUR)
    assert_problem(check_clock(folders.database), "something stored is 3 hours younger", "timedatectl")


def test_a_clock_that_has_lost_its_battery_is_a_problem(folders: Folders) -> None:
    assert_problem(check_clock(folders.database, now=lambda: 3 * HOUR), "1970", "timedatectl")


def test_the_clock_is_right(folders: Folders) -> None:
    pair(folders, "d", last_seen=time.time())
    assert check_clock(folders.database).mark is Mark.OK


def test_no_daemon_is_no_problem_but_a_silent_one_is(folders: Folders) -> None:
    assert check_daemon(Subject(folders)).mark is Mark.OK
    with process_lock.held(folders.lock):
        assert_problem(check_daemon(Subject(folders)), "does not answer", str(folders.daemon_log))
    assert_problem(check_daemon(Subject(folders, silence="timed out")), "does not answer: timed out", "kill")


def test_a_daemon_of_another_version_is_a_problem(folders: Folders) -> None:
    assert check_daemon(Subject(folders, daemon())).mark is Mark.OK
    assert_problem(check_daemon(Subject(folders, daemon(version="9.9"))), "edgeloop 9.9", "edgeloop down")


def test_a_local_api_that_does_not_answer_is_a_problem(folders: Folders) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert_problem(check_local_api(Subject(folders, daemon(api_port=port))), f"127.0.0.1:{port}", "firewall")


def test_the_device_port_answers_where_phones_dial(folders: Folders) -> None:
    pair(folders, "d")
    with listening() as port:
        well = check_device_port(Subject(folders, daemon(device_port=port, addresses=("127.0.0.1",))))
        assert_warning(well, "open on this computer alone", "network")
        deaf = check_device_port(Subject(folders, daemon(device_port=port, addresses=("127.0.0.1", "127.0.0.9"))))
        assert_problem(deaf, f"Port {port} does not answer at 127.0.0.9", "firewall")


def test_a_closed_device_port_is_a_problem_only_if_somebody_may_dial(folders: Folders) -> None:
    assert check_device_port(Subject(folders, daemon())).mark is Mark.OK
    pair(folders, "d")
    assert_problem(check_device_port(Subject(folders, daemon())), "1 device may dial", "edgeloop up")


def test_a_remembered_port_that_another_program_took_is_a_problem(folders: Folders) -> None:
    pair(folders, "d")
    with listening() as port:
        execute(folders, "insert into settings values ('device_port', ?)", str(port))
        assert_problem(check_device_port(Subject(folders)), f"uses port {port}", "ss -ltnp")
    finding = check_device_port(Subject(folders))
    assert (finding.mark, finding.found) == (Mark.OK, f"{port} is free for the next daemon")


def test_devices_are_told_with_when_they_were_here(folders: Folders) -> None:
    assert "none is paired" in check_devices(Subject(folders)).found
    pair(folders, "d1", last_seen=time.time() - 5 * HOUR)
    pair(folders, "d2")
    assert (
        check_devices(Subject(folders)).found
        == "2 devices paired: d1-phone was here 5 h ago, d2-phone was never linked"
    )
    linked = check_devices(Subject(folders, daemon(linked=frozenset({"d2"}))))
    assert linked.mark is Mark.OK
    assert "d2-phone is linked" in linked.found


def test_a_device_with_another_edgeloop_is_a_warning(folders: Folders) -> None:
    pair(folders, "d", version="0.0.7")
    assert_warning(check_devices(Subject(folders)), "d-phone (0.0.7)", "Update")


def test_a_job_without_a_process_is_a_warning(folders: Folders) -> None:
    assert check_jobs(Subject(folders)).found == "none is at work"
    lost = enter_job(folders, "jlost")
    assert_warning(check_jobs(Subject(folders)), "1 job without a process: jlost", "edgeloop up")
    lost.write_status("failed", 2.0)
    assert check_jobs(Subject(folders)).mark is Mark.OK


def test_a_job_that_works_is_well_and_one_that_is_silent_a_warning(folders: Folders) -> None:
    folder = enter_job(folders, "jbusy")
    with process_lock.held(folder.lock):
        assert "1 job at work without a daemon" in check_jobs(Subject(folders)).found
        os.utime(folder.log, (1, 1))
        assert_warning(check_jobs(Subject(folders)), "jbusy", "edgeloop cancel")


def test_writes_that_never_ended_are_a_warning(folders: Folders) -> None:
    assert check_leftovers(Subject(folders)).mark is Mark.OK
    half = folders.root / ".runtime.json.0badcafe"
    half.write_text("{")
    assert check_leftovers(Subject(folders)).mark is Mark.OK, "this one may be being written"
    os.utime(half, (1, 1))
    assert_warning(check_leftovers(Subject(folders)), ".runtime.json.0badcafe", "remove")


def test_a_virtual_device_without_a_daemon_is_a_warning(folders: Folders) -> None:
    (folders.virtual_devices / "lonely").mkdir()
    with process_lock.held(folders.virtual_devices / "lonely" / "lock"):
        assert_warning(check_leftovers(Subject(folders)), "lonely", "edgeloop down")


def test_ids_are_distinct_and_every_check_of_a_new_installation_is_well(tmp_path: Path) -> None:
    seen: list[str] = []
    found = examine(Subject(Folders(tmp_path / "none")), lambda result: seen.append(result.check))
    assert seen == [check.id for check in CHECKS] == [item.check for item in found.items]
    assert len(set(seen)) == len(seen)
    assert [item for item in found.items if item.mark is Mark.PROBLEM] == []
    assert not (tmp_path / "none").exists(), "looking must not make anything"


def test_one_broken_thing_does_not_hide_the_others(folders: Folders) -> None:
    folders.database.write_bytes(b"this is a text\n" * 100)
    found = examine(Subject(folders))
    marks = {item.check: item.mark for item in found.items}
    assert found.mark is marks["database"] is Mark.PROBLEM
    assert marks["jobs"] is Mark.WARNING, "it cannot know"
    assert marks["git"] is Mark.OK
    with pytest.raises(NotCheckedError, match="file is not a database"):
        check_jobs(Subject(folders))


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, which may give its rights up")
def test_a_folder_that_may_not_be_read_breaks_no_check(folders: Folders, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    script = (
        "import os, sys; from pathlib import Path; from edgeloop_daemon.doctor.checks import CHECKS, _look\n"
        "from edgeloop_daemon.doctor.finding import Subject; from edgeloop_daemon.store.folders import Folders\n"
        "os.setgid(65534); os.setuid(65534)\n"
        f"subject = Subject(Folders(Path({str(folders.root)!r})))\n"
        "print(*[f'{c.id} {_look(c, subject).mark}' for c in CHECKS if c.id in sys.argv[1:]], sep=chr(10))"
    )
    names = ["state-folder", "state-files", "database", "disk", "devices", "jobs", "leftovers"]
    done = subprocess.run([sys.executable, "-c", script, *names], capture_output=True, text=True, timeout=60)
    marks = dict(line.split() for line in done.stdout.splitlines())
    assert marks.keys() == set(names), done.stderr
    assert marks["state-folder"] == "problem"
