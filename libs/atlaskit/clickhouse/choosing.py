"""Entities by their current values, as a subquery that a search or a grouping builds on."""

from __future__ import annotations

from datetime import datetime, timedelta

from atlaskit.clickhouse.rendering import MICROSECONDS, VALUE, Parameters, passes
from atlaskit.selection.conditions import Test
from atlaskit.selection.predicates import Predicate, attributes_of, needs_newest_report, needs_tenants_newest
from atlaskit.selection.rendering import condition


class Choice:
    """Entities with the current values of some attributes, and the condition of a predicate.

    Each row of `entities` has tenant_id, entity_id, entity_key, asset_type, created (microseconds), and the values.
    """

    def __init__(
        self,
        parameters: Parameters,
        tenants: str,
        predicate: Predicate | None,
        others: tuple[str, ...],
        as_of: datetime | None,
    ) -> None:
        self._parameters = parameters
        self._tenants = tenants
        self._predicate = predicate
        self._as_of = as_of
        names = dict.fromkeys((*attributes_of(predicate), *others))
        self._place = {name: number for number, name in enumerate(names)}

    def entities(self) -> str:
        """Return the subquery over all entities of the tenants."""
        entity = (
            "e.tenant_id AS tenant_id, e.entity_id AS entity_id, e.entity_key AS entity_key, e.asset_type AS asset_type"
        )
        created = "toUnixTimestamp64Micro(e.created_at) AS created"
        listed = f"listed_entities(tenants = {self._tenants}) AS e"
        if not self._place and not needs_newest_report(self._predicate):
            return f"(SELECT {entity}, {created} FROM {listed})"
        shown = [f"v.v{number} AS v{number}, v.t{number} AS t{number}" for number in self._place.values()]
        if needs_newest_report(self._predicate):
            shown.append("v.report - 1 AS report")
        if needs_tenants_newest(self._predicate) and self._as_of is None:
            shown.append("max(v.report) OVER (PARTITION BY e.tenant_id) - 1 AS tenants_report")
        joined = f"LEFT JOIN ({self._values()}) AS v ON v.tenant_id = e.tenant_id AND v.entity_id = e.entity_id"
        return f"(SELECT {entity}, {created}, {', '.join(shown)} FROM {listed} {joined})"

    def condition(self) -> str:
        """Return the predicate's condition on a row of `entities`."""
        return "1" if self._predicate is None else condition(self._predicate, self)

    def value(self, attribute: str) -> str:
        """Return the column of the current value of an attribute."""
        return f"v{self._place[attribute]}"

    def passes(self, attribute: str, test: Test) -> str:
        """See EntityColumns."""
        return passes(self._parameters, self.value(attribute), test)

    def is_recent(self, attribute: str, within: timedelta) -> str:
        """See EntityColumns."""
        place = self._place[attribute]
        return f"(v{place}.1 > 0 AND t{place} >= report - {self._parameters.microseconds(within)})"

    def is_silent(self, duration: timedelta) -> str:
        """See EntityColumns."""
        reference = (
            "tenants_report"
            if self._as_of is None
            else f"toUnixTimestamp64Micro({self._parameters.instant(self._as_of)})"
        )
        # Nothing was seen before 1970: -1 stands for an entity without an observation.
        return f"(report >= 0 AND report <= {reference} - {self._parameters.microseconds(duration)})"

    def is_of_type(self, asset_type: str) -> str:
        """See EntityColumns."""
        return f"asset_type = {self._parameters.octets(asset_type)}"

    def _values(self) -> str:
        columns = []
        wanted = []
        for name, number in self._place.items():
            key = self._parameters.octets(name)
            wanted.append(f"attribute_key = {key}")
            columns.append(f"argMaxIf({VALUE}, event_timestamp, attribute_key = {key}) AS v{number}")
            columns.append(f"maxIf({MICROSECONDS}, attribute_key = {key}) AS t{number}")
        where = []
        if needs_newest_report(self._predicate):
            # A join without a match fills in 0; shifted, so that 0 means none.
            columns.append(f"max({MICROSECONDS}) + 1 AS report")
        else:
            where.append(f"({' OR '.join(wanted)})")
        if self._as_of is not None:
            where.append(f"event_timestamp <= {self._parameters.instant(self._as_of)}")
        condition_text = f" WHERE {' AND '.join(where)}" if where else ""
        return (
            f"SELECT tenant_id, entity_id, {', '.join(columns)} FROM visible_values(tenants = {self._tenants})"
            f"{condition_text} GROUP BY tenant_id, entity_id"
        )
