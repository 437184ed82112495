"""Settings of every read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

# The partition is a function of the key, so versions of a row never meet across partitions.
SETTINGS: Final[Mapping[str, Any]] = {
    "do_not_merge_across_partitions_select_final": 1,
    "join_use_nulls": 0,
    # A view that reads a table twice sees the same rows twice.
    "enable_shared_storage_snapshot_in_query": 1,
}
