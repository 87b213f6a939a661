"""The documentation of each API: nothing that it answers has to be guessed."""

import pytest

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
