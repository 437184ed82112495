"""A schedule is drawn from its seed, spares no kind of fault, and comes back from the text that replays it."""

from __future__ import annotations

from collections import Counter

import pytest
from checker.processes.kinds import CHOICES, KINDS, RARE
from checker.processes.schedule import drawn, parts_of, read, written


@pytest.mark.parametrize("seed", range(20))
def test_every_kind_comes_before_any_comes_again(seed: int) -> None:
    schedule = drawn(seed, CHOICES, -(-len(CHOICES) // 2))
    counts = Counter(planned.kind for episode in schedule for planned in episode)
    assert len(counts) == len(CHOICES)
    assert max(counts.values()) <= 2


def test_a_seed_gives_one_schedule_and_another_seed_another() -> None:
    assert drawn(1, CHOICES, 8) == drawn(1, CHOICES, 8)
    assert drawn(1, CHOICES, 8) != drawn(2, CHOICES, 8)


@pytest.mark.parametrize("seed", range(20))
def test_faults_of_one_episode_have_no_part_in_common_if_they_can(seed: int) -> None:
    for episode in drawn(seed, CHOICES, 8):
        first, second = (parts_of(planned.target) for planned in episode)
        free = [
            target
            for target in CHOICES[episode[1].kind].targets
            if parts_of(target).isdisjoint(parts_of(episode[0].target))
        ]
        assert first.isdisjoint(second) or not free


@pytest.mark.parametrize("seed", range(20))
def test_a_schedule_comes_back_from_its_text(seed: int) -> None:
    schedule = drawn(seed, CHOICES, 5)
    assert read(written(schedule)) == schedule


def test_what_is_no_fault_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="not a fault: 'kill ingest'"):
        read("kill ingest")


def test_every_kind_that_is_drawn_can_be_done_and_there_are_more_than_ten() -> None:
    assert set(KINDS) == {*CHOICES, *RARE}
    assert len(KINDS) >= 10
