"""Pages: where one begins, where it ends, and the token that leads from one to the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias, TypeVar

from atlaskit.figures import Figures
from atlaskit.freshness.certificate import Certificate
from atlaskit.freshness.requirement import Requirement
from atlaskit.model import EntityState, Observation
from atlaskit.selection.searches import Cursor, EntitySearch, Found, Group, GroupSearch

from atlas_query_router.page_token import PageTokens, after
from atlas_query_router.questions import FiguresQuestion, HistoryQuestion, ListQuestion

Paged: TypeAlias = ListQuestion | EntitySearch | HistoryQuestion | FiguresQuestion | GroupSearch
RowT = TypeVar("RowT")

_FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Paging:
    """Cuts answers into pages. One row more than the page is read: only then there is a next one."""

    def __init__(self, tokens: PageTokens) -> None:
        self._tokens = tokens

    def resumed(self, question: Paged, requirement: Requirement, token: str, fixed: bytes) -> tuple[Paged, Requirement]:
        """Return question and requirement of the page that the token leads to; without one, those of the first page."""
        if not token:
            return question, requirement
        page = self._tokens.read(token, fixed)
        return resumed_at(question, page.cursor), page.pinned(requirement)

    def resumed_by_key(
        self, question: GroupSearch, requirement: Requirement, token: str, fixed: bytes
    ) -> tuple[GroupSearch, Requirement]:
        """Return the same for pages of attribute keys."""
        if not token:
            return question, requirement
        page = self._tokens.read(token, fixed)
        return replace(question, keys_after=str(page.cursor[0])), page.pinned(requirement)

    @staticmethod
    def one_more(question: Paged) -> Paged:
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
    def entity(row: EntityState | Found) -> Cursor:
        """Return the place of an entity among the others."""
        return row.cursor if isinstance(row, Found) else (row.entity_id,)

    @staticmethod
    def group(row: Figures | Group) -> Cursor:
        """Return the place of a group among the others."""
        if isinstance(row, Group):
            return row.cursor
        entity = -1 if row.entity_id is None else row.entity_id
        return entity, -1 if row.bucket is None else (row.bucket - _FIRST) // _MICROSECOND


def resumed_at(question: Paged, cursor: Cursor) -> Paged:
    """Return the question that goes on after this place."""
    match question:
        case EntitySearch() | GroupSearch():
            return replace(question, after=cursor)
        case ListQuestion():
            return replace(question, after=int(cursor[0]))
        case FiguresQuestion():
            return replace(question, after=(int(cursor[0]), int(cursor[1])))
    last = _FIRST + int(cursor[0]) * _MICROSECOND
    return replace(question, end=last) if question.newest_first else replace(question, start=last + _MICROSECOND)
