"""The clients: writers of unique integers, readers of every kind, and the history of what they were told."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from atlas.freshness.v1 import freshness_pb2 as fpb
from atlas.ingest.v1 import ingest_service_pb2 as ipb
from atlas.ingest.v1.value_pb2 import AttributeValue
from atlas.query.v1 import query_service_pb2 as qpb
from atlaskit.errors import InvalidRequest, NotFound, NotFreshEnough, RequestIdReused, TokenLost
from atlaskit.rpc.certificate import freshness_of
from checker import history as h
from checker.sim.process import WALL_BEGIN
from checker.sim.rpc import CallFailed, call
from checker.sim.world import SPREADS, SimWorld

ENTITIES = 4  # of each tenant: the same numbers everywhere, so that a tenant's rows are told apart by the tenant alone
ATTRIBUTES = ("t", "p", "n")
COUNTED = "n"  # never deleted, so that observations of it can be counted
BASE_US = int(WALL_BEGIN.timestamp() * 1_000_000)
SECOND = 1_000_000_000
# The matrix of budgets: limit and sources, in order.
MATRIX: dict[str, tuple[int, tuple[str, ...]]] = {
    "realtime_alert": (SECOND // 10, ("primary",)),
    "dashboard": (SECOND, ("replica", "primary")),
    "operational_report": (30 * SECOND, ("replica", "primary")),
    "analytics": (300 * SECOND, ("olap", "replica")),
    "historical": (3600 * SECOND, ("olap", "lake")),
}
_USE_CASES = {name: fpb.UseCase.Value(f"USE_CASE_{name.upper()}") for name in MATRIX}
_POLICIES = {
    name: fpb.FreshnessPolicy.Value(f"FRESHNESS_POLICY_{name.upper()}") for name in ("wait", "fail_fast", "degrade")
}
_SOURCES = {name: fpb.DataSource.Value(f"DATA_SOURCE_{name.upper()}") for name in ("primary", "replica", "olap")}
_NAMES = {number: name for name, number in _SOURCES.items()} | {fpb.DATA_SOURCE_LAKE: "lake"}
_FINEST = {"primary": 0, "replica": SECOND // 2, "olap": SECOND}  # what a source can prove when all is well
_WEIGHTS = {"realtime_alert": 3, "dashboard": 4, "operational_report": 2, "analytics": 5, "historical": 1}


class Pace(NamedTuple):
    """Seconds of virtual time between two operations of one client, on average."""

    write: float
    read: float


class Asked(NamedTuple):
    """How fresh one read is asked to be."""

    use_case: str
    policy: str
    limit: int
    sources: tuple[str, ...]
    only: str | None
    token: str
    message: fpb.FreshnessRequirement


class Session:
    """A name under which answers must not go back, and the token that sees to it. Without a token a new name begins."""

    def __init__(self, name: str) -> None:
        self._name, self._times, self.token = name, 0, ""

    @property
    def name(self) -> str:
        return f"{self._name}/{self._times}"

    def keep(self, token: str) -> None:
        """Take the token of an answer or a write; an empty one, or one of another epoch, begins anew."""
        if not token or (self.token and token.split(".")[1] != self.token.split(".")[1]):
            self._times += 1
            self.token = token
        elif not self.token or int(token.split(".")[2], 16) > int(self.token.split(".")[2], 16):
            self.token = token


def key_of(entity: int, attribute: str) -> str:
    return f"{entity}.{attribute}"


class Clients:
    """All clients of a run and its history. `reading` and `writing` say whether they go on."""

    def __init__(
        self, world: SimWorld, history: h.History, chance: random.Random, pace: Pace, corrections: float
    ) -> None:
        self.world, self.history, self.chance, self.pace = world, history, chance, pace
        self.corrections = corrections
        self.process = world.processes["clients"]
        self.ingest, self.router = "ingest", "query-router"
        self.writing = self.reading = True
        self.values = 0
        self.writers = 0
        self.op_of_value: dict[int, int] = {}
        self.acked: dict[int, int] = {}  # op -> epoch of its token
        self.lost: set[int] = set()  # ops of which a failover lost what was committed
        self.loss_epoch = 0
        self.tokens: list[str] = []
        self.met: set[tuple[str, tuple[str, ...]]] = set()  # classes that met their budget since the healing
        self.tried: set[tuple[str, tuple[str, ...]]] = set()  # in the whole run
        self.token_lost: set[int] = set()  # reads whose token was of a timeline that is over
        self.claims = 0
        self.healed_from = 0  # the first op after the healing

    def now(self) -> int:
        return int(self.world.scheduler.now * 1e9)

    def start(self, writers: int, readers: int) -> None:
        for number in range(writers):
            self.process.run(self._write_on(number), f"writer-{number}")
        for number in range(readers):
            self.process.run(self._read_on(number), f"reader-{number}")

    async def _pause(self, mean: float) -> None:
        await asyncio.sleep(min(self.chance.expovariate(1 / mean), mean * 8))

    # -- writes

    async def _write_on(self, number: int) -> None:
        session = Session(f"w{number}")
        self.writers += 1
        last: dict[tuple[int, str], int] = {}
        try:
            while self.writing:
                await self._pause(self.pace.write)
                token = await self._write(number, session.name, last)
                if token:
                    session.keep(token)
                    if self.chance.random() < 0.5 and self.reading:
                        await self._read_in(session)
        finally:
            self.writers -= 1

    async def _write(self, number: int, session: str, last: dict[tuple[int, str], int]) -> str:
        tenant = self.chance.choice(tuple(SPREADS))
        deleting = last and self.chance.random() < 0.06
        items, request = self._deletes(tenant, last) if deleting else self._values(tenant, number, last)
        if not items:
            return ""
        request.tenant_id = tenant
        request.request_id = str(UUID(int=self.chance.getrandbits(128), version=4))
        op = self.history.next_op()
        self.history.append(h.WriteSent(self.now(), op, tenant, tuple(items), session))
        for item in items:
            if item.value is not None:
                self.op_of_value[item.value] = op
        method = "DeleteAttributes" if deleting else "WriteAttributes"
        return await self._delivered(op, method, request)

    def _values(self, tenant: int, number: int, last: dict[tuple[int, str], int]) -> tuple[list[h.Item], Any]:
        items, writes = [], []
        for _ in range(self.chance.choice((1, 1, 2, 4))):
            entity = self.chance.randint(1, ENTITIES)
            attribute = self.chance.choice(ATTRIBUTES)
            key = key_of(entity, attribute)
            moment = self._event_time(last.get((tenant, key)), number)
            last[tenant, key] = max(moment, last.get((tenant, key), 0))
            self.values += 1
            items.append(h.Item(key, moment, self.values))
            write = ipb.AttributeWrite(
                entity_id=entity, attribute_key=attribute, value=AttributeValue(int64_value=self.values)
            )
            write.event_time.FromMicroseconds(moment)
            writes.append(write)
        return items, ipb.WriteAttributesRequest(rows=ipb.RowBatch(writes=writes))

    def _event_time(self, before: int | None, number: int) -> int:
        # Each writer has microseconds of its own, so that two never write one observation unless they mean to.
        now = (BASE_US + int(self.world.scheduler.now * 1e6)) // 100 * 100 + number
        kind = self.chance.random()
        if before is not None and kind < self.corrections:
            return before
        return now - self.chance.randint(1, 500) * 1000_00 if kind < self.corrections + 0.1 else now

    def _deletes(self, tenant: int, last: dict[tuple[int, str], int]) -> tuple[list[h.Item], Any]:
        known = [key for owner, key in last if owner == tenant and not key.endswith(COUNTED)]
        if not known:
            return [], ipb.DeleteAttributesRequest()
        key = self.chance.choice(known)
        entity, attribute = key.split(".")
        delete = ipb.AttributeDelete(entity_id=int(entity), attribute_key=attribute)
        moment = None
        if self.chance.random() < 0.6:
            moment = last[tenant, key]
            delete.event_time.FromMicroseconds(moment)
        return [h.Item(key, moment, None)], ipb.DeleteAttributesRequest(deletes=[delete])

    async def _delivered(self, op: int, method: str, request: Any) -> str:
        for attempt in range(6):
            try:
                response, _ = await call(
                    self.process, self.world.processes[self.ingest], method, request, self.chance.choice((2.0, 5.0))
                )
            except CallFailed as failed:
                if isinstance(failed.error, InvalidRequest | RequestIdReused):
                    self.history.append(h.WriteFailed(self.now(), op, failed.error.reason))
                    return ""
                if not self.writing:
                    return ""
                await self._pause(0.1 * 2**attempt)
                continue
            return self._acknowledged(op, response)
        return ""

    def _acknowledged(self, op: int, response: Any) -> str:
        token: str = response.write_token
        if not response.stored_count:
            self.history.append(h.WriteFailed(self.now(), op, "REFUSED"))
            return ""
        self.history.append(h.WriteAcknowledged(self.now(), op, token, None, response.repeated))
        epoch = int(token.split(".")[1])
        self.acked[op] = epoch
        if op in self.lost and epoch < self.loss_epoch:
            self.history.append(h.WritesLost(self.now(), (op,), self.loss_epoch))
        self.tokens.append(token)
        del self.tokens[:-20]
        return token

    def lose(self, ops: set[int], epoch: int) -> None:
        """Note that a failover lost what these operations had committed."""
        self.lost, self.loss_epoch = ops, epoch
        known = tuple(sorted(op for op in ops if op in self.acked))
        if known:
            self.history.append(h.WritesLost(self.now(), known, epoch))

    # -- reads

    async def _read_on(self, number: int) -> None:
        session = Session(f"r{number}")
        while self.reading:
            await self._pause(self.pace.read)
            roll = self.chance.random()
            if number % 2 == 0 and roll < 0.6:
                await self._read_in(session)
            elif roll < 0.8:
                await self._read("", self.chance.choice(self.tokens) if self.tokens and roll < 0.65 else "")
            elif roll < 0.93:
                await self._read_history()
            else:
                await self._count()

    def asked(self, use_case: str, sources: tuple[str, ...]) -> Asked:
        """A question of a class that has not met its budget yet."""
        limit, usual = MATRIX[use_case]
        message = fpb.FreshnessRequirement(use_case=_USE_CASES[use_case], policy=_POLICIES["fail_fast"])
        only = None if sources == usual else sources[0]
        if only is not None:
            message.only_source = _SOURCES[only]
        return Asked(use_case, "fail_fast", limit, sources, only, "", message)

    async def probe(self) -> None:
        """Ask once for each class that was ever asked for and has not met its budget since the healing."""
        for use_case, sources in sorted(self.tried - self.met):
            await self._read("", "", self.asked(use_case, sources))

    def _asked(self, token: str, *, session: bool) -> Asked:
        chance = self.chance
        use_case = chance.choices(tuple(_WEIGHTS), tuple(_WEIGHTS.values()))[0]
        limit, sources = MATRIX[use_case]
        message = fpb.FreshnessRequirement(use_case=_USE_CASES[use_case])
        if chance.random() < 0.15:
            limit = chance.choice((50, 200, 500, 900, 3000, 20_000)) * 1_000_000
            use_case = next(name for name, (most, _) in MATRIX.items() if limit <= most)
            sources = MATRIX[use_case][1]
            message = fpb.FreshnessRequirement()
            message.max_staleness.FromTimedelta(timedelta(microseconds=limit // 1000))
        policy = chance.choices(("wait", "fail_fast", "degrade"), (2, 4, 3))[0]
        message.policy = _POLICIES[policy]
        only = chance.choice(("primary", "replica", "olap")) if chance.random() < 0.2 else None
        if only is not None and limit < _FINEST[only]:
            only = None  # fences, beats and polls are farther apart than that
        if only is not None:
            sources = (only,)
            message.only_source = _SOURCES[only]
        message.at_least_token = token
        message.want_session_token = session
        if policy == "wait":
            message.max_wait.FromTimedelta(timedelta(milliseconds=chance.choice((50, 300, 1000))))
        return Asked(use_case, policy, limit, sources, only, token, message)

    async def _read_in(self, session: Session) -> None:
        token = await self._read(session.name, session.token)
        if token is not None:
            session.keep(token)

    async def _read(self, session: str, token: str, asked: Asked | None = None) -> str | None:
        """Read the current values of an entity; return the session token of the answer, None if there is no answer."""
        tenant = self.chance.choice(tuple(SPREADS))
        entity = self.chance.randint(1, ENTITIES)
        attributes = self.chance.sample(ATTRIBUTES, self.chance.randint(1, len(ATTRIBUTES)))
        asked = asked or self._asked(token, session=bool(session))
        request = qpb.GetEntityRequest(
            tenant_id=tenant, entity_id=entity, attribute_keys=attributes, freshness=asked.message
        )
        keys = tuple(key_of(entity, attribute) for attribute in attributes)
        op = self._sent(tenant, h.CURRENT, keys, asked, session)
        answer = await self._answered(op, "GetEntity", request, asked)
        if answer is None:
            return "" if op in self.token_lost else None
        response, freshness = answer
        seen = tuple(
            h.Seen(key_of(entity, one.attribute_key), one.event_time.ToMicroseconds(), one.value.int64_value)
            for one in (response.entity.values if response is not None else ())
        )
        self._record(op, asked, freshness, seen)
        session_token: str = freshness.session_token
        return session_token

    async def _read_history(self) -> None:
        tenant, entity = self.chance.choice(tuple(SPREADS)), self.chance.randint(1, ENTITIES)
        attribute = self.chance.choice(ATTRIBUTES)
        asked = self._asked("", session=False)
        request = qpb.GetAttributeHistoryRequest(
            tenant_id=tenant, entity_id=entity, attribute_key=attribute, freshness=asked.message, page_size=10_000
        )
        start = None
        if self.chance.random() < 0.5:
            start = BASE_US + int((self.world.scheduler.now - 3) * 1e6)
            request.start_time.FromMicroseconds(start)
        op = self._sent(tenant, h.HISTORY, (key_of(entity, attribute),), asked, "", start)
        answer = await self._answered(op, "GetAttributeHistory", request, asked)
        if answer is not None:
            response, freshness = answer
            observations = response.observations if response is not None else ()
            key = key_of(entity, attribute)
            seen = tuple(h.Seen(key, one.event_time.ToMicroseconds(), one.value.int64_value) for one in observations)
            self._record(op, asked, freshness, seen)

    async def _count(self) -> None:
        tenant = self.chance.choice(tuple(SPREADS))
        asked = self._asked("", session=False)
        function = qpb.Aggregation(function=qpb.AGGREGATE_FUNCTION_COUNT)
        request = qpb.AggregateAttributeRequest(
            tenant_ids=[tenant], attribute_key=COUNTED, aggregations=[function], freshness=asked.message
        )
        keys = tuple(key_of(entity, COUNTED) for entity in range(1, ENTITIES + 1))
        op = self._sent(tenant, h.COUNT, keys, asked, "")
        answer = await self._answered(op, "AggregateAttribute", request, asked)
        if answer is not None:
            response, freshness = answer
            rows = response.groups[0].results[0].count if response is not None else 0
            self._record(op, asked, freshness, (), rows)

    def _sent(
        self, tenant: int, shape: str, keys: tuple[str, ...], asked: Asked, session: str, start: int | None = None
    ) -> int:
        op = self.history.next_op()
        self.tried.add((asked.use_case, asked.sources))
        self.history.append(
            h.ReadSent(
                self.now(),
                op,
                tenant,
                shape,
                keys,
                asked.use_case,
                asked.policy,
                asked.limit,
                asked.sources,
                asked.token,
                session,
                start,
            )
        )
        return op

    async def _answered(self, op: int, method: str, request: Any, asked: Asked) -> tuple[Any, fpb.Freshness] | None:
        patience = self.chance.choice((0.5, 2.0))
        try:
            response, _ = await call(self.process, self.world.processes[self.router], method, request, patience)
        except CallFailed as failed:
            error = failed.error
            freshness = None if error is None else freshness_of(error)
            if isinstance(error, NotFound) and freshness is not None:
                return None, freshness
            if isinstance(error, TokenLost):
                self.tokens.clear()
                self.token_lost.add(op)
            self.history.append(
                h.ReadRefused(
                    self.now(),
                    op,
                    failed.code if error is None else error.reason,
                    isinstance(error, NotFreshEnough),
                    () if freshness is None else passed_over(freshness),
                )
            )
            return None
        return response, response.freshness

    def _record(
        self, op: int, asked: Asked, freshness: fpb.Freshness, seen: Sequence[h.Seen], rows: int | None = None
    ) -> None:
        claim = freshness.staleness.ToNanoseconds() if freshness.HasField("staleness") else None
        placed = freshness.HasField("position")
        self.history.append(
            h.ReadAnswered(
                self.now(),
                op,
                _NAMES[freshness.source],
                claim,
                tuple(seen),
                freshness.position.epoch if placed else None,
                freshness.position.wal_position_bytes if placed else None,
                (freshness.position.beat or None) if placed else None,
                freshness.degraded,
                freshness.excludes_failover_loss,
                passed_over(freshness),
                freshness.session_token,
                rows,
            )
        )
        self.claims += claim is not None
        if claim is not None and claim <= asked.limit and not freshness.degraded and op >= self.healed_from:
            self.met.add((asked.use_case, asked.sources))


def passed_over(freshness: fpb.Freshness) -> tuple[h.PassedOver, ...]:
    return tuple(
        h.PassedOver(
            _NAMES.get(one.source, "?"),
            fpb.FallbackReason.Name(one.reason).removeprefix("FALLBACK_REASON_").lower(),
            one.staleness.ToNanoseconds() if one.HasField("staleness") else None,
        )
        for one in freshness.fallbacks
    )
