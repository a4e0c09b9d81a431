"""How the daemon's side of a link misbehaves on purpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from edgeloop_shared.messages import Welcome


@dataclass
class Behaviour:
    """By default it does not."""

    wrong_welcome_proof: bool = False
    wrong_pair_proof: bool = False
    reflect_pair_proof: bool = False  # answer with the device's own
    changed_welcome: Callable[[Welcome, str], Welcome] | None = (
        None  # given the right one and the device's proof in hex
    )
    link_versions: tuple[int, ...] = (1,)
    acknowledge: bool = True
    cut_at_record: int | None = None  # abort the link when this many records have arrived in all
    cut_downloads: dict[str, list[int]] = field(
        default_factory=dict
    )  # per blob the bytes after which a request is lost
    cut_link_with_download: bool = False
    spoiled_blobs: set[str] = field(default_factory=set)  # sent with a changed byte
    cut_uploads_after: int | None = None  # bytes
    hides_uploads: bool = False  # a HEAD answers that nothing is here
    refuse_uploads: bool = False
    refuse_links: bool = False
    hears_unpair: bool = True
    clock_ahead_ns: int | None = 0  # None: questions for the time are not answered
