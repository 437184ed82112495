"""Check objects of operators' kinds by the operators' definitions: custom_resources.py DEFINITIONS RENDERED...

DEFINITIONS is a folder with CustomResourceDefinitions in YAML files. Runs in the environment of the deploy tools.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import yaml

KUBERNETES = {"v1", "apps/v1", "batch/v1", "autoscaling/v2", "policy/v1", "networking.k8s.io/v1"}


class Loader(yaml.SafeLoader):  # type: ignore[misc]
    """A loader that takes a lone `=` for what it is, a text; YAML 1.1 has a type of its own for it."""


Loader.add_constructor("tag:yaml.org,2002:value", lambda loader, node: loader.construct_scalar(node))


def definitions(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the schema of each kind that is defined in the folder, by version and kind."""
    found = {}
    for file in sorted(folder.rglob("*.yaml")):
        for each in yaml.load_all(file.read_text("utf-8"), Loader):
            if isinstance(each, dict) and each.get("kind") == "CustomResourceDefinition":
                spec = each["spec"]
                for version in spec["versions"]:
                    key = (f"{spec['group']}/{version['name']}", spec["names"]["kind"])
                    found[key] = closed(version["schema"]["openAPIV3Schema"])
    return found


def closed(schema: Any) -> Any:
    """Return the schema with no room for what it does not name: a misspelt field is an error then."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: closed(value) for key, value in schema.items()}
    named = isinstance(schema.get("properties"), dict) and schema.get("type") == "object"
    if named and not schema.get("x-kubernetes-preserve-unknown-fields") and "additionalProperties" not in schema:
        inner["additionalProperties"] = False
    if schema.get("x-kubernetes-int-or-string"):
        inner.pop("type", None)
    return inner


def faults(each: dict[str, Any], schema: dict[str, Any]) -> Iterator[str]:
    """Yield what is wrong with an object."""
    bare = {**schema, "properties": {**schema["properties"], "metadata": {}, "apiVersion": {}, "kind": {}}}
    for error in jsonschema.Draft202012Validator(bare).iter_errors(each):
        path = "/".join(map(str, error.absolute_path))
        yield f"{each['kind']} {each['metadata']['name']}: {path}: {error.message[:200]}"


def main(folder: Path, files: list[Path]) -> int:
    """Print what is wrong and how many objects were checked; 1 if any is wrong or has no definition."""
    known, wrong, checked = definitions(folder), [], 0
    for file in files:
        for each in yaml.load_all(file.read_text("utf-8"), Loader):
            if not each or each["apiVersion"] in KUBERNETES:
                continue
            schema = known.get((each["apiVersion"], each["kind"]))
            if schema is None:
                wrong.append(f"{each['apiVersion']} {each['kind']}: no definition in {folder}")
                continue
            checked += 1
            wrong += faults(each, schema)
    print("\n".join([*sorted(set(wrong)), f"{checked} custom resources by {len(known)} definitions"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]]))
