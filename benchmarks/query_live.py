"""Writes through ingest while others read: corrections of the loaded history, and observations later than it."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta

import numpy as np
from atlas.freshness.v1 import freshness_pb2 as fpb
from atlas.ingest.v1 import ingest_service_pb2 as pb
from atlas.ingest.v1 import ingest_service_pb2_grpc as pb_grpc
from atlas.ingest.v1.value_pb2 import VALUE_TYPE_INT64
from atlas.query.v1 import query_service_pb2 as query
from atlas.query.v1 import query_service_pb2_grpc as query_grpc
from grpc import aio

from benchmarks.hot_load import ASSET_TYPE, TODAY
from benchmarks.query_load import Site

BATCH = 500
CORRECTED = "smart_194_raw"
LATER = TODAY + timedelta(hours=1)  # after every loaded observation
RATE = 5_000  # values a second


class Live:
    """Writes of one attribute of the drives."""

    def __init__(
        self, stub: pb_grpc.IngestServiceAsyncStub, router: query_grpc.QueryServiceAsyncStub, site: Site
    ) -> None:
        self._stub = stub
        self._router = router
        self._site = site
        self._random = np.random.default_rng(11)
        self.written, self.token = 0, ""

    async def correct(self, values: int) -> None:
        """Write so many values of the day before the newest again, with others: each replaces one that is there."""
        yesterday = int((TODAY - timedelta(days=1)).timestamp()) * 1_000_000
        for _ in range(0, values, BATCH):
            await self._write(yesterday)

    async def observe(self, over: asyncio.Event) -> None:
        """Write later observations at the rate of the load until told to end."""
        loop = asyncio.get_running_loop()
        begun, batch = loop.time(), 0
        later = int(LATER.timestamp()) * 1_000_000
        while not over.is_set():
            await self._write(later + batch)
            batch += 1
            await asyncio.sleep(max(begun + batch * BATCH / RATE - loop.time(), 0.0))

    async def arrived(self) -> None:
        """Return once ClickHouse has all that was written."""
        request = query.WaitForPositionRequest(
            tenant_id=self._site.place.tenant_id, token=self.token, source=fpb.DATA_SOURCE_OLAP
        )
        await self._router.WaitForPosition(request, timeout=120)

    async def _write(self, event_time_us: int) -> None:
        entities = self._random.choice(self._site.entities, BATCH, replace=False)
        columns = pb.ColumnBatch(
            entity_ids=entities.tolist(),
            asset_types=[ASSET_TYPE] * BATCH,
            attribute_keys=[CORRECTED],
            entity_indexes=range(BATCH),
            attribute_indexes=[0] * BATCH,
            event_times_us=[event_time_us] * BATCH,
            value_types=[VALUE_TYPE_INT64] * BATCH,
            int64_values=self._random.integers(20, 40, BATCH).tolist(),
        )
        request = pb.WriteAttributesRequest(
            tenant_id=self._site.place.tenant_id, request_id=str(uuid.uuid4()), columns=columns
        )
        answer = await self._stub.WriteAttributes(request, timeout=30)
        if answer.refused_count:
            raise RuntimeError(f"{answer.refused_count} of {BATCH} values were refused: {answer.refusals[0]}")
        self.written += BATCH
        self.token = answer.write_token


def open_live(channel: aio.Channel, router: query_grpc.QueryServiceAsyncStub, site: Site) -> Live:
    """Return what writes to the ingest service of a channel."""
    stub: pb_grpc.IngestServiceAsyncStub = pb_grpc.IngestServiceStub(channel)
    return Live(stub, router, site)
