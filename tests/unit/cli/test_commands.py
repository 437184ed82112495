"""The commands as a person types them."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from atlas_cli.text import octets_text, value_text
from atlas_client import Uint64
from atlas_client.filters import predicate_of
from unit.cli.platform import Memory, platform


@pytest.fixture
async def memory() -> Memory:
    return Memory()


@pytest.fixture
async def target(memory: Memory) -> AsyncIterator[str]:
    async with platform(memory) as target:
        yield target


async def atlas(*arguments: str, cwd: Path) -> tuple[int, str, str]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "atlas_cli", *arguments, stdout=pipe, stderr=pipe, cwd=cwd, env={"COLUMNS": "160"}
    )
    try:
        async with asyncio.timeout(60):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_load_then_get_shows_values_and_certificate(target: str, tmp_path: Path) -> None:
    status, out, err = await atlas("load", "snmp", "--ingest", target, cwd=tmp_path)
    assert (status, "17,4" in out, "100%" in err) == (0, True, True), err
    assert (tmp_path / ".atlas/load/snmp.json").exists()
    status, out, _ = await atlas("load", "snmp", "--ingest", target, cwd=tmp_path)
    assert "17,442 had been acknowledged to an earlier run" in out
    where = ("--ingest", target, "--query", target)
    status, out, err = await atlas("get", "snmp/9", "network/router/cisco-unmarked-0", *where, cwd=tmp_path)
    assert status == 0, err
    assert "Cisco" in out  # octets that are text are read as text
    assert "counter64" in out
    assert "freshness: replica, at most 12.4 ms stale" in out
    status, out, _ = await atlas("tenants", "--ingest", target, cwd=tmp_path)
    assert (status, "snmp/8072" in out) == (0, True)


async def test_the_token_to_read_as_of_reaches_the_router(target: str, memory: Memory, tmp_path: Path) -> None:
    await atlas("load", "snmp", "--ingest", target, cwd=tmp_path)
    entity, where = "network/router/cisco-unmarked-0", ("--ingest", target, "--query", target)
    status, _, err = await atlas("get", "snmp/9", entity, "--as-of-token", "a1.1.1f", *where, cwd=tmp_path)
    assert (status, memory.as_of_tokens) == (0, ["a1.1.1f"]), err


async def test_a_filter_of_the_command_line_reaches_the_router_as_a_predicate(
    target: str, memory: Memory, tmp_path: Path
) -> None:
    await atlas("load", "snmp", "--ingest", target, cwd=tmp_path)
    where = '!silent_for("1h") && attr["1.3.6.1.2.1.1.1.0"].startsWith("Cisco")'
    arguments = ("query", "entities", "--tenant", "snmp/9", "--where", where, "-a", "x", "--ingest", target)
    status, out, err = await atlas(*arguments, "--query", target, cwd=tmp_path)
    assert status == 0, err
    assert memory.predicates == [predicate_of(where)]
    assert "network/router/cisco-unmarked-0" in out
    assert "more with --page-token more" in out


async def test_lag_shows_each_copy_and_never_calls_unknown_zero(target: str, tmp_path: Path) -> None:
    status, out, _ = await atlas("lag", "--lag", target, cwd=tmp_path)
    assert status == 0
    (olap,) = [line for line in out.splitlines() if "olap" in line]
    assert "unknown" in olap
    assert "does not answer: refused" in olap
    assert "3.5 ms" in out
    assert "newest beat: unknown old" in out


async def test_refusals_end_with_3(target: str, memory: Memory, tmp_path: Path) -> None:
    memory.refuse = "VALUE_TOO_LONG"
    status, out, _ = await atlas("load", "snmp", "--ingest", target, cwd=tmp_path)
    assert status == 3
    assert "refused: VALUE_TOO_LONG" in out


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("load", "weather"), 2, "no set 'weather'; there are"),
        (("load", "metar", "nowhere"), 1, "nowhere: no such file or folder"),
        (("get", "metar/K", "KATL", "--timeout", "0.5", "--ingest", "127.0.0.1:1"), 1, "Is the service running"),
        (("lag", "--timeout", "0.5", "--lag", "127.0.0.1:1"), 1, "Is the service running"),
        (("get", "7", "x", "--use-case", "dashboard", "--max-staleness-ms", "5"), 2, "exclude each other"),
        (("get", "7", "x", "--at-least", "a1.1.1", "--as-of-token", "a1.1.1"), 2, "exclude each other"),
        (("query", "entities", "--tenant", "7", "--where", "attr.a > 1 and"), 2, "line 1, column 12"),
        (("query", "entities", "--tenant", "7", "--where", "attr.a > 1 and"), 2, "           ^"),
        (("verify-data", "."), 1, "no folder backblaze-2013 in it"),
    ],
)
async def test_what_is_wrong_is_named_with_a_remedy(
    arguments: tuple[str, ...], status: int, told: str, tmp_path: Path
) -> None:
    found, _, err = await atlas(*arguments, cwd=tmp_path)
    assert (found, told in err) == (status, True), err
    assert "Traceback" not in err


async def test_an_unknown_tenant_and_an_unknown_entity_are_named(target: str, tmp_path: Path) -> None:
    status, _, err = await atlas("get", "nobody", "x", "--ingest", target, "--query", target, cwd=tmp_path)
    assert (status, "no tenant 'nobody'" in err) == (1, True)
    await atlas("load", "snmp", "--ingest", target, cwd=tmp_path)
    status, _, err = await atlas("get", "snmp/9", "x", "--ingest", target, "--query", target, cwd=tmp_path)
    assert (status, "has no entity x" in err) == (1, True)


def test_octets_are_text_only_where_all_of_them_are() -> None:
    assert octets_text(b"Cisco IOS") == "Cisco IOS"
    assert octets_text(b"\x00\x1b\x0d") == "0x001b0d"
    assert octets_text("\u4ea4".encode("gbk")) == "0xbdbb"
    assert octets_text(b"") == ""
    assert value_text(Uint64(2**64 - 1)) == str(2**64 - 1)
    assert value_text(None) == "?"
    assert value_text(False) == "false"
