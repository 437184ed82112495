"""Everything the sink needs, opened in order and closed in the opposite one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial

from atlaskit.clickhouse.pool import ClickHouse, open_clickhouse
from atlaskit.clock import SystemClock
from atlaskit.kafka.consumer import Consumer, open_consumer
from atlaskit.kafka.states import States, open_states
from atlaskit.postgres.pool import Pool, open_pool
from atlaskit.postgres.repair import PrimaryReader
from atlaskit.postgres.terms import source_of_epoch, texts_of
from atlaskit.rpc.server import serving
from atlaskit.telemetry.tracing import open_tracing
from opentelemetry.trace import Tracer

from atlas_olap_sink.inserting import Inserter
from atlas_olap_sink.keeping import KafkaStates
from atlas_olap_sink.patience import Stopping, persist
from atlas_olap_sink.pipeline import PARTITIONS, Pipeline, Rhythm
from atlas_olap_sink.publishing import Publisher
from atlas_olap_sink.quarantine import Quarantine
from atlas_olap_sink.repairing import Repairs
from atlas_olap_sink.settings import Settings
from atlas_olap_sink.store import ClickHouseStore
from atlas_olap_sink.terms import Terms
from atlas_olap_sink.traces import Traces

SERVICE = "olap-sink"
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
        open_pool(settings.postgres_dsn, max_size=4, application_name=SERVICE) as pool,
        open_clickhouse(settings.clickhouse_url, call_limit=settings.call_limit) as clickhouse,
        serving([], settings.address, drain=settings.drain, probe_period=settings.probe_period, tracer=tracer) as port,
        asyncio.TaskGroup() as group,
    ):
        work = group.create_task(_work(settings, tracer, pool, clickhouse, stop), name="pipeline")
        try:
            yield port
        finally:
            stop.set()
            await asyncio.wait([work], timeout=settings.drain.total_seconds())
            work.cancel()


async def _work(settings: Settings, tracer: Tracer, pool: Pool, clickhouse: ClickHouse, stop: asyncio.Event) -> None:
    with suppress(Stopping):
        async with AsyncExitStack() as opened:
            source = await persist("connecting to Kafka", partial(_consumer, settings, opened), stop)
            states = await persist("connecting to Kafka", partial(_states, settings, opened), stop)
            store = ClickHouseStore(clickhouse, settings.call_limit)
            terms = Terms(partial(texts_of, pool), settings.dictionary_texts)
            rhythm = Rhythm(gather=settings.gather, rows=settings.batch_rows, commit=settings.commit_period)
            inserter = Inserter(store, terms, stop)
            pipeline = Pipeline(
                source=source,
                states=KafkaStates(states, settings.kafka_group),
                store=store,
                inserter=inserter,
                repairs=Repairs(PrimaryReader(pool), store, inserter),
                publisher=Publisher(store, partial(source_of_epoch, pool)),
                traces=Traces(tracer),
                quarantine=Quarantine(settings.quarantine_file),
                clock=SystemClock(),
                rhythm=rhythm,
                stop=stop,
            )
            await pipeline.run()


async def _consumer(settings: Settings, opened: AsyncExitStack) -> Consumer:
    consumer = open_consumer(
        settings.kafka_bootstrap, PARTITIONS, group=settings.kafka_group, client_id=f"atlas-{SERVICE}"
    )
    return await opened.enter_async_context(consumer)


async def _states(settings: Settings, opened: AsyncExitStack) -> States:
    return await opened.enter_async_context(open_states(settings.kafka_bootstrap, STATES_TOPIC))
