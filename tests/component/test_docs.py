"""The documentation of each API: nothing that it answers has to be guessed."""

from typing import Any

import jsonschema_rs
import pytest
from openapi_spec_validator import validate

from order_service.web.examples import FIELDS
from shared.http.problems import KINDS, MEDIA_TYPE, TYPE
from shared.http.serve import end
from shared.service import services
from tests.component.apps import application, prepare

SERVICES = tuple(services())


@pytest.mark.parametrize("service", SERVICES)
def test_every_answer_has_a_schema(service: str, database_url: str) -> None:
    """Each call has a name, says what it does and what goes in and out; all that is described is used."""
    prepare(service, database_url)
    app = application(service, database_url)
    answered = app.test_client().get("/openapi.json")
    document = answered.json
    assert document["openapi"] == "3.1.0"
    calls = {
        f"{method} {path}": call
        for path, item in document["paths"].items()
        for method, call in item.items()
        if method != "parameters"
    }
    assert all(call["summary"] for call in calls.values())
    bare = {
        name
        for name, call in calls.items()
        for status, response in call["responses"].items()
        if status.startswith("2") and not any("schema" in each for each in response.get("content", {}).values())
    }
    assert bare - {"get /orders/{order_id}/events"} == {"get /healthz", "get /readyz"}  # a stream has no schema
    operations = [call["operationId"] for call in calls.values()]
    assert len(set(operations)) == len(operations)
    assert all(operation.isalpha() for operation in operations)
    bodies = [call["requestBody"]["content"]["application/json"] for call in calls.values() if "requestBody" in call]
    assert all(body["example"] for body in bodies)
    named = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert {each for each in named if f'"{each}"' not in answered.text} == set()
    end(app)


def described(service: str, database_url: str) -> dict[str, Any]:
    app = application(service, database_url)
    document: dict[str, Any] = app.test_client().get("/openapi.json").json
    end(app)
    return document


def satisfies(value: Any, schema: dict[str, Any], document: dict[str, Any]) -> bool:
    """Whether the schema, which may refer to others of the document, lets this pass."""
    return bool(jsonschema_rs.validator_for({**schema, "components": document["components"]}).is_valid(value))


@pytest.mark.parametrize("service", SERVICES)
def test_the_documentation_is_valid_and_full_of_examples(service: str, database_url: str) -> None:
    """A validator accepts it. Each answer has an example that its schema lets pass, each problem one of every
    kind, and so has each body that is sent."""
    document = described(service, database_url)
    validate(document)
    answers = [
        content
        for item in document["paths"].values()
        for method, call in item.items()
        if method != "parameters"
        for content in (
            *call.get("requestBody", {}).get("content", {}).values(),
            *(each for response in call["responses"].values() for each in response.get("content", {}).values()),
        )
        if "schema" in content and content["schema"].get("type") != "string"  # a stream
    ]
    assert len(answers) > 8
    for content in answers:
        assert satisfies(content["example"], content["schema"], document), content
    problems = document["components"]["responses"]
    statuses = {each.removeprefix(TYPE) for kinds in KINDS.values() for each in kinds}
    for name in problems.keys() - {"DEFAULT_ERROR"}:
        content = problems[name]["content"][MEDIA_TYPE]
        assert content["examples"].keys() <= statuses
        for kind, example in content["examples"].items():
            assert example["value"]["type"] == TYPE + kind
            assert satisfies(example["value"], content["schema"], document)


def test_no_example_is_for_nothing(database_url: str) -> None:
    """What the Order API's examples name is in its documentation."""
    schemas = described("order", database_url)["components"]["schemas"]
    named = {f"{name}.{field}" for name, schema in schemas.items() for field in schema.get("properties", {})}
    assert FIELDS.keys() - named - {each.rpartition(".")[2] for each in named} == set()
