"""Far more keys than a tenant may have: kept up to its quota, the rest refused by name, nobody else hurt."""

import bz2
import io
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

import asyncpg
import pytest
from atlas_cli.copies import Held, count_copies
from atlas_cli.loading import Ledger, PlainProgress, Report, load
from atlas_cli.sets import SETS, inputs_of, read_batches
from atlas_cli.sets.batches import TenantWrite
from atlas_client import AtlasClient, Source
from atlas_local.launch import Launched


def read(raw: BinaryIO, name: str) -> Iterator[TenantWrite]:
    """A walk under tenants of these tests' own: a quota is that of a tenant's registration."""
    for tenant, write in SETS["snmp"].read(raw, name):
        yield TenantWrite(tenant.replace("snmp/", "quota/"), write)


SNMP = replace(SETS["snmp"], read=read)
WHOLE = os.environ.get("ATLAS_TEST_DATA", "")  # folder of the four whole sets
PATIENCE = timedelta(minutes=2)
KEYS_OF_TENANT = """
    SELECT t.name, count(DISTINCT k.attribute_id) AS keys FROM tenants t JOIN attribute_keys k USING (tenant_id)
    WHERE starts_with(t.name, 'quota/') GROUP BY t.name
"""


def write_walk(folder: Path, enterprise: int, keys: int) -> None:
    """Write the walk of a device of this enterprise with so many keys, its sysObjectID among them."""
    lines = [f"1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.{enterprise}.1"]
    lines += [f"1.3.6.1.4.1.{enterprise}.2.{number}|65|{number}" for number in range(keys - 1)]
    (folder / f"device-{enterprise}.snmprec.bz2").write_bytes(bz2.compress("\n".join(lines).encode()))


async def loaded(client: AtlasClient, folder: Path, quota: int) -> Report:
    limited = replace(SNMP, key_quota=quota)
    with Ledger(None) as ledger:
        return await load(client, limited, inputs_of(limited, [folder]), ledger, PlainProgress(io.StringIO()))


async def keys_of_tenants(dsn: str) -> Mapping[str, int]:
    connection = await asyncpg.connect(dsn)
    try:
        return {row["name"]: row["keys"] for row in await connection.fetch(KEYS_OF_TENANT)}
    finally:
        await connection.close()


def keys_in(folder: Path) -> Mapping[str, set[str]]:
    keys: dict[str, set[str]] = {}
    for batch in read_batches(SNMP, inputs_of(SNMP, [folder])):
        keys.setdefault(batch.tenant, set()).update(write.attribute_key for write in batch.writes)
    return keys


async def test_keys_are_kept_up_to_the_quota_and_the_rest_are_refused_by_name(
    atlas: Launched, client: AtlasClient, tmp_path: Path
) -> None:
    quota, sizes = 200, {990_001: 1_700, 990_002: 40, 990_003: 200, 990_004: 201}
    for enterprise, keys in sizes.items():
        write_walk(tmp_path, enterprise, keys)
    report = await loaded(client, tmp_path, quota)
    beyond = 1_500 + 1
    assert dict(report.refused) == {"KEY_QUOTA_EXCEEDED": beyond}
    assert (report.stored, report.writes) == (sum(sizes.values()) - beyond, sum(sizes.values()))
    for example in report.examples["KEY_QUOTA_EXCEEDED"]:
        assert re.search(r"the key '1\.3\.6\.1\.4\.1\.99000[14]\.2\.\d+' would be one more than", example), example
    stack = atlas.stack
    for source in (Source.REPLICA, Source.OLAP):
        tenant = (await client.list_tenants())[0]
        await client.wait_for_position(tenant.tenant_id, report.token, source, timeout=PATIENCE)
    for enterprise, keys in sizes.items():
        held = await count_copies(
            stack.primary_dsn(), stack.replica_dsn(), f"{stack.clickhouse_url}/atlas", f"quota/{enterprise}"
        )
        kept = min(keys, quota)
        assert held == dict.fromkeys(["primary", "replica", "olap"], Held(kept, 1, 1, 1, kept))


async def test_a_key_within_the_quota_is_still_taken_after_others_were_refused(
    client: AtlasClient, tmp_path: Path
) -> None:
    write_walk(tmp_path, 990_011, 300)
    first, again = await loaded(client, tmp_path, 200), await loaded(client, tmp_path, 200)
    assert (first.stored, first.refused.total()) == (200, 100)
    # The same batches under the same ids: the first answers, refusals included.
    assert (again.stored, again.repeated, again.refused.total()) == (0, 200, 100)


@pytest.mark.skipif(not WHOLE, reason="ATLAS_TEST_DATA does not name the folder of the whole sets")
async def test_the_whole_walks_are_kept_up_to_a_quota_of_20000_keys(atlas: Launched, client: AtlasClient) -> None:
    folder, quota = Path(WHOLE) / "snmp-walks", 20_000
    wanted = {name: len(keys) for name, keys in keys_in(folder).items()}
    assert max(wanted.values()) == 169_497
    report = await loaded(client, folder, quota)
    assert set(report.refused) == {"KEY_QUOTA_EXCEEDED"}
    held = await keys_of_tenants(atlas.stack.primary_dsn())
    assert {name: held[name] for name in wanted} == {name: min(keys, quota) for name, keys in wanted.items()}
