"""Searches that read slots find what they find without, in every order and page, whatever the slots do not know."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from atlaskit.clock import SystemClock
from atlaskit.postgres.reader import reading
from atlaskit.postgres.slotted import attributes_in_slots
from atlaskit.selection.predicates import AllOf, OfAssetType
from atlaskit.selection.searches import EntitySearch, Order, deciding_attributes
from hypothesis import strategies as st

from .copies import LIMIT, Copies
from .dataset import ASSET_TYPES, NOON
from .slots import PROMOTED
from .strategies import SEARCHES
from .test_differential import CASES, MODEL, all_pages, each_example


def of_one_type(search: EntitySearch, asset_type: str) -> EntitySearch:
    """Return the search for newest values among entities of one type only, so that slots may serve it."""
    both = AllOf((OfAssetType(asset_type), *(() if search.predicate is None else (search.predicate,))))
    return replace(search, predicate=both, as_of=None)


TYPED = st.builds(of_one_type, SEARCHES, st.sampled_from(ASSET_TYPES[1:]))


async def test_a_search_by_slots_finds_what_history_says(copies: Copies) -> None:
    read: Counter[bool] = Counter()

    async def check(search: EntitySearch) -> None:
        expected = MODEL.search(search)[: search.most]
        for name, pool in (("primary", copies.primary), ("replica", copies.replica)):
            async with reading(pool, (search.tenant_id,), LIMIT) as reader:
                await (reader.probe_primary(SystemClock()) if name == "primary" else reader.probe_replica())
                found = await reader.search(search)
                read[bool(reader.slotted)] += 1
            assert [one.state.entity_id for one in found] == expected, (name, search, reader.slotted)
            if attributes_in_slots(search) is not None:  # or it asks for two types at once
                wanted = {attribute for attribute in deciding_attributes(search) if attribute in PROMOTED}
                assert set(reader.slotted) == wanted, (name, search)

    await each_example(TYPED, check)
    assert read[True] > CASES / 10


async def test_pages_by_slots_are_the_whole(copies: Copies) -> None:
    async def check(search: EntitySearch) -> None:
        expected = MODEL.search(search)
        assert await all_pages(copies, replace(search, most=3), "primary") == expected, search

    ordered = st.builds(
        lambda search, key: replace(search, order=(Order(key), *search.order[:1])),
        TYPED,
        st.sampled_from(list(PROMOTED)),
    )
    await each_example(ordered, check)


async def test_slots_do_not_serve_entities_of_several_types_or_values_of_the_past(copies: Copies) -> None:
    plain = EntitySearch(11, None, (Order("num"),), (), None, None, 5)
    async with reading(copies.primary, (11,), LIMIT) as reader:
        await reader.probe_primary(SystemClock())
        await reader.search(plain)
        assert reader.slotted == ()
        await reader.search(replace(of_one_type(plain, "disk"), as_of=NOON))
        assert reader.slotted == ()
