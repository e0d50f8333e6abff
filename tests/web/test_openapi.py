"""The OpenAPI document: it is complete, and the server does what it says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.specs.openapi.checks import negative_data_rejection

from runner.web.app import create_app
from runner.web.openapi import TAGS, described
from runner.web.problems import MEDIA_TYPE
from runner.web.settings import Settings
from tests.web.conftest import Web
from tests.web.listening import listening

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "2"))
"""Requests of each kind to each operation; `make fuzz-api` makes more of them."""

STREAM = "/api/v1/tasks/{task}/stream"
"""Its answer doesn't end, so nothing here waits for it."""

DOCUMENT = described(create_app(Settings(conninfo="dbname=none")))
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
OPERATIONS = [
    (method.upper(), path)
    for path, methods in DOCUMENT["paths"].items()
    for method in methods
    if path != STREAM
]
CHECKS = [
    content_type_conformance, not_a_server_error, response_headers_conformance,
    response_schema_conformance, status_code_conformance,
]  # fmt: skip
TASKS = ("vehicle_images", "quality_score", "face_index", "image_signals")


def test_no_page_is_in_the_document() -> None:
    """It is for programs: what answers HTML is left out."""
    places = ("/api/", "/functions/", "/metrics", "/healthz", "/readyz")
    assert [path for path in DOCUMENT["paths"] if not path.startswith(places)] == []


def test_every_operation_is_described() -> None:
    """Each has an id of its own, a heading, words, a known tag, and its errors as problems."""
    ids = []
    tags = {name for name, _ in TAGS}
    operations = [
        (path, operation)
        for path, methods in DOCUMENT["paths"].items()
        for operation in methods.values()
    ]
    for path, operation in operations:
        ids.append(operation["operationId"])
        assert operation["summary"]
        assert operation["description"], path
        assert set(operation["tags"]) <= tags
        errors = {status for status in operation["responses"] if status >= "4"}
        for status in errors:
            assert list(operation["responses"][status]["content"]) == [MEDIA_TYPE]
        if path.startswith(("/api/", "/functions/")):
            assert errors >= {"401", "403", "422", "503"}
            assert operation["security"] == [{"token": []}]
    assert len(ids) == len(set(ids))


def test_every_member_says_what_it_is() -> None:
    """Schemas are described, and so are members whose name doesn't say it all."""
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert schema.get("description"), name


@pytest.fixture(scope="module")
def address(api_server: Web) -> Iterator[str]:
    """The server's address, over a real socket."""
    with listening(api_server.client.app) as url:
        yield url


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    """Keeps its connection."""
    with requests.Session() as made:
        yield made


@pytest.mark.parametrize("method, path", OPERATIONS, ids=str)
def test_the_server_does_what_the_document_says(
    web: Web, address: str, session: requests.Session, method: str, path: str
) -> None:
    """Whatever is sent: no 5xx, and no answer that the document doesn't have."""
    operation = SCHEMA[path][method]
    headers = {"Authorization": f"Bearer {web.secrets['admin']}"}

    def check(case: Any, task: str | None, *more: Any) -> None:
        if task is not None and "task" in case.path_parameters:
            case.path_parameters["task"] = task
        if task is not None and isinstance(case.body, dict) and "task" in case.body:
            case.body["task"] = task
        case.call_and_validate(
            base_url=address, headers=headers, session=session, checks=[*CHECKS, *more]
        )

    quietly = settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    tasks = st.sampled_from((None, *TASKS))

    @quietly
    @given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE), task=tasks)
    def good(case: Any, task: str | None) -> None:
        check(case, task)

    @quietly
    @given(case=operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
    def bad(case: Any) -> None:
        check(case, None, negative_data_rejection)

    good()
    if operation.body or any(operation.iter_parameters()):
        bad()


def test_other_methods_are_refused(web: Web, address: str, session: requests.Session) -> None:
    """What the document doesn't have is 405, with the methods that there are."""
    for path, methods in DOCUMENT["paths"].items():
        if path == STREAM:
            continue
        for method in {"get", "put", "post", "patch", "delete"} - set(methods):
            url = address + path.format(task="vehicle_images", run=1, name="x")
            answer = session.request(
                method, url, headers={"Authorization": f"Bearer {web.secrets['admin']}"}
            )
            assert answer.status_code == 405, (method, path)
            allowed = {name.strip().lower() for name in answer.headers["Allow"].split(",")}
            assert allowed == set(methods), (method, path)
