"""Policy files as YAML: the safe loader, less what makes a file hard to read or to bound.

Refused: a key twice, anchors and aliases, tags of one's own, several documents, large files. Errors
name file, place and rule, never a value.
"""

from __future__ import annotations

from collections.abc import Hashable
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from halyard.errors import ConfigurationError

MAX_BYTES: Final = 64_000
MAX_FILES: Final = 200
MAX_DEPTH: Final = 50  # libyaml goes down by C's stack
_ENDINGS: Final = (".yaml", ".yml")


if TYPE_CHECKING:
    from yaml import SafeLoader as _SafeLoader
else:
    # libyaml's is five times as fast, and each process reads the policies as it starts
    _SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def wrong(file: str, place: str, rule: str, advice: str) -> ConfigurationError:
    """What is wrong with a policy file."""
    where = f"{file}, {place}" if place else file
    return ConfigurationError(f"Sharing policies: {where}: {advice} (rule {rule})")


def read(directory: Path | None) -> list[tuple[str, dict[str, Any]]]:
    """(file name, content) of each file of `directory`, by name; None: the package's own.

    Raises `ConfigurationError`.
    """
    if directory is not None and not directory.expanduser().is_dir():
        raise wrong(
            "HALYARD_POLICIES__DIRECTORY", "", "policy.directory", "name a folder of *.yaml files"
        )
    folder: Traversable = (
        resources.files("policies") if directory is None else directory.expanduser()
    )
    files = sorted(
        (one for one in folder.iterdir() if one.name.endswith(_ENDINGS) and one.is_file()),
        key=lambda one: one.name,
    )
    if not files:
        raise wrong(
            "HALYARD_POLICIES__DIRECTORY",
            "",
            "policy.none",
            "there is no *.yaml file, and without a policy nothing may be disclosed",
        )
    if len(files) > MAX_FILES:
        raise wrong(files[MAX_FILES].name, "", "policy.files", f"at most {MAX_FILES} files")
    return [(one.name, _content(one)) for one in files]


def _content(file: Traversable) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise wrong(file.name, "", "policy.size", f"a file has at most {MAX_BYTES} bytes")
        written = raw.decode("utf-8")
        _refuse_what_is_not_read(written)
        loader = _Loader(written)
        try:
            loaded = loader.get_single_data()
        finally:
            loader.dispose()
    except OSError as error:
        raise wrong(
            file.name, "", "policy.unreadable", f"it cannot be read ({type(error).__name__})"
        ) from None
    except UnicodeDecodeError:
        raise wrong(file.name, "", "policy.encoding", "write it in UTF-8") from None
    except _Refused as error:
        raise wrong(file.name, f"line {error.line}", error.rule, error.advice) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}" if mark is not None else ""
        raise wrong(file.name, place, "policy.yaml", "it is not YAML; correct the line") from None
    except (RecursionError, ValueError):
        # a date that is none, or nesting without end
        raise wrong(file.name, "", "policy.yaml", "it is not YAML that can be read") from None
    if not isinstance(loaded, dict):
        raise wrong(file.name, "line 1", "policy.yaml", "a file is one policy: key: value")
    return loaded


class _Refused(yaml.YAMLError):
    def __init__(self, node: Any, rule: str, advice: str) -> None:
        super().__init__()
        self.line = node.start_mark.line + 1
        self.rule = rule
        self.advice = advice


def _refuse_what_is_not_read(written: str) -> None:
    depth = 0
    for event in yaml.parse(written, Loader=_SafeLoader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _Refused(event, "policy.alias", "write it out; anchors and aliases are not read")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise _Refused(event, "policy.yaml", "it is nested too deeply to be read")


class _Loader(_SafeLoader):
    """The safe loader, that takes each key once."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                raise _Refused(key, "policy.key", "a key is a text")
            if key.value in seen:
                raise _Refused(key, "policy.key-twice", "a key stands here twice; keep one")
            seen.add(key.value)
        return super().construct_mapping(node, deep)
