"""What `make check-deploy` says of checks that fail or cannot run."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from atlas_local.connect import worker_settings
from atlaskit.model import Source
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


class Terraform:
    """Stands in for `run`: an init from a place that is not usable fails as Terraform does."""

    def __init__(self, checks: ModuleType, usable: str) -> None:
        self._failed, self._usable = checks.Failed, usable
        self.asked: list[str] = []

    def __call__(self, *command: object, **_: object) -> str:
        option = str(command[-1])
        self.asked.append(option.removeprefix("-plugin-dir=") if option.startswith("-plugin-dir=") else "registry")
        if self.asked[-1] != self._usable:
            raise self._failed(NO_PROVIDER)
        return ""


@pytest.fixture
def machine(checks: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with Terraform and no mirror; everything that the checks look at lies in the folder."""
    for name, value in {
        "ROOT": tmp_path / "root",
        "BUILD": tmp_path,
        "OF_MACHINE": (tmp_path / "share",),
        "NAMED": (tmp_path / "opt",),
        "terraform": lambda: "terraform",
    }.items():
        monkeypatch.setattr(checks, name, value)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TF_PLUGIN_MIRROR", raising=False)
    return tmp_path


def mirror(checks: ModuleType, folder: Path) -> Path:
    (folder / checks.PROVIDER).mkdir(parents=True)
    return folder


def test_a_mirror_that_is_named_comes_first_and_is_the_callers_also_where_terraform_runs_elsewhere(
    checks: ModuleType, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = ["home/.terraform.d/plugins", "home/.local/share/terraform/plugins"]
    usual += ["home/Library/Application Support/io.terraform/plugins", "share"]
    there = [mirror(checks, machine / name) for name in (*usual, "root/tf-plugins", "home/tf-plugins", "opt")]
    assert checks.mirrors() == there
    monkeypatch.chdir(machine)
    monkeypatch.setenv("TF_PLUGIN_MIRROR", "own/mirror")
    own = mirror(checks, machine / "own/mirror")
    assert checks.mirrors() == [own, *there]
    asked = Terraform(checks, usable=str(own))
    monkeypatch.setattr(checks, "run", asked)
    assert checks.terraform_init() == f"provider from {own}"
    assert asked.asked == [str(own)]


def test_a_mirror_that_cannot_be_used_is_passed_over_and_told_of(
    checks: ModuleType, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = mirror(checks, machine / "home/.terraform.d/plugins")
    usable = mirror(checks, machine / "opt")
    monkeypatch.setattr(checks, "run", asked := Terraform(checks, usable=str(usable)))
    outcome = checks.checked("init", checks.terraform_init)
    assert outcome.result == "ran"
    assert outcome.note.startswith(f"provider from {usable}; {broken}: Error: Failed to query")
    assert asked.asked == [str(broken), str(usable)]


def test_where_nothing_can_be_used_the_checks_of_the_provider_are_skipped_with_every_reason(
    checks: ModuleType, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_PLUGIN_MIRROR", str(machine / "empty"))
    broken = mirror(checks, machine / "opt")
    monkeypatch.setattr(checks, "run", asked := Terraform(checks, usable="nothing"))
    outcome = checks.checked("init", checks.terraform_init)
    assert outcome.result == "skipped"
    assert outcome.note.startswith(f"no provider; {machine / 'empty'} has no {checks.PROVIDER}; {broken}: Error: Fail")
    assert "; the registry: Error: Failed to query available provider packages" in outcome.note
    assert asked.asked == [str(broken), "registry"]
    for check in (checks.terraform_validate, checks.terraform_test):
        assert checks.checked("next", check).result == "skipped"


def test_where_no_mirror_was_named_the_reason_says_how_to_name_one_and_is_short(
    checks: ModuleType, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "run", Terraform(checks, usable="nothing"))
    monkeypatch.setattr(checks, "REASON", 30)
    note = checks.checked("init", checks.terraform_init).note
    assert note == "no provider; no mirror (TF_PLUGIN_MIRROR names one); the registry: Error: Failed to query [...]"


def test_the_worker_of_msk_connect_is_set_up_like_the_embedded_one() -> None:
    text = (ROOT / "infra/terraform/modules/capture/main.tf").read_text()
    [block] = re.findall(r"<<-PROPERTIES\n(.*?)\n\s*PROPERTIES\n", text, re.DOTALL)
    found = dict(line.strip().split("=", 1) for line in block.splitlines())
    wanted = worker_settings("h:1", 1, Path("/p"))
    # What the service or the machine decides: addresses, topics, plugins, and how soon a dead worker is given up.
    theirs = ["bootstrap.", "group.", "listeners", "rest.", "plugin.", "config.storage.", "offset.storage.", "status."]
    theirs += ["scheduled.", "session.", "heartbeat."]
    shared = {key: value for key, value in wanted.items() if not key.startswith(tuple(theirs))}
    assert {key: found.get(key) for key in shared} == shared
    passwords = {"config.providers", "config.providers.secretsManager.class"}
    assert found.keys() - shared.keys() == {"connector.client.config.override.policy", *passwords}
    assert found["connector.client.config.override.policy"] == "All"  # Connect's default since 3.0


def test_limits_of_staleness_are_given_for_the_copies_that_the_metric_names() -> None:
    text = (ROOT / "infra/terraform/variables.tf").read_text()
    [named] = re.findall(r"in var\.freshness_limit_seconds : contains\(\[(.*?)\]", text)
    assert set(re.findall(r'"(\w+)"', named)) == {Source.PRIMARY, Source.REPLICA, Source.OLAP}


def test_a_validator_that_finds_something_fails_its_check(
    checks: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = checks.checked(
        "one", lambda: checks.run(sys.executable, "-c", "print('line 7: wrong'); raise SystemExit(3)")
    )
    assert outcome.result == "FAILED"
    assert "line 7: wrong" in capsys.readouterr().out
