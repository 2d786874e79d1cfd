"""Who a process is, in a way that outlives it: host, boot, process id and start time.

A process id alone is used again by the system; together with the boot and the start time it
names one process for ever.
"""

from __future__ import annotations

import os
import socket
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

__all__ = ["Liveness", "Owner"]

STATE_FIELD, START_FIELD = 0, 19
"""Places in ``/proc/PID/stat`` behind the name of the command."""

ENDED_STATES = frozenset("ZXx")


class Liveness(StrEnum):
    """What can be known from here about a process."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Owner:
    """One process on one host.

    Attributes
    ----------
    host
        Name of the host, with its machine id and process namespace where the system has them.
    boot_id
        Identifier of the boot; empty where the system has none.
    process_id
        Number of the process.
    start_time
        When it started, in ticks since the boot; empty where the system does not tell.
    """

    host: str
    boot_id: str
    process_id: int
    start_time: str

    @classmethod
    def current(cls) -> Self:
        """Return this process, also right after a fork."""
        number = os.getpid()
        return cls(_host(), _boot_id(), number, _start_time(number) or "")

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        """Return the owner of a stored claim."""
        return cls(**{field: document[field] for field in cls.__dataclass_fields__})

    def as_document(self) -> dict[str, Any]:
        """Return plain values to store."""
        return asdict(self)

    def liveness(self) -> Liveness:
        """Return whether the process still runs, as far as this process can tell."""
        if self.host != _host() or not self.boot_id:
            return Liveness.UNKNOWN
        if self.boot_id != _boot_id():
            return Liveness.DEAD
        start_time = _start_time(self.process_id)
        return Liveness.ALIVE if start_time == self.start_time else Liveness.DEAD

    def shares_clock(self) -> bool:
        """Whether its monotonic clock is this process's: same host, same boot."""
        return bool(self.boot_id) and (self.host, self.boot_id) == (_host(), _boot_id())


def _host() -> str:
    parts = [socket.gethostname(), _read("/etc/machine-id")]
    try:
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    except OSError:
        parts.append("")
    return "/".join(parts)


def _boot_id() -> str:
    return _read("/proc/sys/kernel/random/boot_id")


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _start_time(process_id: int) -> str | None:
    """Return the start time of a running process, None where there is none."""
    try:
        text = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # the command's name is in parentheses and may hold anything
    fields = text.rpartition(")")[2].split()
    return None if fields[STATE_FIELD] in ENDED_STATES else fields[START_FIELD]
