"""The secrets of a deployment that brings none: random words, made once, and the files that each consumer reads.

`python -m atlas_migrate.words FOLDER` writes `FOLDER/<consumer>/<file>`: docker-compose runs it, and `kubectl create
secret generic <consumer> --from-file=FOLDER/<consumer>` takes the same files.
"""

from __future__ import annotations

import argparse
import hashlib
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROLES = ("atlas_ingest", "atlas_reader", "atlas_monitor", "atlas_sink", "atlas_keeper", "atlas_debezium")
OTHERS = ("postgres", "clickhouse", "grafana", "placeholder", "page_token_key")
OWNER = "postgres"  # owns the schema; a superuser of its own server
DATABASE = "atlas_telemetry"


@dataclass(frozen=True, slots=True)
class Places:
    """Where the stores are, as host:port, and what their URLs end in."""

    primary: str = "postgres-primary:5432"
    replica: str = "postgres-replica:5432"
    clickhouse: str = "clickhouse:8123"
    sslmode: str = "disable"


def files_of(words: Mapping[str, str], places: Places) -> dict[str, dict[str, str]]:
    """Return the content of each secret file by consumer and name. `words` has one for each of ROLES and OTHERS."""

    def primary(role: str, word: str | None = None) -> str:
        return f"postgresql://{role}:{words[word or role]}@{places.primary}/{DATABASE}?sslmode={places.sslmode}"

    def replica(role: str) -> str:
        return f"postgresql://{role}:{words[role]}@{places.replica}/{DATABASE}?sslmode={places.sslmode}"

    clickhouse = f"http://atlas:{words['clickhouse']}@{places.clickhouse}/atlas"
    return {
        "ingest": {"postgres_dsn": primary("atlas_ingest")},
        "query-router": {
            "postgres_dsn": primary("atlas_reader"),
            "replica_dsn": replica("atlas_reader"),
            "clickhouse_url": clickhouse,
            "page_token_key": words["page_token_key"],
        },
        "lag-monitor": {
            "postgres_dsn": primary("atlas_monitor"),
            "replica_dsn": replica("atlas_monitor"),
            "clickhouse_url": clickhouse,
        },
        "olap-sink": {"postgres_dsn": primary("atlas_sink"), "clickhouse_url": clickhouse},
        "keeper": {"postgres_dsn": primary("atlas_keeper")},
        "migrate": {
            "postgres_dsn": primary(OWNER, "postgres"),
            "clickhouse_url": clickhouse,
            "unavailable_value_placeholder": words["placeholder"],
            **{role: words[role] for role in ROLES},
        },
        "postgres": {"password": words["postgres"], "monitor_password": words["atlas_monitor"]},
        # The first for a server that reads users.d, the second for an operator that writes the user itself.
        "clickhouse": {
            "users.yaml": clickhouse_users(words["clickhouse"]),
            "password_sha256_hex": _digest(words["clickhouse"]),
        },
        "grafana": {"admin_password": words["grafana"]},
    }


def clickhouse_users(word: str) -> str:
    """Return a file for users.d of ClickHouse: the user `atlas`, and `default` from inside the container only."""
    return (
        "users:\n"
        "  atlas:\n"
        f"    password_sha256_hex: {_digest(word)}\n"
        "    profile: default\n"
        "    quota: default\n"
        "    access_management: 0\n"
        "    networks: {ip: '::/0'}\n"
        "  default:\n"
        "    networks: {'@replace': replace, ip: ['::1', '127.0.0.1']}\n"
    )


def _digest(word: str) -> str:
    return hashlib.sha256(word.encode()).hexdigest()


def write(folder: Path, places: Places) -> list[str]:
    """Write every file that is missing or differs, and return their names; words that are there stay as they are."""
    kept = folder / "words"
    kept.mkdir(mode=0o700, parents=True, exist_ok=True)
    words = {name: _word(kept / name) for name in (*ROLES, *OTHERS)}
    written = []
    for consumer, files in files_of(words, places).items():
        for name, text in files.items():
            if _put(folder / consumer / name, text):
                written.append(f"{consumer}/{name}")
    return written


def _word(path: Path) -> str:
    if not path.exists():
        _put(path, secrets.token_hex(24), mode=0o600)
    return path.read_text("ascii").strip()


def _put(path: Path, text: str, mode: int = 0o444) -> bool:
    """Put the text into the file in one step; readers are containers of other users, each with its own folder."""
    if path.exists() and path.read_text("utf-8") == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, "utf-8")
    partial.chmod(mode)
    partial.replace(path)
    return True


def main(arguments: Sequence[str]) -> int:
    """Write the files, say which were written, never what is in them, and return 0."""
    parser = argparse.ArgumentParser("atlas_migrate.words", description="Make the secrets of a deployment, once.")
    parser.add_argument("folder", type=Path)
    for place, default in asdict(Places()).items():
        parser.add_argument(f"--{place}", default=default, help=f"{default} unless told")
    options = vars(parser.parse_args(arguments))
    written = write(options.pop("folder"), Places(**options))
    print("\n".join(f"wrote {name}" for name in written) or "every secret is there", flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
