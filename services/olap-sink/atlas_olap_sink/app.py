"""Everything the sink needs, opened in order and closed in the opposite one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import NoReturn

import structlog
from atlaskit.cdc.topics import HISTORY
from atlaskit.clickhouse.pool import ClickHouse, open_clickhouse
from atlaskit.clock import SystemClock
from atlaskit.errors import AtlasError
from atlaskit.kafka.consumer import Consumer, open_consumer
from atlaskit.kafka.membership import Membership, open_membership
from atlaskit.kafka.states import States, open_states
from atlaskit.postgres.pool import Pool, open_pool
from atlaskit.postgres.repair import PrimaryReader
from atlaskit.postgres.terms import source_of_epoch, texts_of
from atlaskit.rpc.server import serving
from atlaskit.telemetry.metrics import open_metrics
from atlaskit.telemetry.tracing import open_tracing
from opentelemetry.trace import Tracer

from atlas_olap_sink.inserting import Inserter
from atlas_olap_sink.keeping import KafkaStates, proven_writers
from atlas_olap_sink.metrics import SinkMetrics
from atlas_olap_sink.patience import Stopping, persist
from atlas_olap_sink.pipeline import PARTITIONS, Pipeline, Rhythm
from atlas_olap_sink.publishing import Publisher
from atlas_olap_sink.quarantine import Quarantine
from atlas_olap_sink.repairing import Repairs
from atlas_olap_sink.settings import Settings
from atlas_olap_sink.sharing import EVERY_SHARD, partitions_of
from atlas_olap_sink.store import ClickHouseStore
from atlas_olap_sink.terms import Terms
from atlas_olap_sink.traces import Traces

log = structlog.get_logger(__name__)

SERVICE = "olap-sink"
RETIRE_PERIOD = 60.0  # seconds between two looks for writers that can leave the vector
STATES_TOPIC = "atlas.olap_audit"


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[int]:
    """Yield the bound port while the sink works.

    It serves health from the start: a store that is away makes it wait, not unready. On exit the batch in flight is
    finished, published and committed, within `drain`; after that it is cut off, and read again at the next start.
    """
    stop = asyncio.Event()
    async with (
        open_tracing(SERVICE, settings) as tracer,
        open_metrics(SERVICE, settings) as meter,
        open_pool(settings.postgres_dsn, max_size=4, application_name=SERVICE) as pool,
        open_clickhouse(settings.clickhouse_url, call_limit=settings.call_limit) as clickhouse,
        serving([], settings.address, drain=settings.drain, probe_period=settings.probe_period, tracer=tracer) as port,
        asyncio.TaskGroup() as group,
    ):
        parts = _Parts(settings, tracer, SinkMetrics(meter), pool, clickhouse)
        work = group.create_task(_work(parts, stop), name="pipeline")
        try:
            yield port
        finally:
            stop.set()
            await asyncio.wait([work], timeout=settings.drain.total_seconds())
            work.cancel()


async def _work(parts: _Parts, stop: asyncio.Event) -> None:
    with suppress(Stopping):
        async with AsyncExitStack() as opened:
            member = await persist("joining the group", partial(_joined, parts.settings, opened), stop)
            while not stop.is_set():
                # Until the group has told, every shard: to do a work twice harms nothing, to leave it undone does.
                shards = member.numbers if member else None
                await _until_changed(
                    member, shards, stop, partial(parts.run, EVERY_SHARD if shards is None else shards)
                )


async def _joined(settings: Settings, opened: AsyncExitStack) -> Membership | None:
    if not settings.share:
        return None
    joining = open_membership(
        settings.kafka_bootstrap, HISTORY.name, group=f"{settings.kafka_group}-members", client_id=f"atlas-{SERVICE}"
    )
    return await opened.enter_async_context(joining)


async def _until_changed(
    member: Membership | None,
    shards: frozenset[int] | None,
    stop: asyncio.Event,
    work: Callable[[asyncio.Event], Awaitable[None]],
) -> None:
    """Work until told to stop or until the process has other shards; the batch in flight is finished."""
    turn = asyncio.Event()

    async def watch() -> None:
        async with asyncio.TaskGroup() as waiting:
            ends = [waiting.create_task(stop.wait(), name="stop")]
            if member is not None:
                ends.append(waiting.create_task(member.changed(shards), name="share"))  # type: ignore[arg-type]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            turn.set()
            for end in ends:
                end.cancel()

    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch(), name="watch")
        await work(turn)
        watching.cancel()


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a pipeline is made of."""

    settings: Settings
    tracer: Tracer
    metrics: SinkMetrics
    pool: Pool
    clickhouse: ClickHouse

    async def run(self, shards: Collection[int], stop: asyncio.Event) -> None:
        """Run a pipeline over these shards until told to stop."""
        log.info("shards of this process", shards=sorted(shards))
        if not shards:
            self.metrics.observe(None, lambda: 0)
            await stop.wait()
            return
        with suppress(Stopping):
            while not stop.is_set():
                try:
                    async with AsyncExitStack() as opened:
                        await self._connected(shards, opened, stop)
                except AtlasError as error:
                    log.warning("a connection to Kafka was not closed as it should be", problem=str(error))

    async def _connected(self, shards: Collection[int], opened: AsyncExitStack, stop: asyncio.Event) -> None:
        source = await persist("connecting to Kafka", partial(self._consumer, shards, opened), stop)
        states = await persist("connecting to Kafka", partial(self._states, opened), stop)
        async with asyncio.TaskGroup() as group:
            retiring = group.create_task(self._retire(KafkaStates(states, self.settings.kafka_group)))
            await self._pipeline(source, states, shards, stop).run()
            retiring.cancel()

    async def _retire(self, states: KafkaStates) -> NoReturn:
        """Take writers out of the vector now and then that are gone and proven by every process of the group."""
        primary = PrimaryReader(self.pool)
        while True:
            await asyncio.sleep(RETIRE_PERIOD)
            try:
                kept, _ = await states.load()
                if retired := await primary.retire_writers(proven_writers(kept, PARTITIONS)):
                    log.info("writers left the vector", writers=len(retired))
            except AtlasError as error:
                log.warning("no writer left the vector, the next time will do", problem=str(error))

    def _pipeline(self, source: Consumer, states: States, shards: Collection[int], stop: asyncio.Event) -> Pipeline:
        settings, metrics = self.settings, self.metrics
        store = ClickHouseStore(self.clickhouse, settings.call_limit)
        inserter = Inserter(store, Terms(partial(texts_of, self.pool), settings.dictionary_texts), stop, metrics)
        repairs = Repairs(PrimaryReader(self.pool), store, inserter, metrics)
        pipeline = Pipeline(
            source=source,
            states=KafkaStates(states, settings.kafka_group),
            store=store,
            inserter=inserter,
            repairs=repairs,
            publisher=Publisher(store, partial(source_of_epoch, self.pool)),
            traces=Traces(self.tracer),
            quarantine=Quarantine(settings.quarantine_file, metrics),
            clock=SystemClock(),
            rhythm=Rhythm(
                gather=settings.gather,
                rows=settings.batch_rows,
                commit=settings.commit_period,
                silence=settings.kafka_silence,
            ),
            stop=stop,
            partitions=partitions_of(shards),
            metrics=metrics,
        )
        metrics.observe(pipeline, lambda: repairs.waiting)
        return pipeline

    async def _consumer(self, shards: Collection[int], opened: AsyncExitStack) -> Consumer:
        settings = self.settings
        consumer = open_consumer(
            settings.kafka_bootstrap,
            partitions_of(shards),
            group=settings.kafka_group,
            client_id=f"atlas-{SERVICE}",
        )
        return await opened.enter_async_context(consumer)

    async def _states(self, opened: AsyncExitStack) -> States:
        return await opened.enter_async_context(open_states(self.settings.kafka_bootstrap, STATES_TOPIC))
