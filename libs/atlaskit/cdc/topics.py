"""The topics of the connector, each with its number of partitions. More partitions would mean a new CDC epoch."""

from __future__ import annotations

from dataclasses import dataclass

from atlaskit.model import SHARD_COUNT

BEAT_SUFFIX = "_beat"


@dataclass(frozen=True, slots=True)
class Topic:
    """One captured table, its topic, and its partitions: shard s is on partition s."""

    table: str
    partitions: int

    @property
    def name(self) -> str:
        """Return the topic that holds the table's rows and its beats."""
        return f"atlas.{self.table}"


ENTITIES = Topic("entities", SHARD_COUNT)
HOT_ATTRIBUTES = Topic("entity_hot_attributes", SHARD_COUNT)
HISTORY = Topic("entity_attributes", SHARD_COUNT)
LEDGER = Topic("ingest_batches", 1)
ATTRIBUTE_KEYS = Topic("attribute_keys", 1)
ASSET_TYPES = Topic("asset_types", 1)

CAPTURED = (ENTITIES, HOT_ATTRIBUTES, HISTORY, LEDGER, ATTRIBUTE_KEYS, ASSET_TYPES)
BY_NAME = {topic.name: topic for topic in CAPTURED}
