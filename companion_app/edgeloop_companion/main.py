"""The headless companion: `python -m edgeloop_companion --state DIR --name NAME`.

It prints what happens as one JSON object per line on standard output, and serves until SIGTERM or SIGINT.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import functools
import json
import logging
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeloop_companion.companion import Companion, running
from edgeloop_companion.control import Action, Answer, Request, controlled, request_of
from edgeloop_companion.device_info import device_info
from edgeloop_companion.doctor.command import examine_device
from edgeloop_companion.events import Event, Failed
from edgeloop_companion.runtime.storage import StateFolder
from edgeloop_companion.state_lock import locked_state_folder
from edgeloop_shared import event_loop
from edgeloop_shared.addresses import parse_address
from edgeloop_shared.codec import encode
from edgeloop_shared.errors import EdgeloopError, InvalidInputError, NotPairedError, PairingError
from edgeloop_shared.models import DeviceInfo
from edgeloop_shared.pairing import parse_code, parse_offer

MAX_SECRET_BYTES = 4096


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the headless companion; return the exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(name)s %(message)s")
    try:
        if options.doctor:
            return examine_device(options.state, as_json=options.json)
        if options.request is not None:
            _show_answer(request_of(options.state, options.request))
            return 0
        with locked_state_folder(options.state) as state_folder:
            info = device_info(options.name, is_virtual=options.virtual)
            event_loop.run(_serve(options, state_folder, info))
    except EdgeloopError as error:
        show(Failed(error))
        return 1
    except OSError as error:
        show(Failed(EdgeloopError(f"The companion cannot work: {error}.", hint="Check the folder given with --state.")))
        return 1
    return 0


def show(event: Event) -> None:
    """Print `event` as one line of JSON, such as `{"event": "linked", "host": "laptop", ...}`."""
    name = re.sub(r"(?<!^)(?=[A-Z])", "-", type(event).__name__).lower()
    if isinstance(event, Failed):
        values = {"error": event.error.as_dict()}
    else:
        values = {field.name: encode(getattr(event, field.name)) for field in dataclasses.fields(event)}
    _print({"event": name, **values})


def _print(record: Mapping[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):  # whoever started the companion has stopped reading
        sys.stdout.write(json.dumps(record) + "\n")
        sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="edgeloop_companion", description="Run tasks of paired edgeloop daemons.")
    parser.add_argument("--state", type=Path, required=True, metavar="DIR", help="where pairings and blobs are kept")
    parser.add_argument("--name", default="device", help="what the daemon calls this device (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=8, help="how many tasks run at a time (default: %(default)s)")
    parser.add_argument("--virtual", action="store_true", help="say that this is no phone but a process on a computer")
    parser.add_argument(
        "--advertise",
        action=argparse.BooleanOptionalAction,
        help="announce this device by mDNS, so that its computers find it (default: unless it is virtual)",
    )
    parser.add_argument("--allow", action="store_true", help="let the daemon that is paired now run code here")
    offer = parser.add_mutually_exclusive_group()
    # Secrets come through files (- is standard input): a command line can be read by every user of the machine.
    offer.add_argument("--pair-offer-file", metavar="FILE", help="pair first, by the text of a QR code")
    offer.add_argument("--pair-address", metavar="HOST:PORT", help="pair first, by a typed code")
    parser.add_argument("--pair-code-file", metavar="FILE", help="holds the code for --pair-address")
    parser.add_argument(
        "--doctor",
        action="store_true",
        help="tell what keeps this device from its computers, and end; also while it runs",
    )
    parser.add_argument("--json", action="store_true", help="with --doctor: one JSON document")
    _add_requests(parser.add_argument_group("the computers and tasks of this device, also while its companion runs"))
    return parser


def _add_requests(group: argparse._ArgumentGroup) -> None:
    actions: dict[Action, str] = {
        "on": "stay linked to a computer again",
        "off": "have no link to a computer: its runs here are cancelled",
        "forget": "unpair from a computer: its runs here are cancelled, and it is told, now or when it is reached next",
    }
    group.add_argument(
        "--computers", dest="request", action="store_const", const=Request("list"), help="list them and end"
    )
    for action, what in actions.items():
        group.add_argument(
            f"--{action}" if action == "forget" else f"--switch-{action}",
            dest="request",
            metavar="COMPUTER",
            type=functools.partial(Request, action),
            help=f"{what}; then list them and end",
        )
    group.add_argument(
        "--tasks", dest="request", action="store_const", const=Request("tasks"), help="list what runs or waits and end"
    )
    group.add_argument(
        "--stop",
        dest="request",
        metavar="RUN",
        type=lambda run: Request("stop", run=run),
        help="stop a task by its id and wait for its end; then list the others and end",
    )


def _show_answer(answer: Answer) -> None:
    for computer in answer.computers:
        _print({"computer": encode(computer)})
    for task in answer.tasks:
        _print({"task": encode(task)})


async def _serve(options: argparse.Namespace, state_folder: StateFolder, info: DeviceInfo) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    is_advertised = not options.virtual if options.advertise is None else options.advertise
    async with (
        running(
            state_folder, info, show, max_workers=max(1, options.workers), is_advertised=is_advertised
        ) as companion,
        controlled(companion, state_folder.control),
    ):
        loop.add_signal_handler(signal.SIGCONT, companion.doubt_links)  # it was suspended, who knows for how long
        pairing = asyncio.create_task(_pair(options, companion))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({pairing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not pairing.done():
            pairing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await pairing
        if not companion.pairings and not stop.is_set():
            await companion.farewells.tried()
            raise NotPairedError(
                "This device is not paired with any computer.",
                hint="Run `edgeloop pair` on the computer, and give its offer with --pair-offer-file or its code "
                "with --pair-address and --pair-code-file.",
            )
        await stopping


async def _pair(options: argparse.Namespace, companion: Companion) -> None:
    async def ask_allow(_host_name: str) -> bool:
        return True

    if options.pair_offer_file is None and options.pair_address is None:
        return
    if not options.allow:
        raise PairingError(
            "Pairing lets a computer run code here, and nobody is there to be asked.",
            hint="Start the companion with --allow to consent.",
        )
    if options.pair_offer_file is not None:
        offer = parse_offer(await asyncio.to_thread(_read_secret, options.pair_offer_file))
        await companion.pair_by_offer(offer, ask_allow)
        return
    host, port = parse_address(options.pair_address)
    if options.pair_code_file is None:
        raise InvalidInputError("The pairing code is missing.", hint="Give a file with it by --pair-code-file.")
    code = parse_code((await asyncio.to_thread(_read_secret, options.pair_code_file)).strip())
    await companion.pair_by_code(host, port, code, ask_allow)


def _read_secret(name: str) -> str:
    try:
        if name == "-":
            return sys.stdin.read(MAX_SECRET_BYTES)
        with Path(name).open(encoding="utf-8", errors="replace") as file:
            return file.read(MAX_SECRET_BYTES)
    except OSError as error:
        raise InvalidInputError(f"The pairing file {name} cannot be read: {error.strerror}.") from None
