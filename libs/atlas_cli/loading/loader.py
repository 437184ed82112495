"""From the batches of a set to acknowledged writes."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b
from typing import TypeVar

from atlas.ingest.v1.ingest_service_pb2 import ColumnBatch
from atlas_client import AtlasClient, CallFailed, ColumnBuilder, Tenant, Written
from grpc import StatusCode

from atlas_cli.loading.ledger import Ledger
from atlas_cli.loading.progress import Progress
from atlas_cli.loading.report import Report
from atlas_cli.sets import Batch, DataSet, Input, read_batches

Answer = TypeVar("Answer")

NAMESPACE = uuid.UUID("6f0d3d52-6f0c-5c39-9a4e-0d6c2f2a9b17")
# After these the batch may or may not be stored; the same request id makes it safe to send it again.
WORTH_WAITING = frozenset({StatusCode.UNAVAILABLE, StatusCode.RESOURCE_EXHAUSTED, StatusCode.DEADLINE_EXCEEDED})
PAUSE = 0.25  # seconds between rounds of retries, on top of those of the client


class Interrupted(Exception):
    """A batch could not be stored in time; the batches before it are. The text says why and how to go on."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a load goes.

    `in_flight`: batches sent and not yet answered, at most; also what is held in memory. `batch_writes`: writes in one,
    at most. `call_timeout`: for one attempt. `patience`: how long one batch is tried before the load gives up.
    """

    in_flight: int = 8
    batch_writes: int = 5_000
    call_timeout: timedelta = timedelta(seconds=20)
    patience: timedelta = timedelta(seconds=90)


@dataclass(frozen=True, slots=True)
class Parcel:
    """A batch as it travels."""

    batch: Batch
    columns: ColumnBatch
    digest: str


def packed(batches: Iterable[Batch]) -> Iterator[Parcel]:
    """Yield each batch in the fast form of the contract, with the digest of that form."""
    for batch in batches:
        builder = ColumnBuilder()
        for write in batch.writes:
            builder.add(
                write.entity_key,
                write.attribute_key,
                write.value,
                write.event_time_us,
                value_type=write.value_type,
                source_type=write.source_type,
                asset_type=write.asset_type,
            )
        columns = builder.build()
        digest = blake2b(columns.SerializeToString(deterministic=True), digest_size=16).hexdigest()
        yield Parcel(batch, columns, digest)


def request_id_of(data_set: str, tenant: Tenant, parcel: Parcel) -> str:
    """Return the id of a batch: the same whenever the same data go to the same tenant of the same platform."""
    created = tenant.created_at.isoformat()
    batch = parcel.batch
    parts = (data_set, tenant.name, str(tenant.tenant_id), created, batch.file, str(batch.number), parcel.digest)
    return str(uuid.uuid5(NAMESPACE, "\0".join(parts)))


async def load(
    client: AtlasClient,
    data_set: DataSet,
    inputs: Sequence[Input],
    ledger: Ledger,
    progress: Progress,
    *,
    options: Options = Options(),
) -> Report:
    """Load these files and return what was done; run again after a failure, it goes on where it was.

    Tenants are registered when their first batch comes. Raises Interrupted when a batch cannot be stored, DataFault
    when a file is not what it should be, CallFailed when tenants cannot be registered. Cancelled, it forgets what is in
    flight; to load again is safe.
    """
    loading = _Loading(client, data_set, ledger, progress, options)
    batches = read_batches(data_set, inputs, options.batch_writes)
    with progress.shown(data_set.title, sum(file.size for file in inputs)):
        try:
            await loading.run(packed(batches))
        except BaseExceptionGroup as group:
            raise _first(group) from group
    return loading.report


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


class _Lane:
    """The way of one tenant in an ordered set.

    One batch is on it at a time, and none after one that failed: a later delivery must not be stored before an earlier.
    """

    def __init__(self) -> None:
        self.turn = asyncio.Lock()  # gives turns in the order of asking
        self.broken = False


class _Loading:
    def __init__(
        self, client: AtlasClient, data_set: DataSet, ledger: Ledger, progress: Progress, options: Options
    ) -> None:
        self._client = client
        self._set = data_set
        self._ledger = ledger
        self._progress = progress
        self._options = options
        self._tenants: dict[str, Tenant] = {}
        self._clients: dict[int, AtlasClient] = {}  # each acts for its tenant alone
        self._lanes: dict[str, _Lane] = {}
        self.report = Report()

    async def run(self, parcels: Iterator[Parcel]) -> None:
        places = asyncio.Semaphore(self._options.in_flight)
        # The first call is not repeated for long: where nobody serves, that should be said soon.
        self._tenants = {tenant.name: tenant for tenant in await self._client.list_tenants()}
        async with asyncio.TaskGroup() as group:
            # Reading is work for the processor; in a thread it leaves the calls in flight alone.
            while (parcel := await asyncio.to_thread(next, parcels, None)) is not None:
                tenant = await self._tenant(parcel.batch.tenant)
                request_id = request_id_of(self._set.name, tenant, parcel)
                if request_id in self._ledger:
                    self._skip(parcel)
                    continue
                await places.acquire()
                send = self._send(parcel, tenant, request_id, places)
                group.create_task(send, name=f"{parcel.batch.file}-{tenant.name}-{parcel.batch.number}")

    async def _tenant(self, name: str) -> Tenant:
        if name not in self._tenants:
            quota = self._set.key_quota
            self._tenants[name] = await self._patiently(
                lambda: self._client.create_tenant(name, attribute_key_quota=quota)
            )
        return self._tenants[name]

    def _skip(self, parcel: Parcel) -> None:
        writes = len(parcel.batch.writes)
        self.report.skipped += writes
        self.report.tenants.add(parcel.batch.tenant)
        self._progress.advance(parcel.batch.bytes_read, writes)

    async def _send(self, parcel: Parcel, tenant: Tenant, request_id: str, places: asyncio.Semaphore) -> None:
        try:
            if not self._set.ordered:
                await self._store(parcel, tenant, request_id)
                return
            lane = self._lanes.setdefault(tenant.name, _Lane())
            async with lane.turn:
                if lane.broken:
                    return  # the failure before it ends the load
                lane.broken = True
                await self._store(parcel, tenant, request_id)
                lane.broken = False
        finally:
            places.release()

    async def _store(self, parcel: Parcel, tenant: Tenant, request_id: str) -> None:
        batch = parcel.batch
        written = await self._written(parcel, tenant, request_id)
        self.report.note(batch.tenant, written, f"{batch.file}, {batch.tenant}, batch {batch.number}")
        self._ledger.mark(request_id)
        self._progress.advance(batch.bytes_read, len(batch.writes))

    async def _written(self, parcel: Parcel, tenant: Tenant, request_id: str) -> Written:
        limit = self._options.call_timeout
        if (client := self._clients.get(tenant.tenant_id)) is None:
            client = self._clients[tenant.tenant_id] = self._client.for_tenant(tenant.tenant_id)
        try:
            return await self._patiently(
                lambda: client.write_columns(tenant.tenant_id, parcel.columns, request_id=request_id, timeout=limit)
            )
        except CallFailed as failure:
            batch = parcel.batch
            place = f"{batch.file}, {batch.tenant}, batch {batch.number}"
            raise Interrupted(f"{place}: {failure}. Run the same command again to go on from here.") from failure

    async def _patiently(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """Return the answer of a call that is safe to repeat. Raises its last failure when the patience is over."""
        give_up = time.monotonic() + self._options.patience.total_seconds()
        while True:
            try:
                return await call()
            except CallFailed as failure:
                if failure.code not in WORTH_WAITING or time.monotonic() >= give_up:
                    raise
                pause = max(PAUSE, failure.retry_after.total_seconds() if failure.retry_after else 0.0)
            await asyncio.sleep(min(pause, self._options.patience.total_seconds()))
