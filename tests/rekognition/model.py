"""The API's model as the AWS SDK has it: which values a request or an answer may hold."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import botocore.session
from botocore.model import ListShape, OperationModel, ServiceModel, Shape, StructureShape

_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str, "blob": str, "integer": int, "long": int, "float": (int, float),
    "timestamp": (int, float), "boolean": bool, "list": list, "map": dict, "structure": dict,
}  # fmt: skip


@lru_cache(maxsize=1)
def service_model() -> ServiceModel:
    """That of the SDK that is installed."""
    return botocore.session.get_session().get_service_model("rekognition")


@lru_cache
def operation_model(operation: str) -> OperationModel:
    """That of one operation."""
    return service_model().operation_model(operation)


def violations(shape: Shape | None, value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Each place of `value` (JSON) that isn't as the model has it, and what is wrong there.

    Lengths of blobs are those of their base64 text, so `limits` sees to them.
    """
    if shape is None:
        return
    if not _fits(shape, value):
        yield path, f"is no {shape.type_name}"
    elif isinstance(shape, StructureShape):
        yield from _in_structure(shape, value, path)
    else:
        yield from _in_value(shape, value, path)
        if isinstance(shape, ListShape):
            for number, one in enumerate(value):
                yield from violations(shape.member, one, f"{path}[{number}]")


def _fits(shape: Shape, value: Any) -> bool:
    if isinstance(value, bool):
        return shape.type_name == "boolean"
    return isinstance(value, _TYPES[shape.type_name])


def _in_structure(
    shape: StructureShape, value: Mapping[str, Any], path: str
) -> Iterator[tuple[str, str]]:
    for name in shape.required_members:
        if name not in value:
            yield f"{path}.{name}".lstrip("."), "Member must not be null"
    for name, one in value.items():
        place = f"{path}.{name}".lstrip(".")
        if name in shape.members:
            yield from violations(shape.members[name], one, place)
        else:
            yield place, "is no member"


def _in_value(shape: Shape, value: Any, path: str) -> Iterator[tuple[str, str]]:
    limits = shape.metadata
    pattern, allowed = limits.get("pattern"), limits.get("enum")
    if shape.type_name != "blob":
        size = len(value) if isinstance(value, str | list | dict) else value
        if "min" in limits and size < limits["min"]:
            yield path, f"Member must be at least {limits['min']}"
        if "max" in limits and size > limits["max"]:
            yield path, f"Member must be at most {limits['max']}"
    if pattern and not re.fullmatch(pattern, value):
        yield path, f"Member must satisfy regular expression pattern: {pattern}"
    if allowed and value not in allowed:
        yield path, f"Member must satisfy enum value set: {allowed}"
