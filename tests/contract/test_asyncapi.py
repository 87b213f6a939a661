"""The AsyncAPI documents: valid for the official parser, true to the topology, served by each service."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from shared.asyncapi import EVENTS, document, example
from shared.bootstrap import system_topology
from shared.http.serve import end
from shared.messaging.topology import exchange_of, inbox_of
from shared.service import services
from tests.component.apps import application

NODE_MODULES = Path(sys.prefix) / "node" / "node_modules"  # by `deploy/prepare node`
WHOLE = document({name: list(service.handlers) for name, service in services().items()})
PARSE = """
const { Parser } = require("@asyncapi/parser");
const documents = JSON.parse(require("fs").readFileSync(0));
Promise.all(documents.map((each) => new Parser().parse(each))).then((parsed) => {
  const found = parsed.flatMap(({ diagnostics }) => diagnostics.filter((each) => each.severity <= 1));
  const count = parsed.map(({ document }) => document?.allMessages().length);
  console.log(JSON.stringify({ found, count }));
});
"""


def parsed(*documents: dict[str, Any]) -> dict[str, Any]:
    """What the official parser finds wrong (errors and warnings), and how many messages it sees in each document."""
    environment = {**os.environ, "NODE_PATH": str(NODE_MODULES)}
    sent = json.dumps([json.dumps(each) for each in documents])
    done = subprocess.run(
        ["node", "-e", PARSE], input=sent, env=environment, capture_output=True, text=True, timeout=250, check=False
    )
    assert done.returncode == 0, done.stderr
    read: dict[str, Any] = json.loads(done.stdout)
    return read


@pytest.mark.slow
def test_the_official_parser_finds_nothing_wrong() -> None:
    """It sees every message; and it does find what is wrong in a spoiled copy."""
    read = parsed(WHOLE)
    assert read["found"] == []
    assert read["count"] == [len(WHOLE["components"]["messages"])]
    spoiled = json.loads(json.dumps(WHOLE))
    spoiled["operations"]["payment.sends.payment.captured"]["channel"]["$ref"] = "#/channels/payment.caught"
    spoiled["operations"]["order.sends.order.forgotten"]["action"] = "shout"
    wrong = json.dumps(parsed(spoiled)["found"])
    assert "payment.caught" in wrong
    assert "order.sends.order.forgotten" in wrong


def resolved(node: Any) -> Any:
    """The document with what it refers to in its place."""
    if isinstance(node, dict) and "$ref" in node:
        target: Any = WHOLE
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        return resolved(target)
    if isinstance(node, dict):
        return {key: resolved(each) for key, each in node.items()}
    return [resolved(each) for each in node] if isinstance(node, list) else node


@pytest.mark.parametrize("name", EVENTS)
def test_an_example_is_what_its_schema_says(name: str) -> None:
    """The event on the wire satisfies the published schema, alone and in a batch; another event does not."""
    message = WHOLE["components"]["messages"][f"{name}.v{EVENTS[name].version}"]
    batch = WHOLE["components"]["messages"][f"{name}.v{EVENTS[name].version}.batch"]
    event = example(name, EVENTS[name].version)["body"]
    payload = jsonschema_rs.validator_for(resolved(message["payload"]))
    assert payload.is_valid(event)
    assert jsonschema_rs.validator_for(resolved(batch["payload"])).is_valid([event, event])
    assert not payload.is_valid(event | {"type": "lamp.polished"})
    assert not payload.is_valid(event | {"data": event["data"] | {"order_id": f"{event['subject']}\n"}})
    assert not payload.is_valid({key: each for key, each in event.items() if key != "subject"})


def test_who_says_what_is_the_topology() -> None:
    """Each operation is a permission or a binding of the topology, and none of those is missing."""
    topology, operations = system_topology(), WHOLE["operations"].values()
    channels = WHOLE["channels"]
    said = {
        (each["tags"][0]["name"], channels[each["channel"]["$ref"].rpartition("/")[2]]["address"], each["action"])
        for each in operations
    }
    inboxes = {inbox_of(name): name for name in services()}
    heard = {(inboxes[each.queue], each.key, "receive") for each in topology.bindings if each.queue in inboxes}
    may = {(name, key, "send") for name, keys in topology.publishes.items() for key in keys}
    assert said == heard | may
    exchanges = {key: exchange_of(name) for name, keys in topology.publishes.items() for key in keys}
    assert {key: each["bindings"]["amqp"]["exchange"]["name"] for key, each in channels.items()} == exchanges


@pytest.mark.parametrize("name", ["inventory", "order", "payment", "shipping"])
def test_each_service_serves_its_part(name: str, tmp_path: Path) -> None:
    """To everybody, whatever its database does; and a page that reads it, from files of its own."""
    app = application(name, f"sqlite:///{tmp_path}/none.db")
    client = app.test_client()
    served = client.get("/asyncapi.json")
    assert (served.status_code, served.mimetype) == (200, "application/json")
    assert served.json == document({name: list(services()[name].handlers)})
    assert {each["tags"][0]["name"] for each in served.json["operations"].values()} == {name}
    with client.get("/docs/events.html") as page:
        assert "://" not in (text := page.text)
    for part in ("events.js", "events.css", "favicon-32x32.png"):
        assert f'"/docs/{part}"' in text
        with client.get(f"/docs/{part}") as file:
            assert file.status_code == 200
    end(app)
