"""`edgeloop service install | uninstall | status`."""

from __future__ import annotations

import getpass

import click

from edgeloop_daemon.cli.daemon_process import daemon_service, wait_until_running, wait_until_stopped
from edgeloop_daemon.cli.group import Group
from edgeloop_daemon.cli.output import print_json
from edgeloop_daemon.cli.session import Session, json_option


@click.group(cls=Group)
def service() -> None:
    """Start the daemon at login, through systemd or launchd."""


@service.command()
@click.option("--print", "only_print", is_flag=True, help="Print the file, and change nothing.")
@json_option
@click.pass_obj
def install(session: Session, only_print: bool) -> None:
    """Have the daemon started now and at every login.

    A daemon that runs is handed over: it stops and the service starts it anew; running jobs go on meanwhile.
    """
    it = daemon_service(session.folders)
    if only_print:
        if session.as_json:
            print_json({"path": str(it.file), "content": it.content().decode()})
        else:
            click.echo(it.content(), nl=False)
        return
    it.write()
    is_enabled = it.is_reachable()
    if is_enabled:
        if session.client.is_running() and not it.is_active():
            session.client.post("/shutdown", {"stop_jobs": False})
            wait_until_stopped(session.folders)
        it.enable()
        wait_until_running(session.client)
    if session.as_json:
        print_json({"path": str(it.file), "is_enabled": is_enabled})
        return
    click.echo(f"Wrote {it.file}.")
    if is_enabled:
        click.echo("The daemon runs, and starts at every login (`edgeloop service uninstall` ends that).")
    else:
        click.echo(f"{it.manager} does not run for this user here. Where it does, this starts the daemon:")
        click.echo(f"  {it.by_hand()}")
    if not it.is_launchd:
        click.echo(f"To have it run without anybody logged in: loginctl enable-linger {getpass.getuser()}")


@service.command()
@json_option
@click.pass_obj
def uninstall(session: Session) -> None:
    """Have the daemon no longer started at login, and stop it. Running jobs go on."""
    it = daemon_service(session.folders)
    was_installed = it.remove()
    if session.as_json:
        print_json({"path": str(it.file), "was_installed": was_installed})
    else:
        click.echo(f"Removed {it.file}." if was_installed else "No service was installed.")


@service.command()
@json_option
@click.pass_obj
def status(session: Session) -> None:
    """Show whether the service is installed, and whether it runs the daemon."""
    it = daemon_service(session.folders)
    record = {
        "manager": it.manager,
        "path": str(it.file),
        "is_installed": it.is_installed(),
        "is_current": it.is_installed() and it.file.read_bytes() == it.content(),
        "is_reachable": it.is_reachable(),
        "is_active": it.is_active(),
        "is_running": session.client.is_running(),
    }
    if session.as_json:
        print_json(record)
        return
    if not record["is_installed"]:
        click.echo("No service for this state folder. `edgeloop service install` installs one.")
        return
    click.echo(f"{it.file}")
    if not record["is_current"]:
        click.echo("  It was written for another Python or PATH: `edgeloop service install` writes it anew.")
    if not record["is_reachable"]:
        click.echo(f"  {it.manager} does not run for this user here.")
    elif record["is_active"]:
        click.echo(f"  {it.manager} runs the daemon.")
    else:
        away = "the daemon runs, but not as the service" if record["is_running"] else "the daemon is not running"
        click.echo(f"  {it.manager} knows it; {away}.")
