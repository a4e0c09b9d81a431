"""The built-in commands by section, without the modules that hold them: only the command that is called gets imported.

A test holds the summaries to the commands' own help.
"""

from __future__ import annotations

import importlib
import keyword
from collections.abc import Mapping
from dataclasses import dataclass

import click


@dataclass(frozen=True)
class Listed:
    """A command called `name`, which is also its name in `edgeloop_daemon.cli.<module>`; `summary` is its help's first line.

    A `name` that is a word of Python's own has a `_` behind it there.
    """

    name: str
    module: str
    summary: str

    def load(self) -> click.Command:
        """Import the command."""
        name = f"{self.name}_" if keyword.iskeyword(self.name) else self.name
        command = getattr(importlib.import_module(f"edgeloop_daemon.cli.{self.module}"), name)
        assert isinstance(command, click.Command)
        return command


SECTIONS: Mapping[str, tuple[Listed, ...]] = {
    "First steps": (
        Listed("demo", "demo_command", "Go through the whole loop on real digits, and report."),
        Listed("init", "workspace_commands", "Create a workspace from a template in the folder NAME."),
    ),
    "The loop": (
        Listed("train", "job_commands", "Train the workspace's model from a snapshot of its tree."),
        Listed("run", "run_commands", "Run SCRIPT on a device; ARGUMENTS are its own."),
        Listed("bench", "bench_command", "Measure how fast MODELs are on a device, honestly."),
        Listed("check", "check_command", "Check on a device what edgeloop.toml expects of the workspace's models."),
        Listed("runs", "run_commands", "List the runs on devices of this workspace, newest first."),
        Listed("files", "file_commands", "List the files that RUN (default: the newest) has reported, or save them."),
        Listed(
            "hits", "operator_commands", "List what breakpoints on operators have found in RUN (default: the newest)."
        ),
        Listed("trace", "trace_commands", "Run SCRIPT traced, or look into a trace: where does the time go?"),
        Listed("traces", "trace_commands", "List the traces of this workspace's runs, newest first."),
    ),
    "Debugging": (
        Listed("debug", "debug_command", "Debug TASK, a script, on a device; ARGUMENTS are its own."),
        Listed("dap", "dap_command", "Be an editor's debug adapter, on standard input and output."),
        Listed("break", "break_commands", "Breakpoints of the workspace, and runs that wait at an operator."),
    ),
    "Jobs": (
        Listed("jobs", "job_commands", "List the jobs of this workspace, newest first."),
        Listed("logs", "job_commands", "Print the log of a job or of a run on a device."),
        Listed("cancel", "job_commands", "Cancel a job or a run on a device."),
    ),
    "Devices": (
        Listed("devices", "device_commands", "List the paired devices, and tell of unknown phones nearby."),
        Listed("pair", "device_commands", "Pair a phone, by QR code or by a typed code."),
        Listed("companion", "companion_command", "Open the companion app in a window, and stay until it is closed."),
        Listed("device", "device_commands", "Virtual devices, looking for phones, and forgetting a device."),
    ),
    "The daemon": (
        Listed("up", "daemon_commands", "Start the daemon in the background."),
        Listed("down", "daemon_commands", "Stop the daemon and its virtual devices."),
        Listed("status", "daemon_commands", "Show whether the daemon runs, and where."),
        Listed("service", "service_commands", "Start the daemon at login, through systemd or launchd."),
        Listed(
            "completion",
            "completion_command",
            "Print the script for TAB completion in bash, zsh or fish, or install it.",
        ),
        Listed("doctor", "doctor_command", "Check the installation, and tell the remedy for what is wrong."),
        Listed("events", "event_commands", "Show what happens: jobs, runs, devices, workspaces."),
        Listed("plugins", "plugin_commands", "List the plugins and what each of them offers; enable or disable one."),
        Listed("token", "token_commands", "Tokens for programs that use the local API."),
        Listed("storage", "storage_commands", "Show what edgeloop keeps here, and set how much it keeps."),
        Listed("prune", "storage_commands", "Remove old jobs and runs, and what belongs to nothing."),
        Listed("workspaces", "workspace_commands", "List the workspaces that are open."),
        Listed("trust", "workspace_commands", "Let this workspace's code run."),
    ),
}
BUILT_IN: Mapping[str, Listed] = {listed.name: listed for section in SECTIONS.values() for listed in section}
