"""The lock of jars and its downloads, against a repository on this machine."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from atlas_local.errors import DownloadRefused
from atlas_local.jars import LOCK, Jar, JarSet, ensure_jars, parse_lock

BODY = b"not really a jar"
NAME = "org.example:thing:1.0"


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "repository/org/example/thing/1.0"
    folder.mkdir(parents=True)
    (folder / "thing-1.0.jar").write_bytes(BODY)
    handler = partial(Silent, directory=str(tmp_path / "repository"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def lock_of(tmp_path: Path, coordinate: str, body: bytes) -> Path:
    path = tmp_path / "some.lock"
    path.write_text(f"# a comment\nkafka {coordinate} {hashlib.sha256(body).hexdigest()}\n")
    return path


def test_the_committed_lock_is_whole_and_names_each_jar_once() -> None:
    jars = parse_lock(LOCK.read_text())
    assert {jar.folder for jar in jars} == {"kafka", "connect", "debezium"}
    assert len({(jar.folder, jar.file_name) for jar in jars}) == len(jars)
    names = {jar.coordinate for jar in jars}
    assert {"org.apache.kafka:kafka_2.13:4.2.1", "io.debezium:debezium-connector-postgres:3.7.0.Final"} <= names


def test_connect_and_kafka_never_hold_two_versions_of_an_artifact() -> None:
    artifacts = [jar.coordinate.rsplit(":", 1)[0] for jar in parse_lock(LOCK.read_text()) if jar.folder != "debezium"]
    assert len(artifacts) == len(set(artifacts))


@pytest.mark.parametrize("line", ["kafka a:b:1", "kafka a:b " + "0" * 64, "other a:b:1 " + "0" * 64, "kafka a:b:1 123"])
def test_a_wrong_line_of_the_lock_is_named(line: str) -> None:
    with pytest.raises(ValueError, match="line 2"):
        parse_lock(f"# first\n{line}\n")


def test_a_classifier_is_part_of_the_file_name() -> None:
    assert Jar("kafka", "g:a:1:linux", "").file_name == "a-1-linux.jar"


def test_plugins_lie_apart_from_the_class_path(tmp_path: Path) -> None:
    jars = JarSet(tmp_path, (Jar("kafka", "g:a:1", ""), Jar("connect", "g:b:1", ""), Jar("debezium", "g:c:1", "")))
    assert jars.class_path("kafka", "connect") == f"{tmp_path}/kafka/a-1.jar:{tmp_path}/connect/b-1.jar"
    assert jars.path(jars.jars[2]) == jars.plugins / "debezium" / "c-1.jar"


async def test_a_missing_jar_is_downloaded_once(tmp_path: Path, repository: str) -> None:
    lock, seen = lock_of(tmp_path, NAME, BODY), []
    for _ in range(2):
        jars = await ensure_jars(
            tmp_path / "cache",
            repository=repository,
            lock=lock,
            progress=lambda done, total: seen.append((done, total)),
        )
    assert jars.path(jars.jars[0]).read_bytes() == BODY
    assert seen == [(1, 1)]


async def test_a_damaged_jar_is_replaced(tmp_path: Path, repository: str) -> None:
    lock = lock_of(tmp_path, NAME, BODY)
    jars = await ensure_jars(tmp_path / "cache", repository=repository, lock=lock)
    jars.path(jars.jars[0]).write_bytes(b"damaged")
    await ensure_jars(tmp_path / "cache", repository=repository, lock=lock)
    assert jars.path(jars.jars[0]).read_bytes() == BODY


async def test_another_content_than_the_locked_one_is_refused_and_not_kept(tmp_path: Path, repository: str) -> None:
    with pytest.raises(DownloadRefused, match=r"org.example:thing:1.0 .* has sha256"):
        await ensure_jars(tmp_path / "cache", repository=repository, lock=lock_of(tmp_path, NAME, b"other"))
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


async def test_a_jar_that_the_repository_lacks_is_named(tmp_path: Path, repository: str) -> None:
    with pytest.raises(DownloadRefused, match=r"download refused: org.example:thing:2.0 .*404"):
        await ensure_jars(
            tmp_path / "cache", repository=repository, lock=lock_of(tmp_path, "org.example:thing:2.0", BODY)
        )


async def test_a_repository_that_does_not_answer_is_named(tmp_path: Path) -> None:
    with pytest.raises(DownloadRefused, match=r"ATLAS_MAVEN_REPOSITORY"):
        await ensure_jars(tmp_path / "cache", repository="http://127.0.0.1:9", lock=lock_of(tmp_path, NAME, BODY))
