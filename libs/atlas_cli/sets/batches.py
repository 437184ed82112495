"""What a set is, and the cutting of its files into batches of one tenant each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from atlaskit.model import Scalar, ValueType

BATCH_WRITES = 5_000


class DataFault(Exception):
    """A file is not what its set says it is; the text names file, place and what was found."""


class Write(NamedTuple):
    """One observed value. `event_time_us` counts microseconds since 1970 in UTC; an empty `source_type` means none."""

    entity_key: str
    asset_type: str
    attribute_key: str
    event_time_us: int
    value_type: ValueType
    value: Scalar
    source_type: str = ""


class TenantWrite(NamedTuple):
    """A write and the name of the tenant it belongs to."""

    tenant: str
    write: Write


@dataclass(frozen=True, slots=True)
class Input:
    """One file of a set. `name` is its path inside the set, with slashes; it does not depend on where the set lies."""

    path: Path
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class DataSet:
    """A set of files and how they are read.

    `ordered`: a value may be delivered twice, so the batches of a tenant must arrive in the order they are read.
    `key_quota`: attribute keys that one tenant needs at most. `rooted`: the names of its folders mean something.
    """

    name: str
    title: str
    suffix: str
    ordered: bool
    key_quota: int
    rooted: bool
    read: Callable[[BinaryIO, str], Iterator[TenantWrite]]


@dataclass(frozen=True, slots=True)
class Batch:
    """Writes of one tenant in the order of delivery.

    `number` counts the batches of this tenant in this file from 0. `bytes_read` says how far the reading has come over
    all inputs, in bytes as they lie on the disk.
    """

    tenant: str
    file: str
    number: int
    writes: Sequence[Write]
    bytes_read: int


def inputs_of(data_set: DataSet, paths: Sequence[Path]) -> list[Input]:
    """Return the files of a set under these files and folders, in the order of their names, which is that of delivery.

    Raises DataFault when a path does not exist, holds no such file, or is a file where the folders mean something.
    """
    found: dict[str, Input] = {}
    for path in paths:
        for name, file in _files(data_set, path):
            found[name] = Input(file, name, file.stat().st_size)
    return [found[name] for name in sorted(found)]


def _files(data_set: DataSet, path: Path) -> list[tuple[str, Path]]:
    if path.is_dir():
        files = [(file.relative_to(path).as_posix(), file) for file in path.rglob(f"*{data_set.suffix}")]
        if not files:
            raise DataFault(f"{path}: no file of {data_set.name} in it; its files end with {data_set.suffix}")
        return files
    if not path.exists():
        raise DataFault(f"{path}: no such file or folder; without a path the part kept here is read")
    if data_set.rooted:
        raise DataFault(f"{path}: is a file; give the folder of {data_set.name}, its folders are part of the names")
    if not path.name.endswith(data_set.suffix):
        raise DataFault(f"{path}: is not a file of {data_set.name}; those end with {data_set.suffix}")
    return [(path.name, path)]


def read_batches(data_set: DataSet, inputs: Sequence[Input], size: int = BATCH_WRITES) -> Iterator[Batch]:
    """Yield the writes of these files in batches of at most `size`; the same files give the same batches again.

    A tenant's batches come in the order of delivery. At most one unfinished batch of each tenant is held in memory.
    """
    before = 0
    for file in inputs:
        with file.path.open("rb") as raw:
            yield from _batches_of(data_set, file, raw, before, size)
        before += file.size


def _batches_of(data_set: DataSet, file: Input, raw: BinaryIO, before: int, size: int) -> Iterator[Batch]:
    open_writes: dict[str, list[Write]] = {}
    numbers: dict[str, int] = {}

    def cut(tenant: str) -> Batch:
        number = numbers.get(tenant, 0)
        numbers[tenant] = number + 1
        return Batch(tenant, file.name, number, open_writes.pop(tenant), before + raw.tell())

    for tenant, write in data_set.read(raw, file.name):
        writes = open_writes.setdefault(tenant, [])
        writes.append(write)
        if len(writes) >= size:
            yield cut(tenant)
    for tenant in sorted(open_writes):
        yield cut(tenant)
