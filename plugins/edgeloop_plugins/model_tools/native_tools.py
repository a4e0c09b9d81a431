"""MNN's native converter in a process of its own: the only module that touches it.

The console scripts and `MNN.tools` are never used: importing them installs a telemetry package and each conversion reports
to its maker. The native module `_tools` does neither. It crashes on files that are not models, and it says "success" when
nothing was written; so the caller judges by the file (`written_file`) and by the captured lines.

Run as a module, this file is the child process: `python -m edgeloop_plugins.model_tools.native_tools ARGUMENT...`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgeloop_shared.conversions import SUFFIX
from edgeloop_shared.errors import ConversionError, NotFoundError

TIMEOUT_SECONDS = 1800.0
MAX_OUTPUT_BYTES = 256 * 1024
_BANNER = "The device supports:"
_NOISE = (_BANNER, "Don't has bizCode", "Can't open file:.__convert_external_data.bin")


@dataclass(frozen=True)
class ConverterRun:
    """How a run of the converter ended: the process's exit status (negative: minus the signal) and MNN's own lines."""

    exit_status: int
    lines: tuple[str, ...]

    @property
    def ending(self) -> str:
        """How the process ended, in words; empty for an ordinary end."""
        if self.exit_status == 0:
            return ""
        if self.exit_status < 0:
            return f"MNN's converter crashed ({signal.strsignal(-self.exit_status) or -self.exit_status})"
        return f"MNN's converter exited with status {self.exit_status}"


def run_converter(arguments: Sequence[str], *, timeout: float = TIMEOUT_SECONDS) -> ConverterRun:
    """Run MNN's converter with `arguments` (see its `--help`; paths must be absolute) and return how it ended.

    Raises `ConversionError` if it takes more than `timeout` seconds; it is killed then.
    """
    # Its working folder is a fresh one: the converter leaves scratch files wherever it runs.
    with tempfile.TemporaryDirectory(prefix="edgeloop-converter-") as scratch, tempfile.TemporaryFile() as output:
        command = [sys.executable, "-P", "-m", __name__, *arguments]
        try:
            status = subprocess.run(
                command,
                cwd=scratch,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=timeout,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired as error:
            raise ConversionError(
                f"MNN's converter was stopped after {timeout:g} s.",
                hint="Try a smaller model, or without hqq.",
                details={"native_output": _lines(output.fileno())},
            ) from error
        return ConverterRun(status, tuple(_lines(output.fileno())))


@contextmanager
def written_file(target: Path) -> Iterator[Path]:
    """Yield a path of the same name in a hidden folder beside `target` to write to; at the end the file moves to `target`.

    If the block raises, what was written is removed and a file that stood at `target` stays as it was. External weights
    (`.weight`) and the record of the conversion move along; those of the file before are gone.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix=".edgeloop-", dir=target.parent)
    except OSError as error:
        raise NotFoundError(
            f"Nothing can be written to {target.parent} ({error.strerror}).", hint="Choose another output."
        ) from error
    with folder as name:
        draft = Path(name) / target.name
        yield draft
        for suffix in (".weight", SUFFIX, ""):
            written = draft.with_name(draft.name + suffix)
            if written.exists():
                written.replace(target.with_name(target.name + suffix))
            elif suffix == SUFFIX:
                target.with_name(target.name + suffix).unlink(missing_ok=True)


def _lines(descriptor: int) -> list[str]:
    size = os.fstat(descriptor).st_size
    text = os.pread(descriptor, MAX_OUTPUT_BYTES, max(0, size - MAX_OUTPUT_BYTES)).decode("utf-8", "replace")
    return [line.rstrip() for line in text.splitlines() if line.strip() and not line.startswith(_NOISE)]


def _main(arguments: Sequence[str]) -> int:
    import _tools  # here and nowhere else: loading it takes MNN's whole converter into the process

    _tools.mnnconvert(["MNNConvert", *arguments])  # True whatever happened
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
