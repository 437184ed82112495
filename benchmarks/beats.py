"""Beats for a benchmark: what a lag monitor commits into the tables, every 25 ms, until it is told to stop."""

from __future__ import annotations

import asyncio
import sys
import uuid
from datetime import timedelta

from atlaskit.position import Lsn
from atlaskit.postgres.beats import BeatRow, PlacesOf, commit_beat, take_place
from atlaskit.postgres.dedicated import open_session

EVERY = 0.025
LIMIT = timedelta(seconds=5)


async def beat(dsn: str) -> None:
    """Commit a beat every 25 ms, without end."""
    monitor = uuid.uuid4()
    async with open_session(dsn, "bench-beats") as session:
        place = await take_place(session, PlacesOf.BEATS, LIMIT)
        number = 0
        while True:
            number += 1
            await commit_beat(session, BeatRow(place, monitor, number, 1, Lsn(1)), LIMIT)
            await asyncio.sleep(EVERY)


if __name__ == "__main__":
    asyncio.run(beat(sys.argv[1]))
