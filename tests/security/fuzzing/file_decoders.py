"""Decoders of files: those of a workspace, of a repository, and of a daemon's and a device's own state."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image
from security.fuzzing.decoder import Decoder, golden, of_file

from edgeloop_companion.control import MAX_REQUEST_BYTES, Request
from edgeloop_companion.link.pairings import Pairings
from edgeloop_companion.link.spool import RunSpool, SpoolDamagedError, SpooledRecord, SpoolState
from edgeloop_companion.runtime.bundles import read_manifest
from edgeloop_companion.runtime.commands import CommandLog
from edgeloop_companion.runtime.journal import Cursor, JournalReader, Kind, pack_entry
from edgeloop_companion.runtime.run_folder import RunFolder
from edgeloop_companion.scanning.folder_frames import read_frame
from edgeloop_companion.store.revoked_computers import read_revoked
from edgeloop_companion.store.task_history import read_tasks
from edgeloop_daemon.jobs.log_page import read_log_page
from edgeloop_daemon.workspaces.settings import load_settings
from edgeloop_plugins.git_flow.examination import examine
from edgeloop_shared.codec import decode_json, encode_json
from edgeloop_shared.errors import InvalidInputError, MessageError, SettingsError
from edgeloop_shared.records import Priority


def files(folder: Path) -> Iterator[Decoder]:
    """Return the decoders of files, which they read in `folder`."""

    def at(name: str, read: Callable[[Path], Any]) -> Callable[[bytes], Any]:
        return of_file(folder / name, read)

    settings = (
        b'name = "Digits"\n[train]\ncommand = "python train.py --name \'two words\'"\n'
        b'[train.data]\ndigits = "data/digits"\n[run]\ninclude = ["*.mnn"]\ndevice = "Pixel"\n'
    )
    yield Decoder(
        "edgeloop.toml",
        (settings, b'name = "a"\n'),
        at("workspace/edgeloop.toml", lambda path: load_settings(path.parent)),
        (SettingsError,),
    )
    pairing = {
        "device_id": "d1",
        "device_key": "0a" * 32,
        "fingerprint": "0b" * 32,
        "addresses": ["10.0.0.2"],
        "port": 443,
        "host_name": "desk",
    }
    stored = json.dumps({"version": 1, "pairings": [pairing]}).encode()
    yield Decoder(
        "pairings of a device",
        (stored,),
        at("pairings.json", lambda path: list(Pairings(path))),
        (SettingsError,),
        None,
        True,
    )
    yield Decoder("picture before a camera", _pictures(), at("frame.png", read_frame), ())
    yield Decoder(
        "request to a companion",
        (b'{"action":"forget","computer":"desk"}', b'{"action":"list"}', b'{"action":"stop","run":"r1"}'),
        lambda data: decode_json(Request, data, max_bytes=MAX_REQUEST_BYTES),
        (MessageError,),
        encode_json,
        True,
    )
    spool = RunSpool(folder / "seed")
    (folder / "seed").mkdir()
    records = [SpooledRecord(Priority.LOGS, number, 0, 5, payload=b"lines") for number in (1, 2)]
    spool.write(SpoolState(last={**SpoolState().last, Priority.LOGS: 2}), SpoolState(files={"ab": 3}), records)
    yield Decoder(
        "spool of a run",
        ((folder / "seed" / "spool.1").read_bytes(),),
        at("spooled/spool.1", lambda path: RunSpool(path.parent).load()),
        (SpoolDamagedError,),
    )
    yield Decoder(
        "journal of a worker",
        (pack_entry(Kind.STDOUT, 5, b"a\nb") + pack_entry(Kind.REPORT, 6, b"\1{}"),),
        at("journal/journal.1", lambda path: JournalReader(path.parent, Cursor()).read()),
        (),
    )
    yield Decoder(
        "results of commands",
        (b'\n{"command_id":"c1","error":null}\n{"command_id":"c2","error":{"code":"conflict","message":"No."}}',),
        at("commands.jsonl", lambda path: CommandLog(path).load()),
        (),
    )
    yield Decoder(
        "end of a worker",
        (b'{"code": -11, "last_lines": ["a"], "reason": null, "lost_bytes": 0, "peak_bytes": 5}   ',),
        at("worker/end", lambda path: RunFolder(path.parent).end()),
        (),
    )
    task = {
        "device_id": "d1",
        "run_id": "r1",
        "computer": "desk",
        "workspace": "digits",
        "script": "task.py",
        "arguments": "",
        "phase": "failed",
        "taken_at": 5.0,
        "error": {"message": "No.", "hint": "", "trace": ""},
        "metrics": [{"name": "loss", "value": 0.5, "step": 3, "points": [1.0, 0.5]}],
        "transfer": [5, 20],
    }
    yield Decoder(
        "tasks that a device remembers",
        (encode_json({"version": 1, "tasks": [task]}),),
        read_tasks,
        (MessageError,),
        None,
        True,
    )
    revoked = {"device_id": "d1", "name": "desk", "fingerprint": "0a" * 32, "address": "10.0.0.2:443", "last_seen": 5.0}
    yield Decoder(
        "computers that have unpaired a device",
        (encode_json({"version": 1, "computers": [revoked]}),),
        read_revoked,
        (MessageError,),
        None,
        True,
    )
    yield Decoder(
        "manifest of a bundle",
        golden("manifests.json"),
        lambda data: read_manifest(data, "task.py"),
        (InvalidInputError,),
        None,
        True,
    )
    yield Decoder(
        "log of a job",
        ("Grüße\nzwei\n".encode(), b"\xf0\x9f\x98\x80" * 30),
        at("log", lambda path: read_log_page(path, 3, 64, is_ended=True)),
        (),
    )
    git = folder / "repository"
    subprocess.run(["git", "init", "-q", str(git)], check=True, capture_output=True)
    configuration = (
        (git / ".git" / "config").read_bytes(),
        b'[core]\n\tsshCommand = "x; y"\n[include]\n\tpath = other\n[includeIf "gitdir:/"]\n\tpath = ../../x\n'
        b'[filter "a"]\n\tclean = z\n',
    )

    def examined(path: Path) -> Any:
        sentences = examine(path.parents[1])
        assert all(sentence.isprintable() for sentence in sentences), sentences
        return sentences

    yield Decoder(
        "configuration of a repository",
        configuration,
        at("repository/.git/config", examined),
        (),
        starts_processes=True,
    )


def _pictures() -> tuple[bytes, ...]:
    """Return small pictures as files: PNG in grey, in colours and with a palette, and JPEG."""
    written = []
    for mode, form in (("L", "PNG"), ("RGB", "PNG"), ("P", "PNG"), ("L", "JPEG")):
        file = io.BytesIO()
        Image.linear_gradient("L").resize((24, 16)).convert(mode).save(file, format=form)
        written.append(file.getvalue())
    return tuple(written)
