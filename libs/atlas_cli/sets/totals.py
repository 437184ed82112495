"""What a set holds in all, counted from its batches; and what the four whole sets must show."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from atlas_cli.sets.batches import Batch


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts of a set. `values`: distinct identities (tenant, entity, key, event time); `delivered`: with repeats."""

    delivered: int
    values: int
    entities: int
    tenants: int
    keys: int


WHOLE = {
    "backblaze": Totals(5_186_712, 5_186_712, 22_048, 6, 8),
    "azure": Totals(2_399_351, 2_399_351, 6, 2, 107),
    "metar": Totals(451_899, 409_584, 5_302, 22, 41),
    "snmp": Totals(616_226, 616_206, 26, 22, 568_111),
    "snmp-rows": Totals(616_226, 616_206, 342_514, 22, 13_097),
}
# Where the whole sets are expected inside the folder that holds them all; `snmp-rows` reads the files of `snmp`.
FOLDERS = {"backblaze": "backblaze-2013", "azure": "azure-vm-noise", "metar": "metar", "snmp": "snmp-walks"}


def count(batches: Iterable[Batch]) -> Totals:
    """Return the totals of these batches. Identities are counted by a hash of 64 bits: 8 bytes a delivery, not more."""
    identities = array("q")
    entities: set[tuple[str, str]] = set()
    keys: set[str] = set()
    tenants: set[str] = set()
    for batch in batches:
        tenant = batch.tenant
        tenants.add(tenant)
        for write in batch.writes:
            identities.append(hash((tenant, write.entity_key, write.attribute_key, write.event_time_us)))
            entities.add((tenant, write.entity_key))
            keys.add(write.attribute_key)
    distinct = len(np.unique(np.frombuffer(identities, np.int64))) if identities else 0
    return Totals(len(identities), distinct, len(entities), len(tenants), len(keys))
