#!/bin/bash
# Runs once, when the primary's data directory is new: a standby may stream from it.
set -euo pipefail
echo 'host replication all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
