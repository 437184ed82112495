"""What `make check-deploy` says of checks that fail or cannot run."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from unit.deploy.deployments import ROOT

NO_PROVIDER = """
Initializing provider plugins...
\u2577
\u2502 Error: Failed to query available provider packages
\u2502
\u2502 Could not retrieve the list of available versions
\u2575
"""


@pytest.fixture(scope="module")
def checks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_deploy", ROOT / "infra" / "checks" / "check_deploy.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look for it there
    spec.loader.exec_module(module)
    return module


def test_where_terraform_is_not_installed_its_checks_are_skipped_with_the_reason(
    checks: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    needing = [(name, check) for name, check in checks.FILES if name.startswith("terraform")]
    assert len(needing) == 4
    for name, check in needing:
        outcome = checks.checked(name, check)
        assert (outcome.result, outcome.note) == ("skipped", "terraform is not installed")


def test_a_provider_that_is_not_there_is_told_in_terraforms_own_words(checks: ModuleType) -> None:
    told = "Error: Failed to query available provider packages Could not retrieve the list of available versions"
    assert checks.error_of(NO_PROVIDER) == told
    assert checks.error_of("killed") == "killed"


def test_a_validator_that_finds_something_fails_its_check(
    checks: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = checks.checked(
        "one", lambda: checks.run(sys.executable, "-c", "print('line 7: wrong'); raise SystemExit(3)")
    )
    assert outcome.result == "FAILED"
    assert "line 7: wrong" in capsys.readouterr().out
