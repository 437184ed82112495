"""Choice of ports."""

import itertools
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from atlas_local.errors import PortTaken
from atlas_local.ports import RANGE, assign, assign_in, is_free


def draws_from(first: int) -> Callable[[], int]:
    numbers = itertools.count(first)
    return lambda: next(numbers)


def test_a_given_port_is_used_if_it_is_free() -> None:
    assert assign(["a"], {"a": 9}, {}, lambda _: True, draws_from(1)) == {"a": 9}


def test_a_given_port_that_is_taken_is_an_error_that_names_part_and_port() -> None:
    with pytest.raises(PortTaken, match=r"port 9 for kafka is taken"):
        assign(["kafka"], {"kafka": 9}, {}, lambda _: False, draws_from(1))


def test_a_remembered_port_is_used_again_if_it_is_free() -> None:
    assert assign(["a"], {}, {"a": 7}, lambda _: True, draws_from(1)) == {"a": 7}


def test_a_remembered_port_that_is_taken_is_replaced() -> None:
    assert assign(["a"], {}, {"a": 7}, lambda port: port != 7, draws_from(20)) == {"a": 20}


def test_no_two_parts_share_a_port() -> None:
    ports = assign(["a", "b", "c"], {"c": 1}, {"a": 1, "b": 2}, lambda _: True, draws_from(1))
    assert len(set(ports.values())) == 3
    assert ports["c"] == 1


def test_a_search_without_a_free_port_ends() -> None:
    with pytest.raises(PortTaken):
        assign(["a"], {}, {}, lambda _: False, draws_from(1))


def test_a_port_that_someone_listens_on_is_not_free() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert not is_free(taken.getsockname()[1])


def test_a_data_directory_gets_the_same_ports_again(tmp_path: Path) -> None:
    first = assign_in(tmp_path, ["a", "b"], {})
    assert assign_in(tmp_path, ["a", "b"], {}) == first
    assert all(port in RANGE for port in first.values())
