"""TAB in real shells: what `edgeloop completion` prints is loaded, and the shell is asked what it would offer."""

from __future__ import annotations

import json
import os
import pty
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from end_to_end.command_line import COMMAND, CommandLine

needs_zsh = pytest.mark.skipif(shutil.which("zsh") is None, reason="needs the Debian package zsh")
needs_fish = pytest.mark.skipif(shutil.which("fish") is None, reason="needs the Debian package fish")


def environment(line: CommandLine) -> dict[str, str]:
    path = f"{COMMAND.parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "HOME": str(line.folder), "EDGELOOP_HOME": str(line.home), "TERM": "dumb"}


def offered(line: CommandLine, *words: str) -> list[str]:
    """Return what bash offers for the last of `words`, in its own order."""
    script = (
        f'eval "$(edgeloop completion bash)"\nCOMP_WORDS=(edgeloop {shlex.join(words)})\n'
        f"COMP_CWORD={len(words)}\n_edgeloop_completion edgeloop\nprintf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env=environment(line),
        cwd=line.folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr.replace("bash: compopt: not currently executing completion function\n", "") == ""
    return done.stdout.split()


@pytest.fixture
def idle(tmp_path: Path, user: CommandLine) -> CommandLine:
    """A user whose daemon does not run, though it did once: what plugins declare is known."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(user.home / "declarations.json", home)
    return CommandLine(home, tmp_path)


def test_commands_of_ours_and_of_plugins_are_offered(idle: CommandLine) -> None:
    assert offered(idle, "qu") == ["quantize"]
    assert offered(idle, "dev") == ["devices", "device"]
    assert offered(idle, "device", "") == ["forget", "search", "stop", "virtual"]
    assert offered(idle, "quantize", "--bi") == ["--bits"]


def test_templates_backends_and_their_settings_are_offered_without_a_daemon(idle: CommandLine) -> None:
    assert offered(idle, "init", "x", "--template", "dig") == ["digits-mnn"]
    assert offered(idle, "train", "--backend", "") == ["local"]
    assert "local" in offered(idle, "train", "--backend", "l")
    assert not (idle.home / "runtime.json").exists(), "TAB must not start a daemon"


def test_models_are_offered_where_a_model_is_meant_and_scripts_where_a_script_is(idle: CommandLine) -> None:
    names = (
        "models/a.mnn",
        "models/deep/b.onnx",
        "models/notes.txt",
        ".cache/c.mnn",
        "infer.py",
        "other/d.py",
        "held.npz",
    )
    for name in names:
        (idle.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (idle.folder / name).write_text("")
    assert offered(idle, "inspect", "") == ["models/a.mnn", "models/deep/b.onnx"]
    assert offered(idle, "inspect", "models/d") == ["models/deep/b.onnx"]
    for command in ("run", "debug"):
        assert offered(idle, command, "") == ["infer.py", "other/d.py"]
        assert offered(idle, command, "infer.py", "models/d") == ["models/deep/b.onnx"]
    assert offered(idle, "bench", "--inputs", "") == ["held.npz"]
    assert offered(idle, "bench", "--inside", "in") == ["infer.py"]


def test_a_script_that_is_to_be_traced_is_offered_beside_the_commands_on_traces(idle: CommandLine) -> None:
    (idle.folder / "export_all.py").write_text("")
    (idle.folder / "infer.py").write_text("")
    assert offered(idle, "trace", "ex") == ["export", "export_all.py"]
    assert offered(idle, "trace", "in") == ["infer.py"]
    assert offered(idle, "trace", "--inc") == ["--include"]
    assert offered(idle, "trace", "--detach", "in") == ["infer.py"]


def test_names_of_checks_come_from_the_settings_of_the_workspace(idle: CommandLine) -> None:
    settings, below = idle.folder / "edgeloop.toml", idle.folder / "models"
    below.mkdir()
    assert offered(idle, "check", "") == []
    settings.write_text('[check.speed]\nmodel = "a.mnn"\n[check.size]\nmodel = "a.mnn"\n[check.accuracy]\n')
    assert offered(idle.within(below), "check", "s") == ["speed", "size"]
    assert offered(idle, "check", "speed", "") == ["size", "accuracy"]
    for wrong in ("check = 3", "[check", 'check = ["a"]', "[check]\nspeed = 3"):
        settings.write_text(wrong)
        assert offered(idle, "check", "") == []


def test_without_a_daemon_ids_are_silently_not_offered(idle: CommandLine) -> None:
    assert offered(idle, "logs", "") == []
    assert offered(idle, "run", "--device", "") == []


def test_ids_of_jobs_and_names_of_devices_come_from_the_daemon(
    user: CommandLine, workspace: CommandLine, device: dict[str, Any]
) -> None:
    assert offered(workspace, "run", "--device", "po") == ["pocket"]
    assert offered(workspace, "device", "stop", "") == ["pocket"]
    assert "git_flow" in offered(workspace, "plugins", "disable", "git")
    workspace.run("trust", "--yes")
    (workspace.folder / "hello.py").write_text("print('hello')\n")
    run = workspace.json("run", "hello.py")
    assert run["id"] in offered(workspace, "logs", "r")
    assert offered(workspace, "trace", "export", run["id"][:6]) == [run["id"]]
    assert run["id"] not in offered(workspace, "cancel", ""), "it has ended"
    assert str(workspace.folder) in offered(workspace, "dap", "--workspace", "")
    breakpoint_id = workspace.json("break", "add", "hello.py:1")["id"]
    assert offered(workspace, "break", "remove", "") == [breakpoint_id]
    workspace.run("break", "remove", breakpoint_id)


def test_a_person_presses_tab_in_an_interactive_bash(idle: CommandLine) -> None:
    control, terminal = pty.openpty()
    with subprocess.Popen(
        ["bash", "--norc", "--noprofile", "-i"],
        env={**environment(idle), "PS1": "ready> "},
        cwd=idle.folder,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    ) as bash:
        os.close(terminal)

        def until(expected: bytes) -> bytes:
            text = b""
            while expected not in text:
                text += os.read(control, 4096)
            return text

        try:
            until(b"ready> ")
            os.write(control, b'eval "$(edgeloop completion bash)"; echo loa""ded\n')
            until(b"loaded\r\n")
            os.write(control, b"edgeloop workspa\t--js\t")
            assert b"edgeloop workspaces --json" in until(b"--json")
        finally:
            bash.kill()
            os.close(control)


@needs_fish
def test_fish_offers_commands_with_what_they_do(idle: CommandLine) -> None:
    idle.call("completion", "fish")
    installed = subprocess.run(
        [COMMAND, "completion", "fish", "--install"], env=environment(idle), capture_output=True, text=True, timeout=60
    )
    assert installed.returncode == 0, installed.stderr
    assert (idle.folder / ".config/fish/completions/edgeloop.fish").exists()
    done = subprocess.run(
        ["fish", "-c", "complete -C 'edgeloop work'"],
        env=environment(idle),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "workspaces\tList the workspaces that are open.\n", done.stderr


@needs_zsh
def test_zsh_loads_the_installed_script_and_offers_commands(idle: CommandLine) -> None:
    subprocess.run([COMMAND, "completion", "zsh", "--install"], env=environment(idle), check=True, capture_output=True)
    # `_describe` is what hands candidates to zsh; outside of its line editor it has nowhere to put them, so it tells us.
    script = (
        "fpath=($HOME/.local/share/zsh/site-functions $fpath); autoload -Uz compinit; compinit -u -D\n"
        "print -r -- ${_comps[edgeloop]}\n"
        "source $HOME/.local/share/zsh/site-functions/_edgeloop; function _describe() { print -rl -- ${(P)3} }\n"
        "words=(edgeloop work); CURRENT=2; _edgeloop_completion"
    )
    done = subprocess.run(
        ["zsh", "-f", "-c", script], env=environment(idle), capture_output=True, text=True, timeout=60
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "_edgeloop", done.stderr
    assert any(line.startswith("workspaces:List the workspaces") for line in lines), done.stdout + done.stderr


def test_installing_for_bash_says_where_and_what_else_it_needs(idle: CommandLine) -> None:
    done = subprocess.run(
        [COMMAND, "completion", "bash", "--install"], env=environment(idle), capture_output=True, text=True, timeout=60
    )
    script = idle.folder / ".local/share/bash-completion/completions/edgeloop"
    assert str(script) in done.stdout
    assert "~/.bashrc" in done.stdout
    assert "_EDGELOOP_COMPLETE=bash_complete" in script.read_text()


def test_a_shell_without_completion_is_named(idle: CommandLine) -> None:
    done = subprocess.run(
        [COMMAND, "completion", "--json"],
        env={**environment(idle), "SHELL": "/bin/dash"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "bash, zsh, fish" in json.loads(done.stdout)["error"]["hint"]


def test_a_place_that_cannot_be_written_is_named(idle: CommandLine) -> None:
    (idle.folder / ".local").write_text("a file, not a folder")
    done = subprocess.run(
        [COMMAND, "completion", "zsh", "--install"], env=environment(idle), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert ".local/share/zsh/site-functions/_edgeloop cannot be written" in " ".join(done.stderr.split())
