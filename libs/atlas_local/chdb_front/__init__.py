"""ClickHouse's engine behind ClickHouse's HTTP protocol, for one machine: no users, no roles, no row policies.

`python -m atlas_local.chdb_front --port P --data DIR` serves one data directory to clickhouse-connect, dbmate and
curl as a clickhouse-server would, so that a real server is a change of address. See README.md for what it does not do.
"""
