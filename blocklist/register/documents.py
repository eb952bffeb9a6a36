"""Documents that people write: YAML without its traps, and the files of a policy."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from blocklist.base.i18n import _
from blocklist.register.policy import Policy
from blocklist.register.policy_reader import BAD, Checker, PolicyError, join, policy_of

MAX_FILE: Final = 1 << 20
_MAX_DEPTH: Final = 8
_PLAIN_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]{0,17}")
_FILE: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}\.yaml")


def read_yaml(files: Mapping[str, bytes], name: str, path: str, checker: Checker) -> object:
    """The tree of one file; `BAD` after a fault that leaves nothing to look at."""
    content = files.get(name)
    if content is None:
        checker.fault(path or name, name, _("a file that is there"))
    elif len(content) > MAX_FILE:
        checker.fault(path or name, _("{count} bytes", count=len(content)), _("a file of at most 1 MiB"))
    else:
        try:
            return _parse_yaml(content.decode("utf-8-sig"), name, path, checker)
        except UnicodeDecodeError as error:
            checker.fault(
                path or name, _("byte {number} of {name}", number=error.start, name=name), _("a file in UTF-8")
            )
    return BAD


def _parse_yaml(text: str, name: str, path: str, checker: Checker) -> object:
    import yaml  # takes 15 ms, and replays never need it

    before = len(checker.faults)
    try:
        _check_events(yaml.parse(text, yaml.CSafeLoader), name, path, checker)
        if len(checker.faults) > before:
            return BAD
        return _value(yaml.compose(text, yaml.CSafeLoader), name, path, checker)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = _line(name, mark) if mark else name
        problem = getattr(error, "problem", None) or _("unreadable character")
        checker.fault(path or name, where, _("valid YAML ({problem})", problem=problem))
    return BAD


def _line(name: str, mark: Any) -> str:  # noqa: ANN401 - yaml has no common type
    return _("{name} line {line}", name=name, line=mark.line + 1)


def _check_events(events: Iterable[Any], name: str, path: str, checker: Checker) -> None:
    """Look for what could expand, tag or nest without end, before anything is built."""
    depth, documents = -2, 0  # the stream and its document are no levels of the policy
    for event in events:
        where, kind = _line(name, event.start_mark), type(event).__name__
        depth += kind.endswith("StartEvent") - kind.endswith("EndEvent")
        documents += kind == "DocumentStartEvent"
        if depth > _MAX_DEPTH:
            checker.fault(path or name, where, _("at most {most} levels", most=_MAX_DEPTH))
            return
        if documents > 1 or getattr(event, "version", None) or getattr(event, "tags", None):
            checker.fault(path or name, where, _("one document, without --- and % lines"))
            return
        if getattr(event, "anchor", None):
            checker.fault(path or name, f"{where}: {event.anchor}", _("values written out, no anchor (&) or alias (*)"))
        if getattr(event, "tag", None):
            checker.fault(path or name, f"{where}: {event.tag}", _("values without a tag (!)"))


def _value(node: Any, name: str, path: str, checker: Checker) -> object:  # noqa: ANN401 - yaml has no common type
    """The plain value of a YAML node."""
    if node is None:
        checker.fault(path or name, _("nothing"), _("a file that is not empty"))
        return BAD
    if node.id == "sequence":
        return [_value(item, name, join(path, str(index)), checker) for index, item in enumerate(node.value)]
    return _pairs(node, name, path, checker) if node.id == "mapping" else _scalar(node, path or name, checker)


def _pairs(node: Any, name: str, path: str, checker: Checker) -> dict[str, object]:  # noqa: ANN401
    pairs: dict[str, object] = {}
    for key_node, value_node in node.value:
        key = _value(key_node, name, path, checker)
        if not isinstance(key, str):
            checker.fault(path or name, key, _("keys that are words"))
            continue
        if key in pairs:
            where = _("again in line {line} of {name}", line=key_node.start_mark.line + 1, name=name)
            checker.fault(join(path, key), where, _("each key once"))
        pairs[key] = _value(value_node, name, join(path, key), checker)
    return pairs


def _scalar(node: Any, path: str, checker: Checker) -> object:  # noqa: ANN401
    """Quoted is text; plain is text, `true`, `false` or a decimal, and what YAML 1.1 would guess is refused."""
    text, tag = node.value, node.tag.rpartition(":")[2]
    if node.style or tag == "str":
        return text
    if tag == "bool" and text in ("true", "false"):
        return text == "true"
    if tag == "int" and _PLAIN_INTEGER.fullmatch(text):
        return int(text)
    checker.fault(path, text, _("text in quotes, true, false or a plain whole number (YAML would guess here)"))
    return BAD


# The files of a policy


def load(files: Mapping[str, bytes], list_id: str) -> Policy:
    """Read and validate a policy as people write it.

    Args:
        files: Contents by file name: `<list_id>.yaml` and the files that it names; others are not looked at.
        list_id: The list whose policy it is; the file has to say the same.

    Raises:
        PolicyError: Anything is wrong in any of the files; it holds every fault.
    """
    main = f"{list_id}.yaml"
    checker = Checker(main, PolicyError, written=True)
    tree = read_yaml(files, main, "", checker)
    if isinstance(tree, dict):
        for key in ("protected", "platforms"):
            if key in tree:
                tree[key] = _referred(files, tree[key], key, checker)
    policy = policy_of(tree, checker)
    if policy.id not in (list_id, ""):
        checker.fault("id", policy.id, _("{list_id}, as the file is called", list_id=list_id))
    checker.finish()
    return policy


def file_names(content: bytes, list_id: str) -> tuple[str, ...]:
    """The files that make up a policy, its own first, so that a caller reads (and digests) no others.

    Raises:
        PolicyError: The policy's own file cannot be read.
    """
    main = f"{list_id}.yaml"
    checker = Checker(main, PolicyError, written=True)
    tree = read_yaml({main: content}, main, "", checker)
    entries = checker.pairs(tree, "")
    checker.finish()
    others = (entries.get(key) for key in ("protected", "platforms"))
    return (main, *(name for name in others if isinstance(name, str) and _FILE.fullmatch(name)))


def digests(files: Mapping[str, bytes]) -> dict[str, str]:
    """SHA-256 of each file in hex, by file name."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}


def _referred(files: Mapping[str, bytes], value: object, key: str, checker: Checker) -> object:
    """The tree of the file that `protected` or `platforms` names."""
    if isinstance(value, str) and _FILE.fullmatch(value):
        return read_yaml(files, value, key, checker)
    checker.fault(key, value, _("the name of a file in the same folder, such as {key}.yaml", key=key))
    return BAD
