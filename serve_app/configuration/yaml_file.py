"""Reads YAML as text with line numbers; pydantic gives the text its types.

Scalars stay as they were written, so that `page_tokens: yes` is a mistake and not 1,
and `name: 123` is a name.  Tags are ignored and nothing is constructed, so a file can run nothing.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from serve_app.configuration.fields import SECTIONS, Given
from serve_app.errors import BadSettings

_NULL = "tag:yaml.org,2002:null"


class _Loader(yaml.SafeLoader):
    """Knows no aliases: they can refer to themselves or grow without end."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.get_mark()
            raise yaml.composer.ComposerError(None, None, "aliases (*name) are not read", mark)
        return super().compose_node(parent, index)


def read(file: Path) -> Iterator[Given]:
    """Yield what the file sets, section by section; raises BadSettings if it is no YAML mapping."""
    root = _compose(_text(file), file)
    if root is None:
        return
    if not isinstance(root, yaml.MappingNode):
        raise BadSettings(f"{file}: expected sections such as `engine:` with fields below them.")
    for section, value in _pairs(root, "", file):
        if section in SECTIONS and isinstance(value, yaml.MappingNode):
            for name, node in _pairs(value, f"{section}.", file):
                yield _given(f"{section}.{name}", node, file)
        elif section not in SECTIONS or not _is_null(value):
            yield _given(section, value, file)


def value_of(text: str) -> object:
    """Read one value, such as a list in an environment variable; broken YAML stays text."""
    try:
        node = yaml.compose(text, Loader=_Loader)
        return _plain(node, "", Path()) if node else None
    except (yaml.YAMLError, BadSettings):
        return text


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BadSettings(f"{file}: expected UTF-8 text; save the file as UTF-8.") from error
    except OSError as error:
        raise BadSettings(f"{file}: cannot be read: {error.strerror}.") from error


def _compose(text: str, file: Path) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise BadSettings(f"{file}, line {line}: not YAML: {error.problem}.") from error
    except yaml.YAMLError as error:
        raise BadSettings(f"{file}: not YAML: it holds control characters.") from error


def _pairs(node: yaml.MappingNode, prefix: str, file: Path) -> Iterator[tuple[str, yaml.Node]]:
    """Yield keys as they were written; raises BadSettings if one is given twice."""
    lines: dict[str, int] = {}
    for key, value in node.value:
        name, line = str(key.value), _line(key)
        if name in lines:
            raise BadSettings(
                f"{prefix}{name}: given twice (in {file.name}, lines {lines[name]} and {line})."
            )
        lines[name] = line
        yield name, value


def _given(name: str, node: yaml.Node, file: Path) -> Given:
    return Given(name, _plain(node, f"{name}.", file), f"{file.name}, line {_line(node)}")


def _plain(node: yaml.Node, prefix: str, file: Path) -> object:
    """Lists and mappings of text; None where nothing stands."""
    if isinstance(node, yaml.MappingNode):
        pairs = _pairs(node, prefix, file)
        return {name: _plain(value, f"{prefix}{name}.", file) for name, value in pairs}
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, prefix, file) for item in node.value]
    return None if _is_null(node) else node.value


def _is_null(node: yaml.Node) -> bool:
    return node.tag == _NULL


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
