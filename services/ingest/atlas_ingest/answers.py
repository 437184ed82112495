"""What became of a batch, as messages of the contract."""

from __future__ import annotations

from typing import NamedTuple

from atlas.ingest.v1 import ingest_service_pb2 as pb2
from atlaskit.batch import Answer, ItemState, Written

from atlas_ingest.acks import AckLevel


class Outcome(NamedTuple):
    """A committed batch, the level it has reached, and the id of the trace of this call (empty: not sampled)."""

    written: Written
    ack_level: AckLevel
    trace_id: str


def write_response_of(outcome: Outcome) -> pb2.WriteAttributesResponse:
    """Return the answer to a batch of writes."""
    written, answer = outcome.written, outcome.written.answer
    response = pb2.WriteAttributesResponse(
        item_states=answer.states,  # type: ignore[arg-type]  # the same numbers
        refusals=_refusals(answer),
        stored_count=answer.count(ItemState.STORED),
        superseded_count=answer.count(ItemState.SUPERSEDED),
        refused_count=answer.count(ItemState.REFUSED),
        write_token=str(written.token) if written.token else "",
        reached_ack_level=outcome.ack_level,  # type: ignore[arg-type]  # the same numbers
        repeated=written.repeated,
        trace_id=outcome.trace_id,
    )
    response.commit_time.FromDatetime(answer.commit_time)
    return response


def delete_response_of(outcome: Outcome) -> pb2.DeleteAttributesResponse:
    """Return the answer to a batch of deletes."""
    written, answer = outcome.written, outcome.written.answer
    response = pb2.DeleteAttributesResponse(
        item_states=answer.states,  # type: ignore[arg-type]  # the same numbers
        refusals=_refusals(answer),
        stored_count=answer.count(ItemState.STORED),
        write_token=str(written.token) if written.token else "",
        reached_ack_level=outcome.ack_level,  # type: ignore[arg-type]  # the same numbers
        repeated=written.repeated,
    )
    response.commit_time.FromDatetime(answer.commit_time)
    return response


def _refusals(answer: Answer) -> list[pb2.ItemRefusal]:
    return [
        pb2.ItemRefusal(item_index=refusal.index, reason=refusal.reason, field=refusal.field, message=refusal.message)
        for refusal in answer.refusals
    ]
