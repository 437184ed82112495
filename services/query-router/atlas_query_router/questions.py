"""What a caller can ask, and what a copy answers, in the terms of the platform. Each names a tenant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from atlaskit.figures import Figures
from atlaskit.model import EntityState, Observation, Source
from atlaskit.position import Lsn
from atlaskit.selection.searches import EntitySearch, Found, Group, GroupSearch


@dataclass(frozen=True, slots=True)
class EntityQuestion:
    """One entity with the values current at `as_of` (None: the newest) of these attributes (none: of all).

    `position`: by the deliveries up to it alone (None: by all)."""

    tenant_id: int
    entity: int | str
    attributes: tuple[str, ...] = ()
    as_of: datetime | None = None
    most: int = 10_000
    position: Lsn | None = None


@dataclass(frozen=True, slots=True)
class ListQuestion:
    """Entities with ids above `after`, by id."""

    tenant_id: int
    attributes: tuple[str, ...]
    as_of: datetime | None
    after: int
    most: int


@dataclass(frozen=True, slots=True)
class HistoryQuestion:
    """Observations of one attribute with start <= event time < end."""

    tenant_id: int
    entity: int | str
    attribute: str
    start: datetime | None
    end: datetime | None
    newest_first: bool
    most: int


@dataclass(frozen=True, slots=True)
class FiguresQuestion:
    """Figures of one attribute by group, of the groups above `after` (entity, start of bucket in microseconds)."""

    tenant_id: int
    attribute: str
    start: datetime | None
    end: datetime | None
    by_entity: bool
    bucket: timedelta | None
    after: tuple[int, int]
    most: int


@dataclass(frozen=True, slots=True)
class PositionQuestion:
    """Nothing but how far a copy has come."""

    tenant_id: int


# What statements of fixed text answer.
Simple: TypeAlias = EntityQuestion | ListQuestion | HistoryQuestion | FiguresQuestion | PositionQuestion
Question: TypeAlias = Simple | EntitySearch | GroupSearch
Rows: TypeAlias = EntityState | list[EntityState] | list[Found] | list[Observation] | list[Figures] | list[Group] | None


def tenants_of(question: Question) -> tuple[int, ...]:
    """Return the tenants whose data answer a question, at least one."""
    return question.tenant_ids if isinstance(question, GroupSearch) else (question.tenant_id,)


def can_answer(source: Source, question: Question) -> bool:
    """Tell whether a copy holds what a question is about.

    Of deliveries at one event time ClickHouse keeps the last one alone: what it held at an earlier position is gone.
    """
    return source is not Source.OLAP or getattr(question, "position", None) is None
