"""`edgeloop up`, `down` and `status`."""

from __future__ import annotations

import os
import sys
import textwrap

import click

from edgeloop_daemon.cli.client import Client
from edgeloop_daemon.cli.daemon_process import (
    daemon_command,
    daemon_service,
    start_daemon,
    wait_until_running,
    wait_until_stopped,
)
from edgeloop_daemon.cli.output import print_json, when
from edgeloop_daemon.cli.session import Session, json_option
from edgeloop_daemon.cli.virtual_devices import known_virtual_devices, stop_virtual_devices


@click.command()
@click.option("--foreground", is_flag=True, help="Stay in the terminal; Ctrl-C stops the daemon.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the local API (default: any free one).")
@click.option("--device-port", type=click.IntRange(0, 65535), help="Port that phones dial (default: a remembered one).")
@click.option("--device-host", help="Address that the device port binds (default: all interfaces).")
@json_option
@click.pass_obj
def up(session: Session, foreground: bool, port: int | None, device_port: int | None, device_host: str | None) -> None:
    """Start the daemon in the background."""
    options = [
        part
        for name, value in (("--port", port), ("--device-port", device_port), ("--device-host", device_host))
        if value is not None
        for part in (name, str(value))
    ]
    if foreground:
        session.folders.create()
        command = daemon_command(session.folders, options)
        sys.stdout.flush()
        os.execv(command[0], command)  # noqa: S606 - the daemon takes this process over: no shell is wanted
    is_new = start_daemon(session.client, options)
    status = session.client.get("/status")
    if session.as_json:
        print_json(status)
    else:
        click.echo(f"The daemon {'runs' if is_new else 'was running already'}: http://127.0.0.1:{status['api_port']}")


@click.command()
@click.option("--stop-jobs", is_flag=True, help="Cancel running jobs and runs as well; without it they go on.")
@json_option
@click.pass_obj
def down(session: Session, stop_jobs: bool) -> None:
    """Stop the daemon and its virtual devices.

    Jobs go on, and so do virtual devices with a run: the next daemon takes them up.
    """
    service = daemon_service(session.folders)
    is_service = service.is_installed()
    was_running = session.client.is_running()
    if not was_running and is_service and service.is_active():  # it has only just been started
        wait_until_running(session.client)
        was_running = True
    working = _working_devices(session.client) if was_running and not stop_jobs else frozenset()
    if was_running:  # first: what is cancelled on a device is cancelled through its link
        session.client.post("/shutdown", {"stop_jobs": stop_jobs})
        wait_until_stopped(session.folders)
    stopped = stop_virtual_devices(session.folders, keep=working)
    going_on = [one.name for one in known_virtual_devices(session.folders) if one.name in working and one.is_running]
    if session.as_json:
        print_json(
            {"was_running": was_running, "virtual_devices": stopped, "going_on": going_on, "is_service": is_service}
        )
        return
    click.echo("The daemon has stopped." if was_running else "The daemon was not running.")
    for name in going_on:
        click.echo(f"{name} goes on with its run: `edgeloop device stop {name}` ends both.")
    if is_service:
        click.echo("It starts again at your next login: `edgeloop service uninstall` ends that.")


def _working_devices(client: Client) -> frozenset[str]:
    """Return the names of the devices that have runs to do."""
    working = {run["device"] for run in client.items("/runs", limit=1000) if run["ended_at"] is None}
    return frozenset(device["info"]["name"] for device in client.items("/devices") if device["id"] in working)


@click.command()
@json_option
@click.pass_obj
def status(session: Session) -> None:
    """Show whether the daemon runs, and where."""
    it = daemon_service(session.folders)
    is_service = it.is_installed()
    if not session.client.is_running():
        if session.as_json:
            print_json({"is_running": False, "is_service": is_service})
        else:
            click.echo("The daemon is not running (`edgeloop up` starts it).")
        return
    client = session.client
    state = client.get("/status")
    devices, jobs = client.items("/devices"), client.items("/jobs", state="running")
    if session.as_json:
        print_json({"is_running": True, "is_service": is_service, **state, "devices": devices, "running_jobs": jobs})
        return
    linked = sum(device["is_linked"] for device in devices)
    device_port = f"open on port {state['device_port']}" if state["device_port"] else "closed (no device is paired)"
    click.echo(f"edgeloop {state['version']}, process {state['pid']}, since {when(state['started_at'])}")
    click.echo(f"  local API    http://127.0.0.1:{state['api_port']}")
    click.echo(f"  device port  {device_port}")
    click.echo(f"  devices      {linked} linked of {len(devices)} paired")
    click.echo(f"  jobs         {len(jobs)} running")
    if is_service:
        click.echo(f"  service      installed; {it.manager} starts it at login")
    click.echo(f"  state        {state['home']}")
    click.echo(f"  log          {state['log']}")
    if state["database_problem"]:
        click.echo("\n" + textwrap.fill(state["database_problem"], 79, break_on_hyphens=False), err=True)
