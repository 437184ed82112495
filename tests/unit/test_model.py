from datetime import timedelta

import pytest
from atlaskit.clock import BootInstant
from atlaskit.errors import InvalidRequest
from atlaskit.model import SHARD_COUNT, SPREADS, RowVersion, entity_id_of, shard_of, shards_of
from atlaskit.position import Lsn, Token
from hypothesis import given
from hypothesis import strategies as st


@given(st.integers(1, 2**31 - 1), st.sampled_from(SPREADS), st.integers(0, 2**63 - 1))
def test_an_entity_lies_on_one_of_its_tenants_shards(tenant: int, spread: int, entity: int) -> None:
    assert shard_of(tenant, spread, entity) in shards_of(tenant, spread)
    assert len(shards_of(tenant, spread)) == spread


@pytest.mark.parametrize("step", [1, 2, 5, 10, 64, 1000])
def test_entities_numbered_in_steps_still_spread_over_all_shards(step: int) -> None:
    counts = [0] * SHARD_COUNT
    for number in range(10_000):
        counts[shard_of(1, SHARD_COUNT, number * step)] += 1
    assert min(counts) > 800
    assert max(counts) < 1200


@given(st.integers(1, 255), st.integers(1, 2**38 - 1), st.integers(0, 2**17 - 1))
def test_a_row_version_is_positive_fits_63_bits_and_orders_as_its_parts(
    epoch: int, transaction: int, index: int
) -> None:
    version = RowVersion(epoch, transaction, index)
    assert 0 < version.packed() < 2**63
    assert RowVersion.unpacked(version.packed()) == version
    assert RowVersion(epoch, transaction, 0).packed() <= version.packed()


def test_the_number_of_an_entity_key_depends_on_the_tenants_secret() -> None:
    assert entity_id_of(b"a" * 16, "K") != entity_id_of(b"b" * 16, "K")
    assert 0 <= entity_id_of(b"a" * 16, "K") < 2**63


@given(st.integers(1, 2**64 - 1), st.integers(1, 255))
def test_a_token_and_a_position_are_read_back_as_written(position: int, epoch: int) -> None:
    token = Token(epoch, Lsn(position))
    assert Token.parse(str(token), "f") == token
    assert Lsn.parse(str(Lsn(position))) == Lsn(position)


@pytest.mark.parametrize("text", ["", "a1.0.5", "a1.256.5", "a1.1.0", "a1.1.5 ", "a1.1.G", "a2.1.5", "a1.1.5\n", "1/5"])
def test_what_is_not_a_token_is_refused_by_its_field(text: str) -> None:
    with pytest.raises(InvalidRequest, match="freshness.at_least_token"):
        Token.parse(text, "freshness.at_least_token")


@given(st.integers(0, 10**15), st.integers(0, 10**15))
def test_an_age_is_rounded_up_never_down(early: int, span: int) -> None:
    age = BootInstant(early).age_at(BootInstant(early + span))
    assert timedelta(0) <= age
    assert age >= timedelta(microseconds=span // 1000)
    assert (age / timedelta(microseconds=1)) * 1000 >= span
