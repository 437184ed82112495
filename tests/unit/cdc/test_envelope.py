"""Every event of a partition is a row, a beat or a fault; nothing is skipped."""

from __future__ import annotations

from uuid import uuid4

import pytest
from atlaskit.cdc.envelope import looks_like_a_beat, read_segment
from atlaskit.cdc.ledger import ledger_row_from
from atlaskit.cdc.topics import HISTORY
from doubles.change_events import KafkaRecord, beat_row, event, history_row

MONITOR = uuid4()


def test_rows_and_beats_are_told_apart_with_their_offsets() -> None:
    segment = read_segment(
        HISTORY,
        2,
        [
            KafkaRecord(10, event("entity_attributes", history_row(1, 2))),
            KafkaRecord(12, event("entity_attributes_beat", beat_row(MONITOR, 4, 2), "u")),
            KafkaRecord(13, event("entity_attributes", history_row(2, 2))),
        ],
    )
    assert segment.offsets == (10, 13)
    assert [(beat.number, beat.offset, beat.lsn) for beat in segment.beats] == [(4, 12, 1004)]
    assert (segment.faults, segment.end) == ((), 14)


def test_a_beat_is_known_without_decoding_it() -> None:
    assert looks_like_a_beat(KafkaRecord(12, event("entity_attributes_beat", beat_row(MONITOR, 4, 2), "u")))
    assert not looks_like_a_beat(KafkaRecord(10, event("entity_attributes", history_row(1, 2))))
    assert not looks_like_a_beat(KafkaRecord(11, None))


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "DELETED"),
        (event("entity_attributes", history_row(1), "d"), "DELETED"),
        (b"{", "UNDECODABLE"),
        (b"[]", "UNDECODABLE"),
        (event("entity_attributes", history_row(1), "t"), "UNDECODABLE"),
        (event("entity_attributes", history_row(1, 3)), "WRONG_PARTITION"),
        (event("entities", history_row(1)), "UNKNOWN_TABLE"),
        (event("entity_attributes_beat", {"shard": 0}), "UNDECODABLE"),
    ],
)
def test_what_is_no_row_and_no_beat_is_a_fault_with_its_reason(value: bytes | None, code: str) -> None:
    segment = read_segment(HISTORY, 0, [KafkaRecord(5, value)])
    assert [(fault.offset, fault.code) for fault in segment.faults] == [(5, code)]
    assert (segment.rows, segment.beats, segment.end) == ((), (), 6)


def test_a_ledger_row_tells_its_entries_and_its_traces() -> None:
    row = ledger_row_from(
        {
            "writer": 281474976710657,
            "sequence": 3,
            "transaction_number": 9,
            "row_version": (1 << 55) + (9 << 17),
            "entries": '[["entity_attributes", 4, 2, "-5"], ["entities", 4, 1, "7"]]',
            "traceparents": '["00-1-2-01"]',
            "created_at": "1970-01-01T00:00:01.5Z",
        }
    )
    assert (row.rows, row.created_us, row.traceparents) == (3, 1_500_000, ("00-1-2-01",))
    assert row.entries[0].version_sum == -5
