"""Chooses a source for each read, checks what it proved, and falls back within the deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog
from atlaskit.clock import Clock
from atlaskit.errors import AtlasError, DeadlinePassed, Overloaded, Unavailable
from atlaskit.freshness.certificate import Certificate, PassedOver, PassedOverFor, certify
from atlaskit.freshness.proofs import Proof
from atlaskit.freshness.requirement import Policy, Requirement
from atlaskit.freshness.routing import Plan, plan, shortfall
from atlaskit.model import Source
from atlaskit.rpc.deadline import Deadline
from atlaskit.telemetry.names import Attribute, SpanName
from opentelemetry.trace import Tracer

from atlas_query_router.backends import Backend, Call, Reply
from atlas_query_router.fallback_gate import FallbackGate
from atlas_query_router.lag_board import LagBoard
from atlas_query_router.policy import (
    freshest_first,
    honours_token,
    lost_token,
    refusal,
    token_is_early,
    with_estimate,
    worth_waiting,
)
from atlas_query_router.position_watch import PositionWatch
from atlas_query_router.questions import Question, Rows, can_answer
from atlas_query_router.waits import first_true

log = structlog.get_logger(__name__)

# The share of the time left that one source may take when another could still answer.
SHARE = 3
# Kept of a call's deadline for the last attempt after a wait, and for the way back.
RESERVE = timedelta(milliseconds=50)


@dataclass(frozen=True, slots=True)
class Answer:
    """What was read, and what it is proven to cover; `slotted` are the attributes that were read from slots."""

    rows: Rows
    certificate: Certificate
    slotted: tuple[str, ...] = ()


class Refusal(Exception):
    """No answer; `error` says why and `certificate` which sources were passed over."""

    def __init__(self, error: AtlasError, certificate: Certificate) -> None:
        super().__init__(str(error))
        self.error = error
        self.certificate = certificate


class Router:
    """Answers questions from the copies that `backends` holds.

    `gate` caps the reads that fall back onto the primary. A source that may cover a token in a moment is given
    `token_patience` before the next one is asked; `watches` says when a source has reached a position.
    """

    def __init__(
        self,
        backends: Mapping[Source, Backend],
        board: LagBoard,
        clock: Clock,
        tracer: Tracer,
        *,
        gate: FallbackGate,
        watches: Mapping[Source, PositionWatch],
        token_patience: timedelta,
    ) -> None:
        self._backends = backends
        self._board = board
        self._clock = clock
        self._tracer = tracer
        self._gate = gate
        self._watches = watches
        self._token_patience = token_patience

    async def answer(self, question: Question, requirement: Requirement, call: Call) -> Answer:
        """Return the answer with its certificate. Raises Refusal when no source is proven fresh enough.

        It takes no longer than the call's deadline. Cancelled, the running read is cancelled at its store.
        """
        until = _wait_until(requirement, call.deadline)
        await self._known_epoch(requirement, until)
        while True:
            if (lost := lost_token(requirement, self._board.known())) is not None:
                raise Refusal(lost, self._unanswered(requirement, ()))
            outcome = await self._one_pass(question, requirement, call, until)
            if isinstance(outcome, Answer):
                return outcome
            waits = worth_waiting(requirement, outcome)
            if not (waits and await self._changed(question, requirement, outcome, call, until)):
                break
        if requirement.policy is Policy.DEGRADE:
            for source in freshest_first(outcome):
                degraded = await self._degraded(source, question, requirement, call, outcome)
                if degraded is not None:
                    return degraded
        now = self._clock.boot()
        told = tuple(with_estimate(passed, requirement, self._board.progress, now) for passed in outcome)
        raise Refusal(refusal(requirement, told), self._unanswered(requirement, told))

    async def _known_epoch(self, requirement: Requirement, until: Deadline) -> None:
        """Give a token of an epoch that was registered just now the time that a reading takes to tell of it."""
        patience = min(until, Deadline.after(self._token_patience))
        while token_is_early(requirement, self._board.known()) and await self._board.next_reading(patience):
            pass

    async def _changed(
        self,
        question: Question,
        requirement: Requirement,
        passed: Sequence[PassedOver],
        call: Call,
        until: Deadline,
    ) -> bool:
        """Wait until another pass may end otherwise than the one that passed these over; False: the time is over.

        A missing token is waited for at the copies that lack it; all else changes with the readings.
        """
        short = [entry.source for entry in passed if entry.reason is PassedOverFor.TOKEN_NOT_COVERED]
        waits = [self._reached(source, requirement, call, until) for source in short]
        if requirement.policy is Policy.WAIT and len(short) < len(passed):
            waits.append(self._planned_anew(question, requirement, passed, until))
        try:
            return await first_true(waits)
        except Overloaded as full:
            raise Refusal(full, self._unanswered(requirement, passed)) from None

    async def _reached(self, source: Source, requirement: Requirement, call: Call, until: Deadline) -> bool:
        """Wait until a source seems to cover the token; False: the time is over. Raises Overloaded: too many wait."""
        assert requirement.at_least is not None
        return await self._watches[source].reached(call.shards, requirement.at_least, until)

    async def _planned_anew(
        self, question: Question, requirement: Requirement, passed: Sequence[PassedOver], until: Deadline
    ) -> bool:
        """Wait for a reading after which a source without the token's lack is worth a read; False: the time is over."""
        short = {entry.source for entry in passed if entry.reason is PassedOverFor.TOKEN_NOT_COVERED}
        while await self._board.next_reading(until):
            if set(self._plan(question, requirement).sources) - short:
                return True
        return False

    def _plan(self, question: Question, requirement: Requirement) -> Plan:
        able = [source for source in self._backends if can_answer(source, question)]
        return plan(requirement, self._board.known(), able)

    async def _one_pass(
        self, question: Question, requirement: Requirement, call: Call, until: Deadline
    ) -> Answer | tuple[PassedOver, ...]:
        """Ask each source that is worth it once, in order, until one is proven fresh enough."""
        chosen = self._plan(question, requirement)
        passed = list(chosen.passed_over)
        for number, source in enumerate(chosen.sources, start=1):
            last = number == len(chosen.sources)
            outcome = await self._patiently(source, question, requirement, call, until, last=last)
            if isinstance(outcome, Reply):
                return self._answered(source, outcome, requirement, call, passed)
            passed.append(outcome)
        return tuple(passed)

    async def _patiently(
        self, source: Source, question: Question, requirement: Requirement, call: Call, until: Deadline, *, last: bool
    ) -> Reply | PassedOver:
        """Ask one source; if others follow and only the token is missing, ask again once it is there, with patience.

        A copy that was not seen at the token yet is looked at first, together with all who wait for it: most tokens
        are of a write just made, and a read would find that out for one caller at a time.
        """
        patience = min(until, Deadline.after(self._token_patience))
        if self._not_there_yet(source, requirement, call):
            watch, shards = self._watches[source], call.shards
            looks = watch.looks(shards)
            there = await self._reached_or_full(source, requirement, call, patience)
            if not there and watch.looks(shards) > looks and not until.passed():
                return PassedOver(source, PassedOverFor.TOKEN_NOT_COVERED, self._polled_lag(source))
        while True:
            outcome = await self._judged(source, question, requirement, call, last=last)
            missing = isinstance(outcome, PassedOver) and outcome.reason is PassedOverFor.TOKEN_NOT_COVERED
            if last or not missing or not await self._reached_or_full(source, requirement, call, patience):
                return outcome

    def _not_there_yet(self, source: Source, requirement: Requirement, call: Call) -> bool:
        """Tell whether a token may be missing at a copy. The primary has what it acknowledged: it is simply read."""
        if requirement.at_least is None or source is Source.PRIMARY:
            return False
        return not self._watches[source].seems_to_cover(call.shards, requirement.at_least)

    async def _reached_or_full(self, source: Source, requirement: Requirement, call: Call, until: Deadline) -> bool:
        """Wait for the token at a source that another one follows: where too many wait, the other one is asked."""
        try:
            return await self._reached(source, requirement, call, until)
        except Overloaded:
            return False

    async def _judged(
        self, source: Source, question: Question, requirement: Requirement, call: Call, *, last: bool
    ) -> Reply | PassedOver:
        """Ask one source once, and check the requirement against what its answer proved, not what was polled."""
        limited = call if last else call.within(_share(call.deadline))
        reply = await self._asked(
            source, question, requirement, limited, lambda p: shortfall(source, p, requirement, call.received) is None
        )
        if isinstance(reply, PassedOver):
            return reply
        if reply.proof is not None:
            self._watches[source].saw(call.shards, reply.proof)
        return shortfall(source, reply.proof, requirement, call.received) or reply

    async def _degraded(
        self,
        source: Source,
        question: Question,
        requirement: Requirement,
        call: Call,
        passed: Sequence[PassedOver],
    ) -> Answer | None:
        """Return an answer of any age, or of unknown age, that honours the token; or None."""
        reply = await self._asked(source, question, requirement, call, lambda proof: honours_token(proof, requirement))
        if isinstance(reply, PassedOver) or not reply.answered or not honours_token(reply.proof, requirement):
            return None
        others = [entry for entry in passed if entry.source is not source]
        return self._answered(source, reply, requirement, call, others)

    async def _asked(
        self,
        source: Source,
        question: Question,
        requirement: Requirement,
        call: Call,
        worth: Callable[[Proof | None], bool],
    ) -> Reply | PassedOver:
        capped = source is Source.PRIMARY and requirement.falls_back_onto(source)
        if capped and (later := self._gate.enter(requirement.use_case, self._clock.monotonic())) is not None:
            return PassedOver(source, PassedOverFor.BUDGET_EXHAUSTED, likely_after=later)
        try:
            with self._tracer.start_as_current_span(SpanName.QUERY_READ) as span:
                span.set_attribute(Attribute.SOURCE, source.value)
                async with asyncio.timeout(call.deadline.require(f"reading {source}").total_seconds()):
                    return await self._backends[source].read(question, call, worth)
        except (Unavailable, Overloaded, DeadlinePassed, TimeoutError) as error:
            log.info("a source did not answer", source=source.value, problem=str(error) or "not in time")
            return PassedOver(source, PassedOverFor.UNAVAILABLE)
        finally:
            if capped:
                self._gate.leave(requirement.use_case)

    def _answered(
        self, source: Source, reply: Reply, requirement: Requirement, call: Call, passed: Sequence[PassedOver]
    ) -> Answer:
        certificate = certify(
            source,
            reply.proof,
            call.received,
            requirement,
            self._clock.wall(),
            fallbacks=tuple(passed),
            session_token=reply.session_token,
            replication_lag=self._polled_lag(source),
        )
        return Answer(reply.rows, certificate, reply.slotted)

    def _polled_lag(self, source: Source) -> timedelta | None:
        known = self._board.known()
        copy = None if known is None else known.copies.get(source)
        return None if copy is None else copy.lag

    def _unanswered(self, requirement: Requirement, passed: Sequence[PassedOver]) -> Certificate:
        return Certificate(None, None, requirement, self._clock.wall(), fallbacks=tuple(passed))


def _wait_until(requirement: Requirement, deadline: Deadline) -> Deadline:
    latest = deadline.less(RESERVE)
    return latest if requirement.max_wait is None else min(latest, Deadline.after(requirement.max_wait))


def _share(deadline: Deadline) -> Deadline:
    return Deadline.after(deadline.remaining() / SHARE)
