"""When a failed connector is restarted, and what is said of it."""

from atlaskit.kafka.supervision import FIRST_PAUSE, LONGEST_PAUSE, STEADY, Past, failures_of


def test_a_first_failure_is_restarted_at_once() -> None:
    assert Past().may_restart(now=0.0)


def test_pauses_grow_with_each_restart_and_are_bounded() -> None:
    past, pauses = Past(), []
    for _ in range(10):
        past = past.restarted(100.0)
        pauses.append(next(n for n in range(1000) if past.may_restart(100.0 + n)))
    assert pauses[0] == FIRST_PAUSE
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE


def test_a_connector_that_ran_for_long_is_restarted_at_once_again() -> None:
    past = Past().restarted(100.0).restarted(110.0)
    assert past.running(110.0 + STEADY - 1) == past
    assert past.running(110.0 + STEADY) == Past()


def test_what_failed_is_named_with_its_causes() -> None:
    trace = "org.A: could not\n\tat x\nCaused by: org.B: refused\n\tat y\n"
    status = {
        "connector": {"state": "RUNNING"},
        "tasks": [{"id": 0, "state": "FAILED", "trace": trace}, {"id": 1, "state": "RUNNING"}],
    }
    assert failures_of(status) == ["task 0: org.A: could not Caused by: org.B: refused"]
    assert failures_of({"connector": {"state": "FAILED"}, "tasks": []}) == ["connector: "]
    assert failures_of({"connector": {"state": "RUNNING"}, "tasks": [{"id": 0, "state": "PAUSED"}]}) == []
