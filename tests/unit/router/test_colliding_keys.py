from atlas_query_router.servicer import is_another
from atlaskit.model import EntityState


def state(entity_key: str) -> EntityState:
    return EntityState(1, 7, entity_key, "", None, ())


def test_a_key_whose_number_belongs_to_another_key_finds_nothing() -> None:
    assert is_another(state("stored"), "asked")
    assert not is_another(state("asked"), "asked")


def test_an_entity_asked_for_by_number_is_the_one_of_that_number() -> None:
    assert not is_another(state("stored"), 7)
    assert not is_another(state(""), 7)
