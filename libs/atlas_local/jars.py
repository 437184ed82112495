"""The jars of Kafka, Connect and Debezium: read from the lock, downloaded once into a cache, checked by sha256."""

from __future__ import annotations

import asyncio
import hashlib
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from maven_artifact import Artifact, RequestException, Requestor, Resolver

from atlas_local.errors import DownloadRefused, from_os_error

MAVEN_CENTRAL: str = Resolver.default().base
LOCK = Path(__file__).with_name("jars.lock")
FOLDERS = frozenset({"kafka", "connect", "debezium"})

# (jars there so far, jars in all): called from the event loop.
Progress = Callable[[int, int], None]

_PARALLEL = 8
_ATTEMPTS = 3
_SECONDS = 60.0  # without a byte from the repository
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of the lock."""

    folder: str
    coordinate: str  # group:artifact:version[:classifier]
    sha256: str

    @property
    def file_name(self) -> str:
        """artifact-version[-classifier].jar"""
        return "-".join(self.coordinate.split(":")[1:]) + ".jar"


@dataclass(frozen=True, slots=True)
class JarSet:
    """The locked jars under a root of their own: a jar of another lock never gets onto a path."""

    root: Path
    jars: tuple[Jar, ...]

    def path(self, jar: Jar) -> Path:
        """Where this jar lies."""
        return (self.plugins if jar.folder == "debezium" else self.root) / jar.folder / jar.file_name

    @property
    def plugins(self) -> Path:
        """Connect's plugin.path: a folder for each plugin."""
        return self.root / "plugins"

    def class_path(self, *folders: str) -> str:
        """A class path of the jars in these folders."""
        return os.pathsep.join(str(self.path(jar)) for jar in self.jars if jar.folder in folders)


def parse_lock(text: str) -> tuple[Jar, ...]:
    """Return the jars of a lock in its order. Raises ValueError with the number of the line that is wrong."""
    jars = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split()
        parts = fields[1].count(":") + 1 if len(fields) == 3 else 0
        if parts not in {3, 4} or fields[0] not in FOLDERS or len(fields[2]) != 64:
            raise ValueError(f"jars.lock line {number}: want '<folder> <group:artifact:version> <sha256>': {line!r}")
        jars.append(Jar(*fields))
    return tuple(jars)


def default_cache() -> Path:
    """$XDG_CACHE_HOME/atlas, or ~/.cache/atlas."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "atlas"


async def ensure_jars(
    cache: Path, *, repository: str = MAVEN_CENTRAL, progress: Progress | None = None, lock: Path = LOCK
) -> JarSet:
    """Return the locked jars, each of them checked in the cache.

    What is missing or has another sha256 is downloaded, eight at a time, at most three attempts each, and appears under
    its name only when it is whole. Raises DownloadRefused or DiskFull. Cancelled, a transfer may end in the background.
    """
    text = lock.read_text("utf-8")
    jars = JarSet(cache / f"jars-{hashlib.sha256(text.encode()).hexdigest()[:12]}", parse_lock(text))
    wanted = await asyncio.to_thread(lambda: [jar for jar in jars.jars if not _is_there(jar, jars.path(jar))])
    slots, total = asyncio.Semaphore(_PARALLEL), len(jars.jars)
    done = total - len(wanted)

    async def fetch(jar: Jar) -> None:
        nonlocal done
        async with slots:
            await _fetch(jar, jars.path(jar), repository)
        done += 1
        if progress:
            progress(done, total)

    try:
        async with asyncio.TaskGroup() as group:
            for jar in wanted:
                group.create_task(fetch(jar), name=f"jar-{jar.coordinate}")
    except ExceptionGroup as refused:
        raise refused.exceptions[0] from None
    return jars


async def _fetch(jar: Jar, path: Path, repository: str) -> None:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            await asyncio.to_thread(_download, jar, path, repository)
        except DownloadRefused:
            if attempt == _ATTEMPTS:
                raise
            await asyncio.sleep(0.2 * 2**attempt)
        except OSError as error:
            raise from_os_error(error, path) from error
        else:
            return


def _is_there(jar: Jar, path: Path) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == jar.sha256


def _download(jar: Jar, path: Path, repository: str) -> None:
    group, name, version, *classifier = jar.coordinate.split(":")
    artifact = Artifact(group, name, version, *classifier)
    requestor = Requestor()
    url = Resolver(repository, requestor).uri_for_artifact(artifact)
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")  # others may download the same jar
    try:
        with partial.open("wb") as file, requestor.request(url, None, stream=True, timeout=_SECONDS) as response:
            for chunk in response.iter_content(chunk_size=_CHUNK):
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != jar.sha256:
            reason = f"from {url} has sha256 {digest.hexdigest()}, the lock says {jar.sha256}"
            raise DownloadRefused(jar.coordinate, reason)
        partial.chmod(0o644)
        partial.replace(path)
    except RequestException as error:
        raise DownloadRefused(jar.coordinate, f"from {url}: {error.msg}") from error
    except OSError as error:
        # requests' own errors are OSErrors too; those with a number are the disk's.
        if error.errno is not None:
            raise
        raise DownloadRefused(jar.coordinate, f"from {url}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
