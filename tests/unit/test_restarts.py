"""When what failed is started again."""

from atlaskit.restarts import FIRST_PAUSE, LONGEST_PAUSE, STEADY, Past


def test_what_failed_first_is_restarted_at_once() -> None:
    assert Past().pause(now=0.0) == 0


def test_pauses_grow_with_each_restart_and_are_bounded() -> None:
    past, pauses = Past(), []
    for _ in range(10):
        past = past.restarted(100.0)
        pauses.append(past.pause(100.0))
        assert past.pause(100.0 + pauses[-1]) == 0
    assert pauses[0] == FIRST_PAUSE
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE


def test_what_ran_for_long_is_restarted_at_once_again() -> None:
    past = Past().restarted(100.0).restarted(110.0)
    assert past.running(110.0 + STEADY - 1) == past
    assert past.running(110.0 + STEADY) == Past()
