"""Repeats stay below a tenth of the calls, however long a service is away."""

from atlas_client.budget import MOST, PER_SECOND, RetryBudget


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_in_an_outage_repeats_are_a_tenth_of_the_calls() -> None:
    clock = Clock()
    budget = RetryBudget(clock)
    calls, repeats = 30_000, 0
    for _ in range(calls):
        clock.seconds += 0.001
        budget.called()
        while budget.take():
            repeats += 1
    assert repeats <= calls * 0.1 + calls * 0.001 * PER_SECOND + MOST
    assert repeats >= calls * 0.1


def test_a_client_with_few_calls_may_repeat_them() -> None:
    clock = Clock()
    budget = RetryBudget(clock)
    while budget.take():
        pass
    for _ in range(20):
        clock.seconds += 60
        budget.called()
        assert budget.take()


def test_no_more_is_saved_up_than_ten() -> None:
    clock = Clock()
    budget = RetryBudget(clock)
    clock.seconds = 1e6
    assert sum(budget.take() for _ in range(100)) == MOST
