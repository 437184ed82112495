"""Check objects of operators' kinds by the operators' definitions: custom_resources.py [--also FOLDER] FILE...

The definitions are those in `definitions` beside this file; `--also` names a folder with more CustomResourceDefinitions
(YAML or JSON), which go before them. FILE has objects as kustomize renders them. Runs in the validators' environment.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from rules import broken, defaulted, rules_of

DEFINITIONS = Path(__file__).parent / "definitions"
KUBERNETES = {"v1", "apps/v1", "batch/v1", "autoscaling/v2", "policy/v1", "networking.k8s.io/v1"}
# Read by kustomize, and not there any more in what it renders.
OURS = {"kustomize.config.k8s.io/v1beta1"}
Key = tuple[str, str]  # version of the API, kind


class Loader(yaml.SafeLoader):  # type: ignore[misc]
    """A loader that takes a lone `=` for what it is, a text; YAML 1.1 has a type of its own for it."""


Loader.add_constructor("tag:yaml.org,2002:value", lambda loader, node: loader.construct_scalar(node))


def documents(file: Path) -> Iterable[Any]:
    """Return what a file of YAML or JSON has in it. Raises YAMLError or JSONDecodeError if it is neither."""
    text = file.read_text("utf-8")
    found: Iterable[Any] = [json.loads(text)] if file.suffix == ".json" else yaml.load_all(text, Loader)
    return found


def definitions(folder: Path) -> dict[Key, dict[str, Any]]:
    """Return the schema of each kind that is defined in the folder or below it."""
    found = {}
    for file in sorted(path for path in folder.rglob("*") if path.suffix in (".yaml", ".yml", ".json")):
        for each in documents(file):
            if isinstance(each, dict) and each.get("kind") == "CustomResourceDefinition":
                spec = each["spec"]
                for version in spec["versions"]:
                    key = (f"{spec['group']}/{version['name']}", spec["names"]["kind"])
                    found[key] = closed(version["schema"]["openAPIV3Schema"])
    return found


def closed(schema: Any) -> Any:
    """Return the schema with no room for what it does not name, so that a misspelt field is an error."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: closed(value) for key, value in schema.items() if key != "properties"}
    if isinstance(schema.get("properties"), dict):
        inner["properties"] = {name: closed(value) for name, value in schema["properties"].items()}
    open_to_all = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if schema.get("type") == "object" and not open_to_all:
        inner["additionalProperties"] = False
    if schema.get("x-kubernetes-int-or-string"):
        inner.pop("type", None)
    return inner


def faults(each: dict[str, Any], schema: dict[str, Any]) -> Iterator[str]:
    """Yield what is wrong with an object: by its schema, or else by the rules in it."""
    bare = {**schema, "properties": {**schema["properties"], "metadata": {}, "apiVersion": {}, "kind": {}}}
    name = f"{each['kind']} {each['metadata']['name']}"
    errors = list(jsonschema.Draft202012Validator(bare).iter_errors(each))
    for error in errors:
        yield f"{name}: {'/'.join(map(str, error.absolute_path))}: {error.message[:200]}"
    if not errors:
        yield from (f"{name}: {said}" for said in broken(defaulted(each, schema), schema))


def ours(files: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """Yield the objects in these files that are of an operator's kind."""
    for file in files:
        for each in documents(file):
            if isinstance(each, dict) and each.get("apiVersion", "") not in KUBERNETES | OURS:
                yield each


def checked(objects: Iterable[dict[str, Any]], known: dict[Key, dict[str, Any]]) -> tuple[list[str], set[Key], int]:
    """Return what is wrong with these objects, of which kinds they are, and how many they are."""
    wrong: set[str] = set()
    met: set[Key] = set()
    count = 0
    for each in objects:
        count += 1
        key = (each["apiVersion"], each["kind"])
        met.add(key)
        wrong |= set(faults(each, known[key])) if key in known else {f"{' '.join(key)}: no definition of this kind"}
    return sorted(wrong), met, count


def main(arguments: Sequence[str]) -> int:
    """Print what is wrong and what was checked; 1 if an object is wrong or has no definition, or if there is none."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--also", type=Path)
    parser.add_argument("files", nargs="+", type=Path)
    given = parser.parse_args(arguments)
    kept = definitions(DEFINITIONS)
    known = kept | (definitions(given.also) if given.also else {})
    wrong, met, count = checked(ours(given.files), known)
    unused = f"; not used: {', '.join(kind for _, kind in sorted(kept.keys() - met))}" if kept.keys() - met else ""
    rules = sum(1 for key in met & known.keys() for _ in rules_of(known[key]))
    print("\n".join(wrong))
    print(f"{count} objects of {len(met)} kinds by their schemas and {rules} rules in CEL{unused}")
    return 1 if wrong or not count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
