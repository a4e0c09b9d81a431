"""`edgeloop init`, `workspaces` and `trust`."""

from __future__ import annotations

from pathlib import Path

import click

from edgeloop_daemon.cli import completers
from edgeloop_daemon.cli.output import print_json, print_table
from edgeloop_daemon.cli.session import Session, json_option


@click.command()
@click.argument("name", metavar="NAME")
@click.option(
    "--template",
    "-t",
    shell_complete=completers.templates,
    default="digits-mnn",
    show_default=True,
    help="Which template to copy.",
)
@json_option
@click.pass_obj
def init(session: Session, name: str, template: str) -> None:
    """Create a workspace from a template in the folder NAME.

    NAME is a new folder, or `.` for this one.
    """
    path = (session.folder / name).resolve()
    workspace = session.daemon().post("/workspaces/new", {"path": str(path), "template": template})
    if session.as_json:
        print_json(workspace)
        return
    click.echo(f"Created {workspace['path']} from the template {template}.")
    if path != session.folder:
        click.echo(f"Next: cd {name}; its README.md tells how to go on.")


@click.command()
@json_option
@click.pass_obj
def workspaces(session: Session) -> None:
    """List the workspaces that are open."""
    found = session.daemon().items("/workspaces")
    if session.as_json:
        print_json(found)
    elif not found:
        click.echo("No workspace is open. `edgeloop init NAME --template digits-mnn` makes one.")
    else:
        rows = [(item["id"], item["name"], "yes" if item["is_trusted"] else "no", item["path"]) for item in found]
        print_table(("id", "name", "trusted", "folder"), rows)


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--revoke", is_flag=True, help="Take the trust back.")
@json_option
@click.pass_obj
def trust(session: Session, yes: bool, revoke: bool) -> None:
    """Let this workspace's code run.

    That is its Git settings, its training, its scripts, and tools on its models.
    """
    workspace = session.workspace()
    path = f"/workspaces/{workspace['id']}/trust"
    client = session.daemon()
    if not revoke and not yes and not session.as_json:
        risks = client.get(path)["risks"]
        click.echo(f"{workspace['path']} can then run its training command, its scripts and its Git settings.")
        for risk in risks:
            click.echo(f"  ! {risk}")
        if not click.confirm("Do you trust the authors of this folder?"):
            raise click.Abort
    answer = client.post(path, {"trusted": not revoke})
    if session.as_json:
        print_json(answer)
    else:
        click.echo(f"{Path(workspace['path']).name} is {'no longer' if revoke else 'now'} trusted.")
