"""Make the reduced definitions of operators' kinds anew: reduce_definitions.py FOLDER.

FOLDER has a clone, bare or not, of each repository in SETS, under the repository's name. What is kept of each released
CustomResourceDefinition is what decides whether an object is valid; where it comes from is written into each file. Runs
in the environment of the deploy tools. To take a newer release: change `release` in SETS and run it again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from custom_resources import DEFINITIONS, Loader

LIMIT = 60.0  # seconds that one call of git may take
# Words for people and for the operator's own use: no object is valid or not by them.
DROPPED = frozenset({"description", "example", "examples", "externalDocs", "title"})


@dataclass(frozen=True, slots=True)
class Set:
    """The definitions that are taken from one repository at one release: of each file one version."""

    repository: str  # owner/name
    release: str  # a tag
    version: str  # of the API, as our objects name it
    files: tuple[str, ...]


SETS = (
    Set(
        "Altinity/clickhouse-operator",
        "release-0.25.6",
        "v1",
        (
            "deploy/helm/clickhouse-operator/crds/"
            "CustomResourceDefinition-clickhouseinstallations.clickhouse.altinity.com.yaml",
        ),
    ),
    Set("cloudnative-pg/cloudnative-pg", "v1.30.0", "v1", ("config/crd/bases/postgresql.cnpg.io_clusters.yaml",)),
    Set("kedacore/keda", "v2.20.2", "v1alpha1", ("config/crd/bases/keda.sh_scaledobjects.yaml",)),
    Set(
        "kubernetes-sigs/gateway-api",
        "v1.6.1",
        "v1",
        tuple(
            f"config/crd/standard/gateway.networking.k8s.io_{name}.yaml"
            for name in ("gateways", "grpcroutes", "httproutes")
        ),
    ),
    Set(
        "open-telemetry/opentelemetry-operator",
        "v0.158.0",
        "v1beta1",
        ("config/crd/bases/opentelemetry.io_opentelemetrycollectors.yaml",),
    ),
    Set(
        "prometheus-operator/prometheus-operator",
        "v0.93.0",
        "v1",
        tuple(
            f"example/prometheus-operator-crd/monitoring.coreos.com_{name}.yaml"
            for name in ("podmonitors", "prometheusrules")
        ),
    ),
    Set(
        "strimzi/strimzi-kafka-operator",
        "1.2.0",
        "v1",
        tuple(
            f"install/cluster-operator/04{name}.yaml"
            for name in ("0-Crd-kafka", "1-Crd-kafkaconnect", "5-Crd-kafkanodepool", "7-Crd-kafkaconnector")
        ),
    ),
)


def git(clone: Path, *words: str) -> bytes:
    """Return what git printed. Raises CalledProcessError or TimeoutExpired."""
    command = [shutil.which("git") or "git", "-C", str(clone), *words]
    return subprocess.run(command, capture_output=True, check=True, timeout=LIMIT).stdout


def reduced(schema: Any) -> Any:
    """Return the schema without what is only for people; names of fields are left alone, whatever they are."""
    if isinstance(schema, list):
        return [reduced(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: reduced(value) for key, value in schema.items() if key not in DROPPED and key != "properties"}
    if "properties" in schema:
        kept["properties"] = {name: reduced(value) for name, value in schema["properties"].items()}
    # A default is data, and so are the values that are allowed.
    return {**kept, **{key: schema[key] for key in ("default", "enum") if key in schema}}


def without_status(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a whole object without its status, which only the operator writes."""
    kept = {**schema, "properties": {name: each for name, each in schema["properties"].items() if name != "status"}}
    if "required" in kept:
        kept["required"] = [name for name in kept["required"] if name != "status"]
    return kept


def definition(source: Mapping[str, Any], version: str, origin: Mapping[str, str]) -> dict[str, Any]:
    """Return the reduced definition of one version of a kind: a definition still, as a full one would be."""
    spec = source["spec"]
    [chosen] = [each for each in spec["versions"] if each["name"] == version]
    schema = without_status(reduced(chosen["schema"]["openAPIV3Schema"]))
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": source["metadata"]["name"], "annotations": dict(origin)},
        "spec": {
            "group": spec["group"],
            "names": {"kind": spec["names"]["kind"]},
            "versions": [{"name": version, "schema": {"openAPIV3Schema": schema}}],
        },
    }


def write(clones: Path, wanted: Set) -> int:
    """Write the definitions of one set into a folder of its own and return how many bytes they have."""
    clone = clones / wanted.repository.partition("/")[2]
    commit = git(clone, "rev-list", "-1", wanted.release).decode().strip()
    folder = DEFINITIONS / wanted.repository.partition("/")[2]
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.json"):
        old.unlink()
    size = 0
    for path in wanted.files:
        text = git(clone, "show", f"{wanted.release}:{path}")
        origin = {
            "origin": f"https://github.com/{wanted.repository}",
            "release": wanted.release,
            "commit": commit,
            "path": path,
            "sha256": hashlib.sha256(text).hexdigest(),
            "licence": "Apache-2.0 (see LICENSE and README.md beside the folders)",
            "changed": "reduced by infra/checks/reduce_definitions.py: one version, without descriptions and status",
        }
        whole = yaml.load(text, Loader)  # noqa: S506  # a SafeLoader
        made = definition(whole, wanted.version, origin)
        content = json.dumps(made, separators=(",", ":"), sort_keys=True) + "\n"
        size += (folder / f"{made['spec']['names']['kind']}.json").write_text(content, "utf-8")
    return size


def main(clones: Path) -> int:
    """Write every set and print its size."""
    sizes = {wanted.repository: write(clones, wanted) for wanted in SETS}
    for repository, size in sizes.items():
        print(f"{repository:42} {size:8,} bytes")
    print(f"{'together':42} {sum(sizes.values()):8,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
