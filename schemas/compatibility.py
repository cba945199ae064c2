"""FULL_TRANSITIVE compatibility of Avro schemas, by the rules of schema resolution.

Both ways: a reader of either version must be able to read what the other wrote (Avro 1.12
specification, "Schema Resolution").
"""

from __future__ import annotations

from typing import Any

Node = Any


def incompatibilities(old: Node, new: Node) -> list[str]:
    """What keeps a reader of `new` from reading `old`, or the reverse; empty if nothing does."""
    return [f"new readers: {text}" for text in _cannot_read(old, new)] + [
        f"old readers: {text}" for text in _cannot_read(new, old)
    ]


def _cannot_read(writer: Node, reader: Node) -> list[str]:
    return _compare(writer, reader, _names(writer), _names(reader), "", set())


def _names(node: Node, found: dict[str, Node] | None = None) -> dict[str, Node]:
    found = {} if found is None else found
    if isinstance(node, list):
        for one in node:
            _names(one, found)
    elif isinstance(node, dict):
        if node["type"] in {"record", "enum", "fixed"}:
            found[node["name"]] = node
            for item in node.get("fields", []):
                _names(item["type"], found)
        else:
            for part in ("items", "values"):
                if part in node:
                    _names(node[part], found)
    return found


def _resolve(node: Node, names: dict[str, Node]) -> Node:
    if isinstance(node, str):
        return names.get(node, {"type": node})
    return node


def _compare(
    writer: Node,
    reader: Node,
    writer_names: dict[str, Node],
    reader_names: dict[str, Node],
    place: str,
    seen: set[tuple[str, str]],
) -> list[str]:
    writer, reader = _resolve(writer, writer_names), _resolve(reader, reader_names)

    def deeper(inner_writer: Node, inner_reader: Node, where: str) -> list[str]:
        return _compare(inner_writer, inner_reader, writer_names, reader_names, where, seen)

    if isinstance(writer, list):
        return [text for branch in writer for text in deeper(branch, reader, place)]
    if isinstance(reader, list):
        tries = [deeper(writer, branch, place) for branch in reader]
        return [] if any(not problems for problems in tries) else [f"{place}: no branch fits"]
    if writer["type"] != reader["type"] or writer.get("logicalType") != reader.get("logicalType"):
        return [f"{place}: {writer['type']} became {reader['type']}"]
    kind = writer["type"]
    if kind == "array":
        return deeper(writer["items"], reader["items"], f"{place}[]")
    if kind == "enum":
        lost = set(writer["symbols"]) - set(reader["symbols"])
        return (
            [f"{place}: symbols {sorted(lost)} without a default"]
            if lost and "default" not in reader
            else []
        )
    if kind != "record":
        return []
    pair = (writer["name"], reader["name"])
    if pair in seen:
        return []
    seen.add(pair)
    if writer["name"] != reader["name"]:
        return [f"{place}: record {writer['name']} became {reader['name']}"]
    written = {item["name"]: item for item in writer["fields"]}
    problems: list[str] = []
    for item in reader["fields"]:
        where = f"{place}.{item['name']}"
        if item["name"] in written:
            problems += deeper(written[item["name"]]["type"], item["type"], where)
        elif "default" not in item:
            problems.append(f"{where}: missing, and has no default")
    return problems
