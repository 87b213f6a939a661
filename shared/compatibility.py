"""What has changed between two AsyncAPI documents of ours that readers or writers of before cannot bear.

An event is read by services that are older than its writer and by others that are newer. So within a version nothing
may change but for fields that are added and need not be there: any other change surprises one side or the other.
"""

from collections.abc import Iterator, Mapping
from typing import Any

WORDS = frozenset({"title", "description", "examples", "default", "$id"})  # that tell people something, and bind nobody

Schema = Mapping[str, Any]


def breaks(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """A line for each change that breaks somebody, in the order of the names; new events and versions break nobody."""
    return [*_channels(before["channels"], now["channels"]), *_schemas(_data(before), _data(now))]


def _data(document: Mapping[str, Any]) -> dict[str, Schema]:
    """The schemas of what events say, by event and version."""
    return {name: each for name, each in document["components"]["schemas"].items() if "$id" in each}


def _channels(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name, channel in sorted(before.items()):
        exchange = channel["bindings"]["amqp"]["exchange"]["name"]
        if name not in now:
            yield f"{name}: nobody says it any more"
        elif (other := now[name]["bindings"]["amqp"]["exchange"]["name"]) != exchange:
            yield f"{name}: said through {other}, and was through {exchange}"


def _schemas(before: Mapping[str, Schema], now: Mapping[str, Schema]) -> Iterator[str]:
    for name, schema in sorted(before.items()):
        if name not in now:
            yield f"{name}: is not read any more"
        else:
            yield from _schema(name, schema, now[name])


def _schema(place: str, before: Schema, now: Schema) -> Iterator[str]:
    if "properties" in before and "properties" in now:
        yield from _fields(place, before, now)
    if "items" in before and "items" in now:
        yield from _schema(f"{place}[]", before["items"], now["items"])
    nested = {*WORDS, "properties", "required", "items"}
    for word in sorted({*before, *now} - nested):
        if before.get(word) != now.get(word):
            yield f"{place}: {word} is {now.get(word)!r}, and was {before.get(word)!r}"


def _fields(place: str, before: Schema, now: Schema) -> Iterator[str]:
    had, has = before["properties"], now["properties"]
    must, had_to = set(now.get("required", ())), set(before.get("required", ()))
    for name in sorted(had.keys() - has.keys()):
        yield f"{place}.{name}: removed"
    for name in sorted(must - had_to):
        yield f"{place}.{name}: required, and was not"
    for name in sorted((had_to - must) & has.keys()):
        yield f"{place}.{name}: not required any more"
    for name in sorted(had.keys() & has.keys()):
        yield from _schema(f"{place}.{name}", had[name], has[name])
