"""Where the model tools read and write."""

from __future__ import annotations

from pathlib import Path

from edgeloop_shared.errors import InvalidInputError


def in_workspace(path: str, workspace: Path) -> Path:
    """Return the file that a parameter names: absolute, or relative to the workspace."""
    if not path or "\0" in path:
        raise InvalidInputError("A path is empty or holds a NUL character.", hint="Name a file.")
    return workspace / path


def output_path(asked: str | None, default: Path, source: Path, workspace: Path) -> Path:
    """Return the file to write, `default` unless one is asked for; it may not be the source itself."""
    output = in_workspace(asked, workspace) if asked else default
    if output.suffix.lower() != ".mnn":
        raise InvalidInputError(
            f"The output {output} does not end in .mnn.", hint=f"Call it {output.stem or 'model'}.mnn, say."
        )
    if output.resolve() == source.resolve():
        raise InvalidInputError(f"The output {output} is the model itself.", hint="Choose another name.")
    if output.is_dir():
        raise InvalidInputError(f"The output {output} is a folder.", hint="Choose another name.")
    return output
