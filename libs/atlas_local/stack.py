"""The whole embedded stack: a start in the order that the parts need, and a stop that leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import platform
import secrets
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from atlaskit.kafka.supervision import supervised

from atlas_local.connect import Connect
from atlas_local.errors import DataDirectoryInUse, DiskFull, PartFailed, UnsupportedPlatform, from_os_error
from atlas_local.faults.links import KAFKA_CALLERS, STACK_LINKS, Links, Listener
from atlas_local.jars import MAVEN_CENTRAL, JarSet, Progress, default_cache, ensure_jars
from atlas_local.kafka import Kafka
from atlas_local.ports import HOST, assign_in
from atlas_local.postgres import DATABASE, SUPERUSER, PostgresCluster, PostgresTuning
from atlas_local.process import ChildProcess, Command
from atlas_local.reviving import revived

PORTS = ("primary", "replica", "kafka", "kafka-controller", "connect", "clickhouse")
_NEEDED_BYTES = 2 << 30
_MACHINES = frozenset({"x86_64", "amd64", "aarch64", "arm64"})


@dataclass(frozen=True, slots=True)
class StackOptions:
    """What a caller may choose; the defaults give a stack that is gone after its stop."""

    data_dir: Path | None = None  # None: a temporary one
    keep: bool = False  # keep the data directory at the stop, for another start on the same data
    cache: Path = field(default_factory=default_cache)
    repository: str = MAVEN_CENTRAL
    ports: Mapping[str, int] = field(default_factory=dict)  # by name, see PORTS; those not named are chosen
    tuning: PostgresTuning = field(default_factory=PostgresTuning)
    links: Links | None = None  # relays between the parts; None: they reach one another directly
    progress: Progress | None = None  # of the download of the jars
    started: Callable[[str], None] | None = None  # told the name of each part when it is healthy
    # Told of a part that ended by itself and is started again; None: it stays down, for who has to see that.
    revived: Callable[[str], None] | None = None


class LocalStack:
    """The parts of a stack and their addresses. Each part can be killed, paused and restarted."""

    def __init__(
        self,
        data_dir: Path,
        ports: Mapping[str, int],
        jars: JarSet,
        tuning: PostgresTuning,
        detours: Mapping[str, int] | None = None,
    ) -> None:
        detours = detours or {}  # the port of the relay on a link, by the link's name
        self.data_dir = data_dir
        self.ports = ports
        self.detours = detours
        logs = data_dir / "logs"
        self.postgres = PostgresCluster(data_dir / "postgres", logs, ports, tuning, detours.get("replica->primary"))
        self.primary = self.postgres.primary
        self.replica = self.postgres.replica
        kafka_data = data_dir / "kafka"
        callers = [
            Listener(caller, ports[f"kafka-for-{caller}"], detours[f"{caller}->kafka"])
            for caller in KAFKA_CALLERS
            if f"{caller}->kafka" in detours
        ]
        self.kafka = Kafka(
            jars, kafka_data, logs / "kafka.log", ports["kafka"], ports["kafka-controller"], callers=callers
        )
        bootstrap = f"{HOST}:{detours.get('connect->kafka', ports['kafka'])}"
        self.connect = Connect(jars, data_dir / "connect", logs / "connect.log", bootstrap, ports["connect"])
        self.clickhouse = _clickhouse(data_dir, logs, ports["clickhouse"])

    @property
    def parts(self) -> tuple[ChildProcess, ...]:
        """All parts, each after those it depends on."""
        return (self.primary, self.replica, self.kafka, self.connect, self.clickhouse)

    @property
    def kafka_bootstrap(self) -> str:
        """host:port of the broker."""
        return self.kafka.bootstrap

    @property
    def connect_url(self) -> str:
        """Base of Connect's REST interface."""
        return self.connect.url

    @property
    def connectors_log(self) -> Path:
        """What failed in Connect's connectors and was restarted; there is no such file while nothing has."""
        return self.data_dir / "logs" / "connectors.log"

    @property
    def clickhouse_url(self) -> str:
        """Base of ClickHouse's HTTP interface."""
        return f"http://{HOST}:{self.ports['clickhouse']}"

    def primary_dsn(self, role: str = SUPERUSER, database: str = DATABASE) -> str:
        """The primary's address for this role, with its password."""
        return self.primary.dsn(role, database)

    def replica_dsn(self, role: str = SUPERUSER, database: str = DATABASE) -> str:
        """The replica's address for this role, with its password."""
        return self.replica.dsn(role, database)

    @property
    def secret(self) -> str:
        """A random word of this data directory: Debezium's placeholder for a missing value, which no data may equal."""
        path = self.data_dir / "secret"
        if not path.exists():
            path.touch(0o600)
            path.write_text(secrets.token_hex(16), "ascii")
        return path.read_text("ascii")

    async def health(self) -> dict[str, bool]:
        """Whether each part answers now, by name."""
        async with asyncio.TaskGroup() as group:
            asked = {part.name: group.create_task(part.healthy()) for part in self.parts}
        return {name: task.result() for name, task in asked.items()}

    async def start(self, started: Callable[[str], None] | None = None) -> None:
        """Start all parts, side by side where they do not need one another. Raises the first part's error."""
        say = started or (lambda _: None)

        async def postgres() -> None:
            await self.postgres.start_primary()
            say("primary")
            await self.postgres.start_replica()
            say("replica")

        async def kafka() -> None:
            await self.kafka.start()
            say("kafka")
            await self.connect.start()
            say("connect")

        async def clickhouse() -> None:
            await self.clickhouse.start()
            say("clickhouse")

        try:
            async with asyncio.TaskGroup() as group:
                for chain in (kafka, postgres, clickhouse):
                    group.create_task(chain(), name=f"start-{chain.__name__}")
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def stop(self) -> None:
        """Stop all parts, each before those it depends on; whatever happens, none is left running. Repeatable."""
        try:
            for together in ((self.connect, self.clickhouse, self.replica), (self.kafka, self.primary)):
                async with asyncio.TaskGroup() as group:
                    for part in together:
                        group.create_task(part.stop(), name=f"stop-{part.name}")
        finally:
            for part in self.parts:
                part.kill()


@asynccontextmanager
async def local_stack(options: StackOptions | None = None) -> AsyncIterator[LocalStack]:
    """Start the stack and give it when every part is healthy; at the end stop it and drop its data unless kept.

    Also on cancellation and on a start that fails half-way nothing is left running. A caller that is killed takes its
    parts with it (Linux). Raises a LocalStackError that says cause and remedy."""
    options = options or StackOptions()
    check_platform(sys.platform, platform.machine())
    with _data_directory(options.data_dir, keep=options.keep) as directory:
        check_space(directory)
        jars = await ensure_jars(options.cache, repository=options.repository, progress=options.progress)
        listeners = [f"kafka-for-{caller}" for caller in KAFKA_CALLERS] if options.links else []
        ports = assign_in(directory, (*PORTS, *listeners), options.ports)
        detours = await _detours(options.links, ports)
        stack = LocalStack(directory, ports, jars, options.tuning, detours)
        try:
            await stack.start(options.started)
            async with (
                supervised(stack.connect_url, stack.connectors_log),
                revived(stack.parts, options.revived),
            ):
                yield stack
        finally:
            await stack.stop()


async def _detours(links: Links | None, ports: Mapping[str, int]) -> dict[str, int]:
    """Put a relay on each link between parts of the stack and return the ports of all, by link."""
    if links is None:
        return {}
    for link in STACK_LINKS:
        caller, _, callee = link.partition("->")
        await links.open(link, ports[f"kafka-for-{caller}" if callee == "kafka" else callee])
    return {link: links[link].port for link in STACK_LINKS}


def check_platform(system: str, machine: str) -> None:
    """Raise UnsupportedPlatform where a part has no package."""
    if system not in {"linux", "darwin"} or machine.lower() not in _MACHINES:
        raise UnsupportedPlatform(system, machine)


def check_space(directory: Path, needed: int = _NEEDED_BYTES) -> None:
    """Raise DiskFull if fewer than `needed` bytes are free where the directory lies."""
    if (free := shutil.disk_usage(directory).free) < needed:
        raise DiskFull(directory, needed, free)


@contextmanager
def _data_directory(given: Path | None, *, keep: bool) -> Iterator[Path]:
    """Give the data directory, locked; at the end remove it unless it is to be kept. Raises DataDirectoryInUse."""
    directory = given.resolve() if given else Path(tempfile.mkdtemp(prefix="atlas-"))
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if not given:
            directory.chmod(0o711)  # PostgreSQL's user must get through
        lock = (directory / "lock").open("w")
    except OSError as error:
        raise from_os_error(error, directory) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataDirectoryInUse(directory) from None
        try:
            yield directory
        except PartFailed:
            _remove(directory, keep=keep, spare="logs")  # the error names them
            raise
        except BaseException:
            _remove(directory, keep=keep)
            raise
        _remove(directory, keep=keep)


def _remove(directory: Path, *, keep: bool, spare: str | None = None) -> None:
    """Remove what lies in the directory but the spared name, and the directory itself if that leaves it empty."""
    if keep:
        return
    for entry in directory.iterdir():
        if entry.name == spare:
            continue
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        directory.rmdir()


def _clickhouse(data_dir: Path, logs: Path, port: int) -> ChildProcess:
    arguments = [sys.executable, "-m", "atlas_local.chdb_front", "--host", HOST, "--port", str(port)]
    arguments += ["--data", str(data_dir / "clickhouse")]

    async def answers() -> bool:
        with contextlib.suppress(httpx.TransportError):
            async with httpx.AsyncClient(timeout=5.0) as client:
                return (await client.get(f"http://{HOST}:{port}/ping")).status_code == httpx.codes.OK
        return False

    return ChildProcess("clickhouse", Command(arguments), logs / "clickhouse.log", answers, 60.0)
