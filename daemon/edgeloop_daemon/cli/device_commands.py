"""`edgeloop devices`, `pair` and `device virtual | stop | search | forget`."""

from __future__ import annotations

import subprocess
import sys
import time

import click

from edgeloop_daemon.cli import completers
from edgeloop_daemon.cli.client import Client, Record
from edgeloop_daemon.cli.device_condition import condition
from edgeloop_daemon.cli.group import Group
from edgeloop_daemon.cli.named import find_device
from edgeloop_daemon.cli.output import clean, print_json, print_json_line, print_table, when
from edgeloop_daemon.cli.session import Session, json_option
from edgeloop_daemon.cli.virtual_devices import VirtualDevice, stop_virtual_devices
from edgeloop_shared.addresses import show_address
from edgeloop_shared.errors import DeviceUnavailableError, InvalidInputError, NoPairingWindowError
from edgeloop_shared.pairing import show_code

_WAIT_SECONDS = 10
_REDIAL_SECONDS = 35.0  # a device waits at most 30 s before it dials again
_POLL_SECONDS = 0.1
_HOW_TO_PAIR = "`edgeloop pair` shows a new code."
_ENDS = {
    "expired": "Nobody paired in time.",
    "guessed": "Too many wrong codes were tried.",
    "closed": "This code is no longer valid: pairing was ended, or a newer code is shown, by somebody else.",
}


@click.command()
@click.option("--nearby", is_flag=True, help="The phones that announce themselves in the network, also unknown ones.")
@json_option
@click.pass_obj
def devices(session: Session, nearby: bool) -> None:
    """List the paired devices, and tell of unknown phones nearby."""
    client = session.daemon()
    if nearby:
        _list_nearby(client, as_json=session.as_json)
        return
    found = client.items("/devices")
    if session.as_json:
        print_json(found)
        return
    if found:
        rows = [
            (
                device["id"],
                device["info"]["name"],
                "linked" if device["is_linked"] else "nearby" if device["is_nearby"] else "away",
                device["info"]["platform"],
                "now" if device["is_linked"] else when(device["last_seen"]),
                condition(device["state"]),
            )
            for device in found
        ]
        columns = ("id", "name", "state", "platform", "last seen", "condition")
        shown = len(columns) if any(row[-1] for row in rows) else -1
        print_table(columns[:shown], [row[:shown] for row in rows])
    else:
        click.echo(
            "No device is paired. `edgeloop pair` pairs a phone; `edgeloop device virtual --allow` starts one here."
        )
    strangers = [phone for phone in client.get("/devices/nearby")["items"] if phone["device"] is None]
    if strangers:
        places = ", ".join(clean(phone["addresses"][0]) for phone in strangers[:3])
        more = f" and {len(strangers) - 3} more" if len(strangers) > 3 else ""
        click.echo(f"Unknown phones nearby: {places}{more}. `edgeloop pair` pairs one.")


def _list_nearby(client: Client, *, as_json: bool) -> None:
    found = client.get("/devices/nearby")
    if as_json:
        print_json(found)
    elif found["items"]:
        rows = [
            (
                phone["name"],
                phone["device_name"] or "unknown",
                "linked" if phone["is_linked"] else f"knocked {phone['unanswered_knocks']}x" if phone["device"] else "",
                phone["addresses"][0],
                when(phone["since"]),
            )
            for phone in found["items"]
        ]
        print_table(("announced as", "device", "state", "address", "since"), rows)
    elif found["state"] == "on":
        click.echo(
            "No phone announces itself. The app must be open, in the same network; `edgeloop doctor` tells more."
        )
    else:
        _tell_search(found)


@click.command()
@click.option(
    "--timeout", type=click.IntRange(10, 600), default=120, show_default=True, help="Seconds that the code is valid."
)
@json_option
@click.pass_obj
def pair(session: Session, timeout: int) -> None:
    """Pair a phone, by QR code or by a typed code.

    With --json a line tells the code at once, and another one the device when it is paired.
    """
    client = session.daemon()
    window = client.post("/pairing", {"timeout_seconds": timeout})
    if session.as_json:
        print_json_line(window)
    else:
        import segno  # half of what every other command on devices takes to start

        segno.make(window["offer"], error="m", mode="alphanumeric").terminal(compact=True)
        click.echo("Scan this with the edgeloop app. Without a camera, type there:")
        for address in window["addresses"]:
            click.echo(f"  address  {show_address(address, window['port'])}")
        click.echo(f"  code     {click.style(show_code(window['code']), bold=True)}")
        if all(address.startswith("127.") or address == "::1" for address in window["addresses"]):
            click.echo(
                "Only this computer reaches that address. Connect it to the phone's network and pair again.", err=True
            )
    try:
        window = _wait_for_pairing(client, window, quiet=session.as_json)
    except KeyboardInterrupt:
        Client(session.folders).delete("/pairing")
        raise click.Abort from None
    device = find_device(client, window["device_id"])
    if session.as_json:
        print_json_line(device)
    else:
        click.echo(
            f"Paired: {device['info']['name']} ({device['id']}). Undo with `edgeloop device forget {device['id']}`."
        )


@click.group(cls=Group)
def device() -> None:
    """Virtual devices, looking for phones, and forgetting a device."""


@device.command()
@click.option("--count", type=click.IntRange(1, 64), default=1, show_default=True, help="How many.")
@click.option("--name", default="virtual", show_default=True, help="Their name; a number is added from the second on.")
@click.option("--allow", is_flag=True, help="Consent, as a phone's user gives it: this computer may run code in them.")
@click.option("--foreground", is_flag=True, help="Stay until Ctrl-C, then stop them.")
@json_option
@click.pass_obj
def virtual(session: Session, count: int, name: str, allow: bool, foreground: bool) -> None:
    """Start virtual devices: the phone app without its screen, paired and linked the way a phone is.

    They keep running in the background; `edgeloop device stop` or `edgeloop down` ends them.
    """
    if not allow:
        raise InvalidInputError(
            "A virtual device runs the code that this computer's daemon sends to it, so it needs your consent.",
            hint="Say so with `edgeloop device virtual --allow`.",
        )
    client = session.daemon()
    started = [
        start_virtual_device(client, VirtualDevice(session.folders, name if number == 1 else f"{name}-{number}"))
        for number in range(1, count + 1)
    ]
    found = [record for record, _ in started]
    if session.as_json:
        print_json(found)
    else:
        for record in found:
            click.echo(f"{record['info']['name']} is linked ({record['id']}).")
    if foreground:
        sys.stdout.flush()
        try:
            for _, process in started:
                if process is not None:
                    process.wait()
        except KeyboardInterrupt:
            stop_virtual_devices(session.folders)


@device.command()
@click.argument("name", required=False, shell_complete=completers.virtual_devices)
@json_option
@click.pass_obj
def stop(session: Session, name: str | None) -> None:
    """Stop the virtual device NAME, or all of them."""
    if name is None:
        stopped = stop_virtual_devices(session.folders)
    else:
        stopped = [name] if VirtualDevice(session.folders, name).stop() else []
    if session.as_json:
        print_json(stopped)
    else:
        click.echo(f"Stopped {', '.join(stopped)}." if stopped else "No virtual device was running.")


@device.command()
@click.argument("switch", metavar="[on|off]", required=False, type=click.Choice(["on", "off"]))
@json_option
@click.pass_obj
def search(session: Session, switch: str | None) -> None:
    """Look for phones in the network by mDNS, or do not; without an argument tell which.

    Phones that are not found dial the addresses of this computer that they know.
    """
    client = session.daemon()
    found = (
        client.get("/devices/nearby")
        if switch is None
        else client.call("PUT", "/devices/discovery", {"is_on": switch == "on"})
    )
    if session.as_json:
        print_json(found)
    else:
        _tell_search(found)


def _tell_search(found: Record) -> None:
    reason = f": {found['reason']}" if found["reason"] else ""
    words = {
        "on": f"Phones are looked for, from {', '.join(found['addresses'])}.",
        "starting": "Phones are looked for in a moment.",
        "off": f"Phones are not looked for{reason}.",
        "failed": f"Phones cannot be looked for{reason}.",
    }
    click.echo(words[found["state"]])


@device.command()
@click.argument("name", metavar="ID_OR_NAME", shell_complete=completers.devices)
@json_option
@click.pass_obj
def forget(session: Session, name: str) -> None:
    """Unpair a device: its link is cut and its key is worthless from then on."""
    client = session.daemon()
    record = find_device(client, name)
    client.delete(f"/devices/{record['id']}")
    if record["info"]["is_virtual"]:
        local = VirtualDevice(session.folders, record["info"]["name"])
        local.stop()
        local.forget()
    if session.as_json:
        print_json(record)
    else:
        click.echo(f"{record['info']['name']} is forgotten.")


def start_virtual_device(client: Client, local: VirtualDevice) -> tuple[Record, subprocess.Popen[bytes] | None]:
    """Start (and the first time pair) one virtual device and return it once it is linked, with its new process."""
    process = None
    if not local.is_running:
        window = None if _is_known(client, local) else client.post("/pairing", {})
        process = local.start(window["offer"] if window else None)
        if window is not None:
            local.wait_for("paired", process)
        local.wait_for("linked", process)
    return _linked_device(client, local.name), process


def _is_known(client: Client, local: VirtualDevice) -> bool:
    """Return whether the device and the daemon still know each other; otherwise both start afresh."""
    names = [item["info"]["name"] for item in client.items("/devices") if item["info"]["is_virtual"]]
    if local.is_paired and local.name in names:
        return True
    local.forget()
    return False


def _linked_device(client: Client, name: str) -> Record:
    """Return a virtual device once it is linked: one that has outlived its daemon dials the next one within half a minute."""
    deadline = time.monotonic() + _REDIAL_SECONDS
    while True:
        for item in client.items("/devices"):
            if item["info"]["name"] == name and item["is_linked"]:
                return item
        if time.monotonic() > deadline:
            raise DeviceUnavailableError(
                f"The virtual device {name} runs, but has not linked to this daemon for {_REDIAL_SECONDS:.0f} s.",
                hint=f"`edgeloop device stop {name}` ends it; then start it anew.",
            )
        time.sleep(_POLL_SECONDS)


def _wait_for_pairing(client: Client, window: Record, *, quiet: bool) -> Record:
    shown_tries, code = 0, window["code"]
    while window["state"] == "open":
        window = client.get("/pairing", wait=_WAIT_SECONDS)
        if window["code"] != code:
            raise NoPairingWindowError(_ENDS["closed"], hint=_HOW_TO_PAIR)
        if window["wrong_tries"] > shown_tries and not quiet:
            shown_tries = window["wrong_tries"]
            click.echo(f"A wrong code was tried ({shown_tries} so far).", err=True)
    if window["state"] != "paired":
        raise NoPairingWindowError(_ENDS[window["state"]], hint=_HOW_TO_PAIR)
    return window
