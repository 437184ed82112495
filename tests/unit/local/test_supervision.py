"""What is said of a failed connector."""

from atlaskit.kafka.supervision import failures_of


def test_what_failed_is_named_with_its_causes() -> None:
    trace = "org.A: could not\n\tat x\nCaused by: org.B: refused\n\tat y\n"
    status = {
        "connector": {"state": "RUNNING"},
        "tasks": [{"id": 0, "state": "FAILED", "trace": trace}, {"id": 1, "state": "RUNNING"}],
    }
    assert failures_of(status) == ["task 0: org.A: could not Caused by: org.B: refused"]
    assert failures_of({"connector": {"state": "FAILED"}, "tasks": []}) == ["connector: "]
    assert failures_of({"connector": {"state": "RUNNING"}, "tasks": [{"id": 0, "state": "PAUSED"}]}) == []
