"""What can stop the embedded stack: each error says its cause and what the reader can do about it."""

from __future__ import annotations

import errno
from pathlib import Path


class LocalStackError(Exception):
    """The embedded stack cannot do what was asked; the message holds cause and remedy."""

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(f"{cause}\n  remedy: {remedy}")
        self.cause = cause
        self.remedy = remedy


class PortTaken(LocalStackError):
    """Another process listens on a port that was asked for."""

    def __init__(self, part: str, port: int) -> None:
        super().__init__(
            f"port {port} for {part} is taken by another process",
            "stop that process, give another port, or give none: a free one is chosen",
        )


class DiskFull(LocalStackError):
    """Too little space is left where the data directory or the cache lies."""

    def __init__(self, path: Path, needed_bytes: int, free_bytes: int) -> None:
        super().__init__(
            f"disk full: {path} has {free_bytes >> 20} MiB free, {needed_bytes >> 20} MiB are needed",
            "free some space, or give a data directory on another disk",
        )


class DownloadRefused(LocalStackError):
    """A jar could not be had, or is not the one that the lock names."""

    def __init__(self, coordinate: str, reason: str) -> None:
        super().__init__(
            f"download refused: {coordinate} {reason}",
            "check the network and proxy, or name a mirror of Maven Central in ATLAS_MAVEN_REPOSITORY",
        )


class UnsupportedPlatform(LocalStackError):
    """No package of some part exists for this machine."""

    def __init__(self, system: str, machine: str) -> None:
        super().__init__(
            f"unsupported platform: {system} on {machine}",
            "use Linux (glibc) on x86-64 or aarch64, or macOS; elsewhere run docker-compose.yml",
        )


class DataDirectoryInUse(LocalStackError):
    """Another stack runs on this data directory."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"data directory in use: {path}", "stop the stack that runs there, or give another directory")


class DataDirectoryClosed(LocalStackError):
    """The user that PostgreSQL must run as cannot reach the data directory."""

    def __init__(self, path: Path, closed: Path, user: str) -> None:
        super().__init__(
            f"running as root: PostgreSQL must run as user {user}, who cannot reach {path} because {closed} is closed",
            f"give a data directory elsewhere, open it (chmod o+x {closed}), or run as an ordinary user",
        )


class PartFailed(LocalStackError):
    """A part did not start, ended by itself or did not answer in time; the end of its log is in the message."""

    def __init__(self, part: str, reason: str, log: Path, tail: str) -> None:
        indented = "\n".join(f"    | {line}" for line in tail.splitlines()) or "    | (empty)"
        super().__init__(f"{part} {reason}; last lines of {log}:\n{indented}", f"read {log}")


def from_os_error(error: OSError, path: Path) -> Exception:
    """Return DiskFull if that is what the operating system said, else the error itself."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFull(path, needed_bytes=0, free_bytes=0)
    return error
