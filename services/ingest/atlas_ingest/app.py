"""Opens what `ingest` is made of, in order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from atlaskit.postgres.hot_promotion import HotAttributes
from atlaskit.postgres.pool import Pool, open_pool
from atlaskit.postgres.store import PostgresStore
from atlaskit.postgres.tenants import Tenants
from atlaskit.postgres.writer import open_writer
from atlaskit.rpc.client import open_channel
from atlaskit.rpc.server import serving
from atlaskit.telemetry.metrics import open_metrics
from atlaskit.telemetry.tracing import open_tracing

from atlas_ingest.acks import Acknowledgements, RouterCoverage
from atlas_ingest.admission import Admission, AdmissionLimits
from atlas_ingest.backfilling import Pace, backfilling
from atlas_ingest.batcher import group_commit
from atlas_ingest.catalogue import CatalogueServicer
from atlas_ingest.fair_queue import QueueLimits
from atlas_ingest.gathering import Limits
from atlas_ingest.handlers import services_of
from atlas_ingest.metrics import IngestMetrics, queue_gauges
from atlas_ingest.servicer import IngestServicer
from atlas_ingest.settings import CopyWay, PrimaryMode, Settings
from atlas_ingest.tenants import TenantServicer
from atlas_ingest.token_bucket import Allowance

SERVICE = "ingest"


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[int]:
    """Yield the port that `ingest` is served on.

    It starts without its store too, and answers UNAVAILABLE until that is there.
    On exit calls are drained first, then the queue is committed, then connections close."""
    allowance = Allowance(settings.tenant_rows_per_second, settings.tenant_burst_rows)
    quorum = settings.primary_mode is PrimaryMode.QUORUM
    staged = settings.copy_way is CopyWay.STAGED
    store = PostgresStore(
        settings.postgres_dsn, quorum=quorum, staged=staged, names=settings.names, known=settings.known_entities
    )
    async with (
        open_tracing(SERVICE, settings) as tracer,
        open_metrics(SERVICE, settings) as meter,
        open_pool(settings.postgres_dsn, max_size=settings.lookups, application_name="atlas-ingest-lookup") as pool,
        AsyncExitStack() as stack,
    ):
        metrics = IngestMetrics(meter)
        commit = await stack.enter_async_context(
            group_commit(store.writer, settings.writers, _limits(settings), tracer, metrics)
        )
        queue_gauges(meter, commit.queue)
        tenants = Tenants(pool)
        admission = Admission(AdmissionLimits(settings.in_flight_bytes, allowance), commit.queue, commit.rate)
        coverage = None
        if settings.query_router:
            coverage = RouterCoverage(await stack.enter_async_context(open_channel(settings.query_router)))
        acks = Acknowledgements(coverage, settings.ack_waiters)
        ingest = IngestServicer(tenants, commit, admission, acks, metrics=metrics)
        catalogue = await stack.enter_async_context(_catalogue(settings, pool, tenants))
        services = services_of(ingest, TenantServicer(tenants), catalogue)
        async with serving(
            services,
            settings.address,
            drain=settings.drain,
            probe_period=settings.probe_period,
            tracer=tracer,
            meter=meter,
            identity=settings.identity,
        ) as port:
            yield port


def _limits(settings: Settings) -> Limits:
    return Limits(
        queue=QueueLimits(settings.queue_rows, settings.queue_bytes, settings.tenant_share),
        queue_age=settings.queue_age,
        group_rows=settings.group_rows,
        gather=settings.gather,
        transaction=settings.transaction_limit,
    )


@asynccontextmanager
async def _catalogue(settings: Settings, pool: Pool, tenants: Tenants) -> AsyncIterator[CatalogueServicer]:
    # With the task that fills the slots of what is promoted.
    quorum = settings.primary_mode is PrimaryMode.QUORUM
    opener = partial(open_writer, settings.postgres_dsn, quorum=quorum, application_name="atlas-ingest-backfill")
    pace = Pace(settings.backfill_entities, settings.backfill_rest, settings.backfill_poll)
    async with backfilling(pool, opener, pace) as backfill:
        yield CatalogueServicer(tenants, HotAttributes(pool, settings.hot_attributes), backfill.wake)
