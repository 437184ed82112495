"""Run every validator of the deployments and print what ran, what was skipped and why; 1 if anything failed.

Called by `make check-deploy`, which makes the tools' environments first: build/deploy/tools and build/deploy/checkov.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "deploy"
TOOLS, CHECKOV = BUILD / "tools" / "bin", BUILD / "checkov" / "bin"
RENDERED = BUILD / "rendered"
TERRAFORM = ROOT / "infra" / "terraform"
OVERLAYS = ("base", "overlays/dev", "overlays/prod", "overlays/operators", "overlays/observability")
VERSIONS = ("1.34", "1.35", "1.36")
ENV_FILES = ("", "infra/compose/observability.env", "infra/compose/faults.env")
LIMIT = 300.0  # seconds that one validator may take
PROVIDER = "registry.terraform.io/hashicorp/aws"
# Where the provider may lie: Terraform's usual folders, below the home and of the machine, then folders named for it.
OF_HOME = (".terraform.d/plugins", ".local/share/terraform/plugins", "Library/Application Support/io.terraform/plugins")
OF_MACHINE = tuple(Path(folder) / "terraform/plugins" for folder in ("/usr/local/share", "/usr/share"))
NAMED = (Path("/opt/tf-plugins"), Path("/usr/local/tf-plugins"))
REASON = 300  # characters of why a mirror cannot be used


class Skipped(Exception):
    """A check cannot run here; the text says why."""


class Failed(Exception):
    """A check found something; the text is what the validator said."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one check."""

    name: str
    result: str  # ran, skipped or FAILED
    seconds: float
    note: str


def run(*command: str | Path, cwd: Path = ROOT, environment: Mapping[str, str] | None = None) -> str:
    """Run a validator and return what it printed. Raises Failed with that if it fails or takes longer than LIMIT."""
    words = [str(word) for word in command]
    try:
        merged = {**os.environ, **(environment or {})}
        done = subprocess.run(words, cwd=cwd, env=merged, capture_output=True, text=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        raise Failed(f"{words[0]} took longer than {LIMIT:g} s") from None
    if done.returncode:
        raise Failed(f"{' '.join(words)}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def agreement() -> str:
    """Names, ports, probes, variables, topics, slot and secrets agree."""
    said = run(ROOT / ".venv/bin/python", "-m", "pytest", "-q", "-rs", "tests/unit/deploy")
    if "skipped" in said.splitlines()[-1]:
        raise Failed(said)
    return said.splitlines()[-1]


def hadolint() -> str:
    """Every Dockerfile is clean."""
    files = [*sorted((ROOT / "services").glob("*/Dockerfile")), ROOT / "infra/debezium/Dockerfile"]
    run(TOOLS / "hadolint", *files)
    return f"{len(files)} Dockerfiles"


def compose_schema() -> str:
    """docker-compose.yml is of the compose specification's schema."""
    run(TOOLS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml")
    return "schema of the compose specification"


def compose_config() -> str:
    """Compose itself reads the file, with each profile."""
    for file in ENV_FILES:
        run(TOOLS / "docker-compose", *(["--env-file", file] if file else []), "config", "--quiet")
    return f"{len(ENV_FILES)} sets of profiles"


def kustomize() -> str:
    """The base and each overlay can be rendered."""
    RENDERED.mkdir(parents=True, exist_ok=True)
    for overlay in OVERLAYS:
        text = run(TOOLS / "kubectl", "kustomize", ROOT / "k8s" / overlay)
        rendered(overlay).write_text(text)
    return f"{len(OVERLAYS)} renderings"


def rendered(overlay: str) -> Path:
    """Return where the rendering of an overlay lies."""
    return RENDERED / f"{overlay.replace('/', '-')}.yaml"


def kubernetes() -> str:
    """Every object of Kubernetes' own kinds is valid, strictly, for each version."""
    unknown, files = set(), [rendered(overlay) for overlay in OVERLAYS]
    for version in VERSIONS:
        said = run(TOOLS / "kubernetes-validate", "-k", version, "--strict", *files)
        unknown |= {line.split(" for kind ")[1].split()[0] for line in said.splitlines() if " for kind " in line}
    return f"strict for {', '.join(VERSIONS)}; other kinds, see the next line: {', '.join(sorted(unknown))}"


def custom_resources() -> str:
    """Every object of an operator's kind is valid by the operator's own definition."""
    folder = os.environ.get("CRD_DIR", "")
    also = ["--also", folder] if folder else []
    said = run(TOOLS / "python", "infra/checks/custom_resources.py", *also, *(rendered(each) for each in OVERLAYS))
    return said.strip().splitlines()[-1]


def checkov(framework: str, *what: str | Path) -> Callable[[], str]:
    """Return the check of these files by checkov's policies; exceptions stand in the files, each with its reason."""

    def check() -> str:
        said = run(CHECKOV / "checkov", "--compact", "--quiet", "--skip-download", "--framework", framework, *what)
        counts = [line for line in said.splitlines() if line.startswith("Passed checks")]
        if not counts or any("Parsing errors" in line for line in counts):
            raise Failed(said)
        return "; ".join(counts)

    return check


def terraform() -> str:
    """Return the path of Terraform. Raises Skipped if there is none."""
    found = shutil.which("terraform")
    if found is None:
        raise Skipped("terraform is not installed")
    return found


def asked_for() -> list[Path]:
    """Return the mirror that TF_PLUGIN_MIRROR names, if it does; a relative one is the caller's."""
    named = os.environ.get("TF_PLUGIN_MIRROR", "")
    return [Path(named).expanduser().resolve()] if named else []


def usual() -> list[Path]:
    """Return the other folders in which the provider may lie, the most wanted first."""
    home = Path.home()
    return [*(home / folder for folder in OF_HOME), *OF_MACHINE, ROOT / "tf-plugins", home / "tf-plugins", *NAMED]


def mirrors() -> list[Path]:
    """Return the folders that have the provider, the most wanted first."""
    return [folder for folder in asked_for() + usual() if (folder / PROVIDER).is_dir()]


def without_provider() -> list[str]:
    """Say of the mirror that was asked for that it has no provider, if that is so."""
    return [f"{folder} has no {PROVIDER}" for folder in asked_for() if not (folder / PROVIDER).is_dir()]


def terraform_environment() -> dict[str, str]:
    """Return the environment of every call: a settings file of our own, so that none of the machine's is missed."""
    settings = BUILD / "terraformrc"
    settings.write_text("disable_checkpoint = true\n")
    return {"TF_CLI_CONFIG_FILE": str(settings), "TF_DATA_DIR": str(BUILD / "terraform"), "CHECKPOINT_DISABLE": "1"}


def terraform_format() -> str:
    """Every file is formatted."""
    run(terraform(), "fmt", "-check", "-recursive", "-diff", cwd=TERRAFORM, environment=terraform_environment())
    return "every file"


def terraform_init() -> str:
    """The provider is there: from a mirror, or from the registry."""
    init = (terraform(), "init", "-input=false", "-backend=false", "-no-color")
    environment = terraform_environment()
    wanted = [(str(mirror), [f"-plugin-dir={mirror}"]) for mirror in mirrors()] + [("the registry", [])]
    unusable = without_provider() or ([] if mirrors() else ["no mirror (TF_PLUGIN_MIRROR names one)"])
    for place, option in wanted:
        try:
            run(*init, *option, cwd=TERRAFORM, environment=environment)
        except Failed as refused:
            unusable.append(f"{place}: {textwrap.shorten(error_of(str(refused)), REASON)}")
        else:
            return "; ".join([f"provider from {place}", *unusable])
    raise Skipped("; ".join(["no provider", *unusable]))


def error_of(said: str) -> str:
    """Return Terraform's errors in one line, without the frame around them; all of it if there is none."""
    lines = [line.strip("╷│╵ ") for line in said.splitlines()]
    begun = next((number for number, line in enumerate(lines) if line.startswith("Error")), 0)
    return " ".join(line for line in lines[begun:] if line)


def terraform_validate() -> str:
    """The configuration is valid."""
    needs_provider()
    run(terraform(), "validate", "-no-color", cwd=TERRAFORM, environment=terraform_environment())
    return "root and modules"


def terraform_test() -> str:
    """The tests hold, with a mock of the provider; and each environment's values can be planned."""
    needs_provider()
    lines = []
    files = [file for file in sorted((TERRAFORM / "tests").glob("*.tftest.hcl")) if file.stem != "environment.tftest"]
    filters = [f"-filter=tests/{file.name}" for file in files]
    wanted = [filters, *(environment_arguments(name) for name in ("dev", "prod"))]
    for arguments in wanted:
        said = run(terraform(), "test", "-no-color", *arguments, cwd=TERRAFORM, environment=terraform_environment())
        lines += [line for line in said.splitlines() if line.startswith("Success!")]
    if len(lines) != len(wanted):
        raise Failed("\n".join(lines))
    return "; ".join(lines)


def environment_arguments(name: str) -> list[str]:
    """Return what makes Terraform's test plan with the values of one environment."""
    return ["-filter=tests/environment.tftest.hcl", f"-var-file=environments/{name}.tfvars"]


def needs_provider() -> None:
    """Raise Skipped unless `terraform_init` has brought the provider."""
    terraform()
    if not (BUILD / "terraform" / "providers").is_dir():
        raise Skipped("no provider: see terraform init")


Check = tuple[str, Callable[[], str]]
# Two lanes, run beside one another; within a lane a check may need what those before it made.
OBJECTS: Sequence[Check] = (
    ("agreement of the deployments", agreement),
    ("hadolint", hadolint),
    ("compose: schema", compose_schema),
    ("compose: config", compose_config),
    ("kustomize", kustomize),
    ("kubernetes-validate", kubernetes),
    ("custom resources", custom_resources),
    ("checkov: overlay dev", checkov("kubernetes", "--file", rendered("overlays/dev"))),
    ("checkov: overlay prod", checkov("kubernetes", "--file", rendered("overlays/prod"))),
    ("checkov: observability", checkov("kubernetes", "--file", rendered("overlays/observability"))),
)
FILES: Sequence[Check] = (
    ("checkov: Dockerfiles", checkov("dockerfile", "--directory", "services")),
    ("checkov: Connect's image", checkov("dockerfile", "--file", "infra/debezium/Dockerfile")),
    ("checkov: Terraform", checkov("terraform", "--directory", "infra/terraform")),
    ("terraform fmt", terraform_format),
    ("terraform init", terraform_init),
    ("terraform validate", terraform_validate),
    ("terraform test", terraform_test),
)


def checked(name: str, check: Callable[[], str]) -> Outcome:
    """Run one check and return what came of it; what a failed one said is printed at once."""
    begun = time.monotonic()
    try:
        result, note = "ran", check()
    except Skipped as skipped:
        result, note = "skipped", str(skipped)
    except Failed as failed:
        print(f"--- {name}\n{failed}", flush=True)
        result, note = "FAILED", "see above"
    return Outcome(name, result, time.monotonic() - begun, note)


def main() -> int:
    """Run all, print the table and return 1 if any failed."""
    shutil.rmtree(BUILD / "terraform", ignore_errors=True)
    with ThreadPoolExecutor(2) as two:
        lanes = list(two.map(lambda lane: [checked(name, check) for name, check in lane], (OBJECTS, FILES)))
    outcomes = [outcome for lane in lanes for outcome in lane]
    for each in outcomes:
        print(f"{each.name:30} {each.result:8} {each.seconds:6.1f} s  {each.note}")
    counts = {result: sum(each.result == result for each in outcomes) for result in ("ran", "skipped", "FAILED")}
    print(", ".join(f"{count} {result}" for result, count in counts.items()))
    return 1 if counts["FAILED"] else 0


if __name__ == "__main__":
    sys.exit(main())
