"""What an event costs to decode, beside what its JSON costs to read: the machine's speed does not count."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import orjson
import pytest
from atlas_olap_sink.decoding import decode
from atlaskit.cdc.envelope import read_segment
from atlaskit.cdc.topics import ENTITIES, HISTORY, Topic
from doubles.change_events import KafkaRecord, event, history_row

EVENTS, ROUNDS = 4_000, 7
# A decoded event costs less than this many times what orjson takes to read it: twice what it cost (2.9) when this was
# written. It has at most so many bytes.
MOST, BYTES = 6.0, 700


def history(number: int) -> dict[str, object]:
    kinds = (
        {"value_type": 1, "value_int": number},
        {"value_type": 2, "value_int": None, "value_uint": str(2**63 + number)},
        {"value_type": 3, "value_int": None, "value_double": number / 7},
        {"value_type": 5, "value_int": None, "value_text": f"état {number}"},
    )
    return history_row(number + 1, **kinds[number % len(kinds)])


def entity(number: int) -> dict[str, object]:
    return {
        "tenant_id": 1,
        "entity_id": number,
        "shard": 0,
        "entity_key": f"device/{number}",
        "asset_type_id": 3,
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00.000001Z",
        "row_version": number + 1,
        "deleted": False,
    }


def least_cpu(work: Callable[[], object]) -> float:
    """Seconds of this process in the quickest of some rounds: what other work does to it is in the slower ones."""
    taken = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return min(taken)


def decoded(topic: Topic, records: Sequence[KafkaRecord]) -> object:
    batch = decode([read_segment(topic, 0, records)])
    assert batch.rows == len(records)
    return batch


@pytest.mark.parametrize(("topic", "row"), [(HISTORY, history), (ENTITIES, entity)], ids=["history", "entities"])
def test_an_event_is_decoded_at_a_bounded_multiple_of_reading_its_json(
    topic: Topic, row: Callable[[int], dict[str, object]]
) -> None:
    values = [event(topic.table, row(number)) for number in range(EVENTS)]
    records = [KafkaRecord(offset, value) for offset, value in enumerate(values)]
    assert max(map(len, values)) <= BYTES
    ratio = least_cpu(lambda: decoded(topic, records)) / least_cpu(lambda: [orjson.loads(value) for value in values])
    assert ratio < MOST, f"{topic.table}: {ratio:.1f} times the reading of its JSON"
