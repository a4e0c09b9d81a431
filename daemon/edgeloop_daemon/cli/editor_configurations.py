"""What editors have to be told to debug with edgeloop, and how it gets into the files of a workspace that hold it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeloop_daemon.cli.json_with_comments import add_to_array
from edgeloop_shared.errors import InvalidInputError

PORT = 5678
NAME = "edgeloop: debug this file on a device"
_PORT_TASK = "edgeloop: port for the debugger"
_COMMON = {"task": "${file}", "stopOnEntry": False, "justMyCode": True}

_LAUNCH: Mapping[str, Any] = {
    "name": NAME,
    "type": "debugpy",
    "request": "attach",
    "connect": {"host": "127.0.0.1", "port": PORT},
    "preLaunchTask": _PORT_TASK,
    "workspace": "${workspaceFolder}",
    **_COMMON,
}
_TASK: Mapping[str, Any] = {
    "label": _PORT_TASK,
    "type": "shell",
    "command": f"edgeloop debug --port {PORT}",
    "isBackground": True,
    "presentation": {"reveal": "silent"},
    "problemMatcher": {
        "pattern": {"regexp": "^Error: (.*)$", "message": 1},
        "background": {"activeOnStart": True, "beginsPattern": "^edgeloop", "endsPattern": "^Listening"},
    },
}
_ZED: Mapping[str, Any] = {
    "label": NAME,
    "adapter": "Debugpy",
    "request": "attach",
    "tcp_connection": {"host": "127.0.0.1", "port": PORT},
    "task": "$ZED_FILE",
    "workspace": "$ZED_WORKTREE_ROOT",
}
_KATE: Mapping[str, Any] = {
    "dap": {
        "edgeloop": {
            "run": {"command": ["edgeloop", "dap"], "supportsSourceRequest": True},
            "configurations": {
                "debug this file on a device": {
                    "request": {"command": "launch", "task": "${file}", "args": "${args|list}"},
                },
                "attach to the newest session": {"request": {"command": "attach", "workspace": "${workdir}"}},
            },
        }
    }
}
_NVIM = """\
-- For nvim-dap, in init.lua or any file that it loads. `:lua require("dap").continue()` begins.
local dap = require("dap")
dap.adapters.edgeloop = { type = "executable", command = "edgeloop", args = { "dap" } }
dap.configurations.python = dap.configurations.python or {}
vim.list_extend(dap.configurations.python, {
  {
    type = "edgeloop",
    request = "launch",
    name = "edgeloop: debug this file on a device",
    task = "${file}",
    workspace = "${workspaceFolder}",
  },
  { type = "edgeloop", request = "attach", name = "edgeloop: attach", workspace = "${workspaceFolder}" },
})
"""
_EMACS = """\
;; For dape, in init.el. `M-x dape RET edgeloop` begins.
(with-eval-after-load 'dape
  (add-to-list 'dape-configs
               '(edgeloop
                 modes (python-mode python-ts-mode)
                 command "edgeloop"
                 command-args ("dap")
                 command-cwd dape-command-cwd
                 :request "launch"
                 :task dape-buffer-default)))

;; For dap-mode, in init.el. `M-x dap-debug RET edgeloop` begins.
(with-eval-after-load 'dap-mode
  (dap-register-debug-provider "edgeloop" #'identity)
  (dap-register-debug-template "edgeloop: debug this file on a device"
                               '(:type "edgeloop" :request "launch" :name "edgeloop"
                                 :dap-server-path ("edgeloop" "dap")
                                 :task "${file}")))
"""


def _json(value: object) -> str:
    return json.dumps(value, indent=4) + "\n"


_VSCODE_TEXT = f"""\
// .vscode/launch.json, for the Python Debugger extension (`edgeloop debug --config vscode --write` puts it there)
{_json({"version": "0.2.0", "configurations": [_LAUNCH]})}
// .vscode/tasks.json
{_json({"version": "2.0.0", "tasks": [_TASK]})}"""
_ZED_TEXT = f"""\
// .zed/debug.json (`edgeloop debug --config zed --write` puts it there). First: edgeloop debug --port {PORT}
{_json([_ZED])}"""
_KATE_TEXT = f"""\
# ~/.config/kate/gdbplugin/dap.json, without this line; then choose edgeloop in the debugger's settings
{_json(_KATE)}"""
_TEXTS = {"vscode": _VSCODE_TEXT, "nvim": _NVIM, "zed": _ZED_TEXT, "emacs": _EMACS, "kate": _KATE_TEXT}
EDITORS = tuple(_TEXTS)
WRITTEN = ("vscode", "zed")
"""Editors whose configuration belongs to a workspace."""


def configuration_of(editor: str) -> str:
    """Return an editor's configuration, as it is to be put into its files."""
    return _TEXTS[editor]


def write_configuration(editor: str, root: Path) -> list[Path]:
    """Write an editor's configuration below `root`; what is there stays, comments included. Return the files that changed.

    Raises `InvalidInputError` for a file that cannot be read as what it should be; nothing is written then.
    """
    wanted: dict[Path, tuple[str | None, str, Mapping[str, Any]]]
    if editor == "zed":
        wanted = {root / ".zed" / "debug.json": (None, "label", _ZED)}
    else:
        wanted = {
            root / ".vscode" / "tasks.json": ("tasks", "label", _TASK),
            root / ".vscode" / "launch.json": ("configurations", "name", _LAUNCH),
        }
    texts = {path: _merged(path, array, key, item) for path, (array, key, item) in wanted.items()}
    changed = [path for path, text in texts.items() if text is not None]
    for path in changed:
        path.parent.mkdir(exist_ok=True)
        path.write_text(texts[path] or "")
    return changed


def _merged(path: Path, array: str | None, key: str, item: Mapping[str, Any]) -> str | None:
    """Return a file's new text, None where it holds the item already."""
    if not path.exists():
        version = "2.0.0" if array == "tasks" else "0.2.0"
        return _json([item] if array is None else {"version": version, array: [item]})
    try:
        return add_to_array(path.read_text(), array, item, key)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(
            f"{path} cannot be read: {error}.",
            hint="Repair it, or put in by hand what `edgeloop debug --config` prints.",
        ) from None
