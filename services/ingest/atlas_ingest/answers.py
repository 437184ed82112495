"""What became of a batch, as messages of the contract."""

from __future__ import annotations

from typing import Any, NamedTuple

from atlas.ingest.v1 import ingest_service_pb2 as pb2
from atlaskit.batch import Answer, ItemState, Written
from google.protobuf.timestamp_pb2 import Timestamp

from atlas_ingest.acks import AckLevel


class Outcome(NamedTuple):
    """A committed batch, the level it has reached, and the id of the trace of this call (empty: not sampled)."""

    written: Written
    ack_level: AckLevel
    trace_id: str


def write_response_of(outcome: Outcome) -> pb2.WriteAttributesResponse:
    """Return the answer to a batch of writes."""
    answer = outcome.written.answer
    return pb2.WriteAttributesResponse(
        **_common(outcome),
        superseded_count=answer.count(ItemState.SUPERSEDED),
        refused_count=answer.count(ItemState.REFUSED),
        trace_id=outcome.trace_id,
    )


def delete_response_of(outcome: Outcome) -> pb2.DeleteAttributesResponse:
    """Return the answer to a batch of deletes."""
    return pb2.DeleteAttributesResponse(**_common(outcome))


def _common(outcome: Outcome) -> dict[str, Any]:
    # The fields that mean the same in both answers, by name. States and levels have the numbers of the contract.
    written, answer = outcome.written, outcome.written.answer
    committed = Timestamp()
    committed.FromDatetime(answer.commit_time)
    return {
        "item_states": answer.states,
        "refusals": _refusals(answer),
        "stored_count": answer.count(ItemState.STORED),
        "write_token": str(written.token) if written.token else "",
        "reached_ack_level": outcome.ack_level,
        "commit_time": committed,
        "repeated": written.repeated,
    }


def _refusals(answer: Answer) -> list[pb2.ItemRefusal]:
    return [
        pb2.ItemRefusal(item_index=refusal.index, reason=refusal.reason, field=refusal.field, message=refusal.message)
        for refusal in answer.refusals
    ]
