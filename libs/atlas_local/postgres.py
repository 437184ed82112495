"""PostgreSQL of the embedded stack: a primary with logical decoding, and a streaming replica."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from atlas_local import oneshot
from atlas_local.account import Account, own, postgres_account, postgres_binaries
from atlas_local.ports import HOST
from atlas_local.process import ChildProcess, Command

DATABASE = "atlas_telemetry"
SUPERUSER = "postgres"
REPLICA_SLOT = "atlas_replica"
_SQL = Path(__file__).with_name("sql")
_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class PostgresTuning:
    """What a laptop's server gets; the defaults of PostgreSQL load less than half as fast."""

    shared_buffers: str = "256MB"  # 1GB for loads of whole data sets
    max_wal_size: str = "8GB"  # fewer forced checkpoints, more disk
    max_slot_wal_keep_size: str = "16GB"  # a slot further behind is given up rather than the disk


def server_settings(tuning: PostgresTuning, port: int, passfile: Path, primary_port: int) -> dict[str, str]:
    """Return the settings of both servers; those of a standby have no effect on a primary."""
    return {
        "listen_addresses": HOST,
        "port": str(port),
        "unix_socket_directories": "",
        "password_encryption": "scram-sha-256",
        "wal_level": "logical",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "wal_compression": "on",
        "shared_buffers": tuning.shared_buffers,
        "max_wal_size": tuning.max_wal_size,
        "min_wal_size": "256MB",
        "checkpoint_timeout": "15min",
        "max_connections": "200",
        "max_wal_senders": "10",
        "max_replication_slots": "10",
        "max_slot_wal_keep_size": tuning.max_slot_wal_keep_size,
        "wal_sender_timeout": "30s",
        "hot_standby": "on",
        "hot_standby_feedback": "on",
        "wal_receiver_status_interval": "1s",
        "wal_retrieve_retry_interval": "500ms",
        "primary_conninfo": f"host={HOST} port={primary_port} user={SUPERUSER} passfile={passfile}",
        "primary_slot_name": REPLICA_SLOT,
        "shared_preload_libraries": "pg_stat_statements",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] %q%u@%d ",
        "log_checkpoints": "off",
        "jit": "off",  # compiling takes longer than the short reads it would speed up
    }


class PostgresServer(ChildProcess):
    """One PostgreSQL server of the stack."""

    def __init__(self, name: str, cluster: PostgresCluster, port: int, data: Path) -> None:
        settings = server_settings(cluster.tuning, port, cluster.passfile, cluster.upstream)
        arguments = [str(cluster.binaries / "postgres"), "-D", str(data)]
        for key, value in settings.items():
            arguments += ["-c", f"{key}={value}"]
        super().__init__(name, cluster.command(arguments), cluster.log(name), self._accepts, _SECONDS)
        self.port = port
        self.data = data
        self._cluster = cluster

    def dsn(self, role: str = SUPERUSER, database: str = DATABASE) -> str:
        """The address with this role's password in it."""
        return f"postgresql://{role}:{self._cluster.password}@{HOST}:{self.port}/{database}"

    async def run_file(self, path: Path, *, database: str = DATABASE, seconds: float = _SECONDS) -> str:
        """Run a file of psql as the superuser and return what it printed, unaligned and without headings."""
        cluster = self._cluster
        arguments = [cluster.binaries / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", path]
        arguments += ["-h", HOST, "-p", str(self.port), "-U", SUPERUSER, "-d", database]
        command = Command([str(item) for item in arguments], {"PGPASSWORD": cluster.password, "PGCONNECT_TIMEOUT": "5"})
        return (await oneshot.run(f"psql on {self.name}", command, cluster.log("psql"), seconds=seconds)).strip()

    async def pause_replay(self) -> None:
        """Stop applying WAL on the replica: it goes on receiving and answering, ever older. On a primary it fails."""
        await self.run_file(_SQL / "pause_replay.sql")

    async def promote(self) -> None:
        """Make a standby a primary, on a new timeline, and return when it takes writes. On a primary it fails."""
        await self.run_file(_SQL / "promote.sql", database="postgres")

    async def resume_replay(self) -> None:
        """Let the replica apply WAL again."""
        await self.run_file(_SQL / "resume_replay.sql")

    async def _accepts(self) -> bool:
        ready = [str(self._cluster.binaries / "pg_isready"), "-q", "-h", HOST, "-p", str(self.port), "-t", "2"]
        return await oneshot.succeeds(Command(ready), self.log, seconds=5.0)


class PostgresReplica(PostgresServer):
    """The standby; healthy when it streams from the primary."""

    async def streams(self) -> bool:
        """Whether it receives WAL from the primary now."""
        return await self.run_file(_SQL / "replica_streams.sql", database="postgres") == "streaming"


class PostgresCluster:
    """Primary and replica under one folder, with one password for every role, kept in a file of mode 0600."""

    def __init__(
        self,
        root: Path,
        logs: Path,
        ports: Mapping[str, int],
        tuning: PostgresTuning,
        upstream: int | None = None,
    ) -> None:
        self.account: Account | None = postgres_account()
        self.root = own(root, self.account)
        self.logs = logs
        self.ports = ports
        self.upstream = ports["primary"] if upstream is None else upstream  # where the replica finds the primary
        self.tuning = tuning
        self.binaries = postgres_binaries(self.account, root.parent)
        self.passfile = root / "pgpass"
        self.password = self._password()
        self.primary = PostgresServer("primary", self, ports["primary"], root / "primary")
        self.replica = PostgresReplica("replica", self, ports["replica"], root / "replica")

    def log(self, name: str) -> Path:
        """The log of a part."""
        return self.logs / f"{name}.log"

    def command(self, arguments: list[str]) -> Command:
        """A command that runs as PostgreSQL's user and is ended by a fast shutdown."""
        account = self.account
        return Command(
            arguments,
            {"PGPASSFILE": str(self.passfile), "LC_ALL": "C.UTF-8", "TZ": "UTC"},
            user=account.user if account else None,
            group=account.group if account else None,
            stop_signal=signal.SIGINT,
            orphan_signal=signal.SIGQUIT,  # the postmaster ends its children and itself without waiting for clients
            stop_seconds=30.0,
        )

    async def start_primary(self) -> None:
        """Return when the primary answers and has the database; its data directory is made if there is none."""
        data = self.primary.data
        if not (data / "PG_VERSION").exists():
            await self._initdb(data)
        await self.primary.start()
        if not await self.primary.run_file(_SQL / "database_exists.sql", database="postgres"):
            await self.primary.run_file(_SQL / "create_database.sql", database="postgres")

    async def start_replica(self) -> None:
        """Return when the replica answers; it is copied from the running primary if there is none."""
        data = self.replica.data
        if not (data / "standby.signal").exists():
            await self.copy(self.primary, data)
        await self.replica.start()

    async def _initdb(self, data: Path) -> None:
        partial = self._fresh(data)
        arguments = [str(self.binaries / "initdb"), "-D", str(partial), "-U", SUPERUSER, "--auth=scram-sha-256"]
        arguments += ["--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        arguments += ["--no-instructions", f"--pwfile={self._password_file()}"]
        await oneshot.run("initdb", self.command(arguments), self.log("initdb"))
        partial.rename(data)

    async def copy(self, source: PostgresServer, data: Path) -> None:
        """Make `data` a standby of a running server; what was there is gone. Raises PartFailed."""
        await source.run_file(_SQL / "drop_replica_slot.sql", database="postgres")
        partial = self._fresh(data)
        arguments = [str(self.binaries / "pg_basebackup"), "-D", str(partial), "-R", "-X", "stream", "-C"]
        arguments += ["-S", REPLICA_SLOT, "--checkpoint=fast", "--no-sync", "-w"]
        arguments += ["-h", HOST, "-p", str(source.port), "-U", SUPERUSER]
        await oneshot.run("pg_basebackup", self.command(arguments), self.log("pg_basebackup"), seconds=600.0)
        partial.rename(data)

    def _fresh(self, data: Path) -> Path:
        """Return the name under which a data directory is made: what a cut-off attempt left there is removed."""
        partial = data.with_name(f"{data.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(data, ignore_errors=True)
        return partial

    def _password(self) -> str:
        if not self.passfile.exists():
            self._private(self.passfile, f"*:*:*:*:{secrets.token_hex(24)}\n")
        return self.passfile.read_text("ascii").strip().rpartition(":")[2]

    def _password_file(self) -> Path:
        path = self.root / "password"
        self._private(path, self.password + "\n")
        return path

    def _private(self, path: Path, text: str) -> None:
        partial = path.with_name(f"{path.name}.partial")
        partial.unlink(missing_ok=True)
        partial.touch(0o600, exist_ok=False)
        partial.write_text(text, "ascii")
        if self.account:
            os.chown(partial, self.account.user, self.account.group)
        partial.rename(path)
