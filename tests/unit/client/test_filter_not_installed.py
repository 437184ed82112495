"""A filter in text without its library is refused by an error that says what to install."""

import sys

import pytest
import typer
from atlas.query.v1 import query_service_pb2 as pb
from atlas_cli.commands.queries import _predicate
from atlas_client import FilterNotInstalled
from atlas_client.reads import _chosen

WHERE = 'asset_type == "disk"'


@pytest.fixture
def without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("atlas_client.filters", "atlas_client.cel_syntax"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "cel_expr_python", None)


@pytest.mark.usefixtures("without_the_library")
def test_without_the_library_the_error_names_the_extra() -> None:
    with pytest.raises(FilterNotInstalled, match=r"atlas-telemetry\[client\]"):
        _chosen(WHERE, None)
    predicate = pb.Predicate(asset_type="disk")
    assert _chosen("", predicate) is predicate


@pytest.mark.usefixtures("without_the_library")
def test_without_the_library_the_command_ends_with_a_line_that_names_the_extra(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(typer.Exit) as ended:
        _predicate(WHERE)
    assert ended.value.exit_code == 2
    assert "atlas-telemetry[client]" in capsys.readouterr().err
