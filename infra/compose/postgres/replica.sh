#!/bin/bash
# A streaming replica: copied from the primary when its data directory is new, then it follows. SOURCE is host:port.
set -euo pipefail
export PGPASSFILE="$PGDATA.pgpass"
mkdir -p "$(dirname "$PGDATA")"
(umask 077 && printf '*:*:*:postgres:%s\n' "$(cat /run/secrets/atlas/password)" > "$PGPASSFILE")
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    rm -rf "$PGDATA.partial"
    # A slot left by a copy that was cut off would refuse this one its name.
    psql -w -h "${SOURCE%:*}" -p "${SOURCE#*:}" -U postgres -d postgres -v ON_ERROR_STOP=1 -q -c \
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = 'atlas_replica' AND NOT active"
    pg_basebackup -w -h "${SOURCE%:*}" -p "${SOURCE#*:}" -U postgres -D "$PGDATA.partial" \
        -X stream -C -S atlas_replica --checkpoint=fast
    touch "$PGDATA.partial/standby.signal"
    chmod 0700 "$PGDATA.partial"
    rm -rf "$PGDATA" && mv "$PGDATA.partial" "$PGDATA"
fi
exec "$@" -c primary_slot_name=atlas_replica \
    -c primary_conninfo="host=${SOURCE%:*} port=${SOURCE#*:} user=postgres passfile=$PGPASSFILE"
