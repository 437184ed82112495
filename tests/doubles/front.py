"""The front of ClickHouse as a process of its own, on a free port, with the schema applied by dbmate."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SCHEMA = Path(__file__).parents[2] / "libs/atlaskit/clickhouse/schema"


@dataclass
class Front:
    """One front. `start` returns once it listens, `stop` and `kill` once it is gone."""

    data: Path
    options: tuple[str, ...] = ()
    port: int = 0
    process: subprocess.Popen[str] | None = field(default=None, repr=False)

    def start(self) -> None:
        command = [sys.executable, "-m", "atlas_local.chdb_front", "--port", str(self.port), "--data", str(self.data)]
        self.process = subprocess.Popen([*command, *self.options], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"the front did not start: exit status {self.process.wait(10)}")
        self.port = int(line.rsplit(":", 1)[1])

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def migrate(self) -> str:
        """Apply the migrations and return what dbmate said."""
        found = Path(sysconfig.get_path("scripts")) / "dbmate"
        dbmate = str(found) if found.exists() else shutil.which("dbmate")
        assert dbmate is not None
        environment = {**os.environ, "DATABASE_URL": f"clickhouse+{self.url}/atlas"}
        command = [dbmate, "--no-dump-schema", "--migrations-dir", str(SCHEMA), "up"]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=60).stdout


def running(front: Front) -> Iterator[Front]:
    """Yield the front started; end its process whatever happens."""
    try:
        front.start()
        yield front
    finally:
        if front.process is not None and front.process.poll() is None:
            front.kill()
