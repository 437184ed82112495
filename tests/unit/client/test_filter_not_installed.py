"""A filter in text without its library is refused by an error that says what to install."""

import sys

import pytest
from atlas.query.v1 import query_service_pb2 as pb
from atlas_client import FilterNotInstalled
from atlas_client.reads import _chosen


def test_without_the_library_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("atlas_client.filters", "atlas_client.cel_syntax"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "cel_expr_python", None)
    with pytest.raises(FilterNotInstalled, match=r"atlas-telemetry\[client\]"):
        _chosen('asset_type == "disk"', None)
    predicate = pb.Predicate(asset_type="disk")
    assert _chosen("", predicate) is predicate
