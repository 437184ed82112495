"""What is asked of the primary, over and over: fences, beats of the rows, beats of its own."""

from __future__ import annotations

import asyncio
import itertools
from typing import NoReturn

from atlaskit.clock import Clock
from atlaskit.errors import Unavailable
from atlaskit.freshness.fences import Beat
from atlaskit.postgres.beats import BeatRow, PlacesOf, commit_beat, commit_primary_beat, take_place
from atlaskit.postgres.dedicated import DedicatedSession, open_session
from atlaskit.postgres.probes import look_at_primary

from atlas_lag_monitor.board import Board
from atlas_lag_monitor.change_stream import ChangeStream
from atlas_lag_monitor.fate_sharing import FateSharing
from atlas_lag_monitor.settings import Settings
from atlas_lag_monitor.supervision import ticks


class Primary:
    """Asks the primary; each loop on a connection of its own, since a commit may wait where a question need not.

    Each loop runs until its connection fails and then raises that error. Each instant is stamped before the question.
    Fences notice first that the way to the primary was cut; the connections for beats are made anew with theirs.
    """

    def __init__(self, settings: Settings, board: Board, clock: Clock) -> None:
        self._settings = settings
        self._board = board
        self._evidence = board.evidence
        self._clock = clock
        self._change_stream = ChangeStream(settings.slot, settings.publication, clock)
        self._fate = FateSharing()
        # Never reused, whatever became of a beat.
        self._beats = itertools.count(1)
        self._primary_beats = itertools.count(1)

    async def fences(self) -> NoReturn:
        """Take a fence every interval."""
        limit, opened = self._settings.fence_timeout, asyncio.get_running_loop().time()
        async with open_session(self._settings.postgres_dsn, "atlas-lag-fences", connect_limit=limit) as session:
            self._fate.end(opened)
            async for _ in ticks(self._settings.fence_interval):
                self._board.check_clock()
                generation, asked = self._evidence.generation, self._clock.boot()
                look = await look_at_primary(session, limit)
                self._evidence.saw_primary(generation, asked, look)
                if look.in_recovery:
                    raise Unavailable("is in recovery: not a primary")  # the name may lead to one by now
        raise AssertionError("ticks have no end")

    async def beats(self) -> NoReturn:
        """Commit a beat every interval, once the epoch is known."""
        limit = self._settings.beat_timeout
        dsn = self._settings.postgres_dsn
        async with self._fate.shared(), open_session(dsn, "atlas-lag-beats", connect_limit=limit) as session:
            place = await take_place(session, PlacesOf.BEATS, limit)
            self._evidence.tell("beats", "")
            async for _ in ticks(self._settings.beat_interval):
                await self._beat(session, place)
        raise AssertionError("ticks have no end")

    async def _beat(self, session: DedicatedSession, place: int) -> None:
        limit, evidence = self._settings.beat_timeout, self._evidence
        generation, asked = evidence.generation, self._clock.boot()
        look = await look_at_primary(session, limit)
        epoch = evidence.epoch
        if epoch is None or look.identity is None or look.flushed is None or look.identity != evidence.identity:
            return
        number = next(self._beats)
        if not await commit_beat(session, BeatRow(place, evidence.monitor, number, epoch, look.flushed), limit):
            return
        # After the commit: a beat counts only if the stream was still whole when it was in the log.
        stream, problem = await self._change_stream.look(session, limit)
        evidence.saw_change_stream(stream, problem)
        confirmed = self._change_stream.confirmed
        behind = None if confirmed is None else max(look.flushed.bytes - confirmed.bytes, 0)
        evidence.saw_slots(asked, behind, self._change_stream.held_back)
        if not problem:
            evidence.beat_committed(generation, look.identity, Beat(number, asked, look.flushed))

    async def primary_beats(self) -> NoReturn:
        """Commit a beat of the primary every interval."""
        limit = self._settings.primary_beat_timeout
        dsn = self._settings.postgres_dsn
        async with self._fate.shared(), open_session(dsn, "atlas-lag-primary-beats", connect_limit=limit) as session:
            place = await take_place(session, PlacesOf.PRIMARY_BEATS, limit)
            self._evidence.tell("primary beats", "")
            async for _ in ticks(self._settings.primary_beat_interval):
                generation, asked = self._evidence.generation, self._clock.boot()
                number = next(self._primary_beats)
                by = await commit_primary_beat(session, place, self._evidence.monitor, number, limit)
                if by is not None:
                    self._evidence.primary_acknowledged(generation, by, asked)
        raise AssertionError("ticks have no end")
