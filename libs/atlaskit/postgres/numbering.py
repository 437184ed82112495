"""Batches with the ids of their dictionaries and the row versions of their items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from atlaskit.batch import Integers, WriteBatch
from atlaskit.model import RowVersion
from atlaskit.postgres.dictionaries import Dictionary, Name
from atlaskit.postgres.history import Numbered, shards_of_ids


def numbered_of(epoch: int, number: int, batches: Sequence[WriteBatch], ids: Mapping[Name, int]) -> list[Numbered]:
    """Return the batches with their ids, and their items numbered through in delivery order."""
    numbered, first = [], RowVersion(epoch, number, 0).packed()
    for batch in batches:
        tenant = batch.tenant
        owner = tenant.tenant_id
        attributes = [ids.get(Name(Dictionary.ATTRIBUTE_KEYS, owner, key), 0) for key in batch.attribute_keys]
        assets = [0, *(ids.get(Name(Dictionary.ASSET_TYPES, owner, text), 0) for text in batch.asset_types)]
        sources = [0, *(ids.get(Name(Dictionary.SOURCE_TYPES, 0, text), 0) for text in batch.source_types)]
        numbered.append(
            Numbered(
                batch=batch,
                attribute_ids=np.array(attributes, np.int64),
                asset_type_ids=np.array(assets, np.int64)[batch.asset_type_indexes],
                source_type_ids=np.array(sources, np.int64),
                shards=shards_of_ids(owner, tenant.spread, batch.entity_ids),
                versions=first + np.arange(len(batch.states), dtype=np.int64),
            )
        )
        first += len(batch.states)
    return numbered


def with_asset_types(one: Numbered, stored: Integers) -> Numbered:
    """Return the batch with the stored asset type, by entity, of each item that names none."""
    given = one.asset_type_ids
    return replace(one, asset_type_ids=np.where(given > 0, given, stored[one.batch.entity_indexes]))
