"""What the sink shows of its shards: by table, and an age only where every shard has one."""

from __future__ import annotations

from dataclasses import replace

from atlas_olap_sink.advance import Progress, ShardState, froze, state_of
from atlas_olap_sink.audit import Shard
from atlas_olap_sink.metrics import by_state, oldest
from atlaskit.kafka.consumer import Partition

ROWS = [Partition("atlas.entity_attributes", number) for number in range(3)]
LEDGER = Partition("atlas.ingest_batches", 0)
DONE = Progress(position=9, resume=9)


def test_a_table_is_as_old_as_its_oldest_shard_and_of_unknown_age_with_one_that_has_none() -> None:
    assert oldest({ROWS[0]: 1.0, ROWS[1]: 3.0, ROWS[2]: 2.0, LEDGER: None}) == {("entity_attributes",): 3.0}
    assert oldest({ROWS[0]: 1.0, ROWS[1]: None, LEDGER: 0.5}) == {("ingest_batches",): 0.5}


def test_shards_are_counted_by_state_and_a_state_without_any_is_0() -> None:
    counted = by_state({ROWS[0]: ShardState.FROZEN, ROWS[1]: ShardState.CLAIMING, ROWS[2]: ShardState.CLAIMING})
    assert counted["entity_attributes", "claiming"] == 2
    assert counted["entity_attributes", "frozen"] == 1
    assert {state for _, state in counted} == {state.value for state in ShardState}
    assert sum(counted.values()) == 3


def test_of_what_stands_in_the_way_the_longest_is_told() -> None:
    shard = Shard(("entity_attributes", 0))
    assert state_of(DONE, shard) is ShardState.CLAIMING
    shard.unbalanced = True
    assert state_of(DONE, shard) is ShardState.UNBALANCED
    assert state_of(replace(DONE, position=3), shard) is ShardState.READING_AGAIN
    shard.owe([5])
    assert state_of(replace(DONE, position=3), shard) is ShardState.OWING
    assert state_of(froze(replace(DONE, owes="lost"), "a delete"), shard) is ShardState.FROZEN
