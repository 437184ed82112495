"""Entities by their current values: the joins and the condition of a statement that chooses them."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cached_property

from atlaskit.postgres.rendering import (
    FOREVER,
    NUMBER,
    RANK,
    Parameters,
    attribute_id,
    newest,
    newest_report,
    passes,
)
from atlaskit.postgres.slotted import Slotted, candidates, doubt, join, known_in_slot, known_or_asked, remaining
from atlaskit.selection.conditions import Test
from atlaskit.selection.predicates import Predicate, attributes_of, needs_newest_report, needs_tenants_newest
from atlaskit.selection.rendering import condition


class Tenants:
    """The tenants of a statement: `of` names that of a row for other tables, `are` is the condition on a table.

    A single one is a parameter everywhere, so that partitions of others are not even planned.
    """

    def __init__(self, tenant_ids: tuple[int, ...], parameters: Parameters) -> None:
        self._single = len(tenant_ids) == 1
        if self._single:
            self._text = parameters.add(tenant_ids[0], "integer")
        else:
            self._text = parameters.add(list(tenant_ids), "integer[]")

    def of(self, alias: str) -> str:
        """Return the tenant of a row."""
        return self._text if self._single else f"{alias}.tenant_id"

    def are(self, alias: str) -> str:
        """Return whether a row is of one of the tenants."""
        return f"{alias}.tenant_id = " + (self._text if self._single else f"ANY ({self._text})")


class Choice:
    """Entities `e` with the current values of some attributes joined to them, and the condition of a predicate."""

    def __init__(
        self,
        parameters: Parameters,
        tenants: Tenants,
        predicate: Predicate | None,
        others: tuple[str, ...],
        as_of: datetime | None,
        *,
        slotted: Slotted | None = None,
        alone: bool = False,
    ) -> None:
        self._parameters = parameters
        self._tenants = tenants
        self._tenant = tenants.of("e")
        self._predicate = predicate
        self._instant = as_of
        self._slotted = slotted or {}
        self._alone = alone  # slots alone: `doubt` tells whether that may be wrong
        # A condition that stands there twice would count twice in the estimates of the planner.
        self._rest = remaining(predicate, self._slotted) if alone else predicate
        names = dict.fromkeys((*attributes_of(self._rest), *others))
        self._alias = {name: f"v{number}" for number, name in enumerate(names)}

    def before(self) -> str:
        """Return the common table expression that has to stand before the statement, with a comma, or nothing."""
        if self._instant is not None or not needs_tenants_newest(self._predicate):
            return ""
        report = newest_report(self._tenants.of("o"), "o.entity_id", self._as_of)
        return (
            "newest_of_tenants AS MATERIALIZED (SELECT o.tenant_id, max(seen.event_time) AS event_time FROM entities AS o"
            f" CROSS JOIN LATERAL ({report}) AS seen WHERE {self._tenants.are('o')} AND NOT o.deleted GROUP BY o.tenant_id), "
        )

    def entities(self) -> str:
        """Return what stands after FROM."""
        parts = [
            f" LEFT JOIN LATERAL ({self._current(name)}) AS {alias} ON true" for name, alias in self._alias.items()
        ]
        if self._slotted:
            parts.insert(0, join(self._tenant))
        if needs_newest_report(self._predicate):
            report = newest_report(self._tenant, "e.entity_id", self._as_of)
            parts.append(f" LEFT JOIN LATERAL ({report}) AS report ON true")
        return "entities AS e" + "".join(parts)

    def chosen(self) -> str:
        """Return the condition of the statement."""
        found = candidates(self._predicate, self._slotted, self._parameters, asking=not self._alone)
        types = {mapping.asset_type_id for mapping in self._slotted.values()} if self._alone else set[int]()
        of_type = (f"e.asset_type_id = {int(number)}" for number in types)
        return " AND ".join((f"{self._tenants.are('e')} AND NOT e.deleted", *of_type, *found, self.condition()))

    def condition(self) -> str:
        """Return the predicate's condition."""
        return "true" if self._rest is None else condition(self._rest, self)

    def alias(self, attribute: str) -> str:
        """Return the alias of the current value of an attribute."""
        return self._alias[attribute]

    def passes(self, attribute: str, test: Test) -> str:
        """See EntityColumns."""
        return passes(self._parameters, self._alias[attribute], test)

    def is_recent(self, attribute: str, within: timedelta) -> str:
        """See EntityColumns."""
        age = self._parameters.microseconds(within)
        return f"coalesce({self._alias[attribute]}.event_time >= report.event_time - {age}, false)"

    def is_silent(self, duration: timedelta) -> str:
        """See EntityColumns."""
        return f"coalesce(report.event_time <= {self._reference()} - {self._parameters.microseconds(duration)}, false)"

    def is_of_type(self, asset_type: str) -> str:
        """See EntityColumns."""
        wanted = self._parameters.add(asset_type, "text")
        ids = f"SELECT t.asset_type_id FROM asset_types AS t WHERE t.tenant_id = {self._tenant} AND t.asset_type = {wanted}"
        return f"coalesce(e.asset_type_id = ({ids}), false)"

    @cached_property
    def _as_of(self) -> str:
        # A statement must not have a parameter that it does not use: its type would be unknown.
        return self._parameters.add(self._instant or FOREVER, "timestamptz")

    def _reference(self) -> str:
        if self._instant is not None:
            return self._as_of
        return "(SELECT n.event_time FROM newest_of_tenants AS n WHERE n.tenant_id = e.tenant_id)"

    def _current(self, name: str) -> str:
        if self._alone:
            return known_in_slot(self._slotted[name])
        history = newest(self._tenant, "e.entity_id", self._id_of(name), self._as_of)
        return known_or_asked(self._slotted[name], history) if name in self._slotted else history

    def doubt(self) -> str:
        """Return whether an answer from slots alone may be wrong, in the snapshot of the statement."""
        return doubt(self._predicate, self._slotted, self._tenant, self._parameters) if self._alone else "false"

    def _id_of(self, name: str) -> str:
        return attribute_id(self._tenant, self._parameters.add(name, "text"))


def value_order(alias: str, longest: int | None = 512) -> list[str]:
    """Return the four expressions of an order by value; text and octets up to so many characters and bytes."""
    text, octets = f"{alias}.value_text", f"{alias}.value_bytes"
    if longest is not None:
        text, octets = f"left({text}, {longest})", f"substring({octets} FROM 1 FOR {longest})"
    return [
        RANK.format(v=alias),
        NUMBER.format(v=alias),
        f"coalesce({text}, '') COLLATE \"C\"",
        f"coalesce(encode({octets}, 'hex'), '') COLLATE \"C\"",
    ]
