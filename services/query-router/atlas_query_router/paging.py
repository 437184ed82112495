"""Pages: where one begins, where it ends, and the token that leads from one to the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias, TypeVar

from atlaskit.figures import Figures
from atlaskit.freshness.certificate import Certificate
from atlaskit.freshness.requirement import Requirement
from atlaskit.model import Observation

from atlas_query_router.page_token import PageTokens, after
from atlas_query_router.questions import FiguresQuestion, HistoryQuestion, ListQuestion

Paged: TypeAlias = ListQuestion | HistoryQuestion | FiguresQuestion
PagedT = TypeVar("PagedT", ListQuestion, HistoryQuestion, FiguresQuestion)
RowT = TypeVar("RowT")
Cursor: TypeAlias = tuple[int, ...]

_FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Paging:
    """Cuts answers into pages. One row more than the page is read: only then there is a next one."""

    def __init__(self, tokens: PageTokens) -> None:
        self._tokens = tokens

    def resumed(
        self, question: PagedT, requirement: Requirement, token: str, fixed: bytes
    ) -> tuple[PagedT, Requirement]:
        """Return question and requirement of the page that the token leads to; without one, those of the first page."""
        if not token:
            return question, requirement
        page = self._tokens.read(token, fixed)
        return resumed_at(question, page.cursor), page.pinned(requirement)

    @staticmethod
    def one_more(question: PagedT) -> PagedT:
        """Return the question for one row more than the page holds."""
        return replace(question, most=question.most + 1)

    def cut(
        self,
        rows: Sequence[RowT],
        question: Paged,
        certificate: Certificate,
        fixed: bytes,
        cursor: Callable[[RowT], Cursor],
    ) -> tuple[Sequence[RowT], str]:
        """Return the rows of the page and the token of the next one; empty if this is the last."""
        if len(rows) <= question.most:
            return rows, ""
        page = rows[: question.most]
        assert certificate.source is not None
        place = after(certificate.source, certificate.epoch, certificate.lsn, cursor(page[-1]))
        return page, self._tokens.write(place, fixed)

    @staticmethod
    def event_time(observation: Observation) -> Cursor:
        """Return the place of an observation in a history: its event time in microseconds since 1970."""
        return ((observation.event_time - _FIRST) // _MICROSECOND,)

    @staticmethod
    def group(figures: Figures) -> Cursor:
        """Return the place of a group among the others."""
        entity = -1 if figures.entity_id is None else figures.entity_id
        return entity, -1 if figures.bucket is None else (figures.bucket - _FIRST) // _MICROSECOND


def resumed_at(question: PagedT, cursor: Cursor) -> PagedT:
    """Return the question that goes on after this place."""
    if isinstance(question, ListQuestion):
        return replace(question, after=cursor[0])
    if isinstance(question, FiguresQuestion):
        return replace(question, after=(cursor[0], cursor[1]))
    last = _FIRST + cursor[0] * _MICROSECOND
    return replace(question, end=last) if question.newest_first else replace(question, start=last + _MICROSECOND)
