"""A certificate says on the wire what it says inside, and what is unknown stays unknown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from atlas.freshness.v1 import freshness_pb2 as pb
from atlaskit.errors import NotFreshEnough
from atlaskit.freshness.certificate import Certificate, PassedOver, PassedOverFor
from atlaskit.freshness.requirement import UseCase, for_use_case
from atlaskit.model import Source
from atlaskit.position import Lsn, Token
from atlaskit.rpc.certificate import certified, message_of
from atlaskit.rpc.errors import fault_of

READ = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
DASHBOARD = for_use_case(UseCase.DASHBOARD)


def test_every_part_of_a_certificate_is_sent() -> None:
    passed = tuple(PassedOver(Source.REPLICA, reason, timedelta(seconds=2)) for reason in PassedOverFor)
    message = message_of(
        Certificate(
            Source.OLAP,
            timedelta(microseconds=1_000_001),
            DASHBOARD,
            READ,
            epoch=2,
            lsn=Lsn(77),
            beat=9,
            fallbacks=passed,
            degraded=True,
            session_token=Token(2, Lsn(99)),
            replication_lag=timedelta(milliseconds=3),
            excludes_failover_loss=True,
        )
    )
    assert (message.source, message.staleness.seconds, message.staleness.nanos) == (pb.DATA_SOURCE_OLAP, 1, 1000)
    assert message.position == pb.Position(epoch=2, wal_position_bytes=77, beat=9)
    assert message.basis == pb.PROOF_BASIS_BOOT_CLOCK
    assert message.requested.use_case == pb.USE_CASE_DASHBOARD
    assert message.requested.max_staleness.seconds == 1
    assert [fallback.reason for fallback in message.fallbacks] == [1, 2, 3, 4, 5, 6]
    assert message.session_token == "a1.2.63"
    assert message.read_time.ToDatetime(tzinfo=UTC) == READ
    assert message.degraded
    assert message.excludes_failover_loss
    assert message.replication_lag.nanos == 3_000_000


def test_what_is_unknown_is_unset() -> None:
    message = message_of(
        Certificate(None, None, DASHBOARD, READ, fallbacks=(PassedOver(Source.OLAP, PassedOverFor.UNKNOWN),))
    )
    assert not any(message.HasField(name) for name in ("staleness", "position", "replication_lag"))
    assert (message.source, message.basis) == (pb.DATA_SOURCE_UNSPECIFIED, pb.PROOF_BASIS_UNSPECIFIED)
    assert not message.fallbacks[0].HasField("staleness")


def test_an_error_may_carry_either_form() -> None:
    certificate = Certificate(Source.REPLICA, None, DASHBOARD, READ)
    fault = fault_of(certified(NotFreshEnough("too old"), certificate))
    assert fault.freshness == message_of(certificate)
