"""What the contracts promise as contracts: numbers, comments on wire shape, and bytes that must stay readable."""

import importlib
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor, FileDescriptor, ServiceDescriptor

ROOT = Path(__file__).parents[2]
MODULES = [
    "atlas.catalogue.v1.catalogue_service_pb2",
    "atlas.freshness.v1.freshness_pb2",
    "atlas.ingest.v1.value_pb2",
    "atlas.ingest.v1.ingest_service_pb2",
    "atlas.query.v1.query_service_pb2",
    "atlas.lag.v1.lag_service_pb2",
]


def descriptor(module: str) -> FileDescriptor:
    file: FileDescriptor = importlib.import_module(module).DESCRIPTOR
    return file


def service(module: str, name: str) -> ServiceDescriptor:
    return descriptor(module).services_by_name[name]


def test_every_proto_is_generated_and_listed_here() -> None:
    protos = {str(path.relative_to(ROOT / "protos")) for path in (ROOT / "protos").rglob("*.proto")}
    assert {descriptor(module).name for module in MODULES} == protos


def test_field_15_of_every_read_response_is_the_certificate() -> None:
    for method in service("atlas.query.v1.query_service_pb2", "QueryService").methods:
        field = method.output_type.fields_by_number[15]
        assert field.name == "freshness"
        assert field.message_type is not None
        assert field.message_type.full_name == "atlas.freshness.v1.Freshness"


def test_every_call_has_a_request_and_a_response_of_its_own() -> None:
    seen: list[Descriptor] = []
    for module in MODULES:
        for offered in descriptor(module).services_by_name.values():
            for method in offered.methods:
                seen += [method.input_type, method.output_type]
    assert len({message.full_name for message in seen}) == len(seen)


@pytest.mark.parametrize("module", MODULES)
def test_unknown_is_a_message_that_can_be_unset_and_never_a_number(module: str) -> None:
    for message in descriptor(module).message_types_by_name.values():
        for field in message.fields:
            if field.name.endswith(("staleness", "_age", "_lag")) or field.name in {"age", "lag", "silence"}:
                assert field.message_type is not None, field.full_name
                assert field.message_type.full_name == "google.protobuf.Duration", field.full_name


@pytest.mark.parametrize("module", MODULES)
def test_enums_begin_with_unspecified_and_carry_their_own_name(module: str) -> None:
    for enum in descriptor(module).enum_types_by_name.values():
        prefix = "".join(f"_{char}" if char.isupper() else char.upper() for char in enum.name).lstrip("_")
        assert enum.values_by_number[0].name == f"{prefix}_UNSPECIFIED"
        assert all(value.name.startswith(f"{prefix}_") for value in enum.values)


def test_a_columnar_batch_written_by_an_old_stub_is_still_read() -> None:
    batch = importlib.import_module("atlas.ingest.v1.ingest_service_pb2").ColumnBatch
    golden = bytes.fromhex("0a024b41220674656d705f633201003a0100420800e40b54020000004a01036a08cdcccccccccc2240")
    read = batch.FromString(golden)
    assert list(read.entity_keys) == ["KA"]
    assert list(read.attribute_keys) == ["temp_c"]
    assert list(read.entity_indexes) == [0]
    assert list(read.attribute_indexes) == [0]
    assert list(read.event_times_us) == [10_000_000_000]
    assert list(read.value_types) == [3]
    assert list(read.double_values) == [9.4]
    assert read.SerializeToString(deterministic=True) == golden
