"""docs/reference.md, made from the schema.

To write it anew: `python -m engine.schema.reference > docs/reference.md`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from engine.schema.architectures import ARCHITECTURES
from engine.schema.job import Job
from engine.schema.options import Option, conditions_in_words, options


def reference() -> str:
    """The whole page as Markdown."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Every option"
    yield ""
    yield "<!-- Made from engine/schema by `python -m engine.schema.reference`; do not edit. -->"
    yield ""
    yield "The name in front is the key in a job file and for `--set table.key=value`; after it"
    yield "come the names other trainers use, which are understood too."
    for table in Job.model_fields:
        entry = options()[table]
        yield from ("", f"## {entry.hints.label}: {entry.hints.help}", "", f"`[{table}]`", "")
        inside = [o for path, o in options().items() if path.startswith(f"{table}.")]
        section = ""
        for inner in inside:
            if inner.kind in ("table", "tables"):
                brackets = "[[{}]]" if inner.kind == "tables" else "[{}]"
                name = brackets.format(inner.path.replace("[]", ""))
                yield from ("", f"### {inner.hints.label}", "", f"`{name}` {inner.hints.help}", "")
                section = ""
                continue
            if inner.hints.section != section:
                section = inner.hints.section
                if section:
                    yield from ("", f"**{section}**", "")
            yield from _entry(inner)


def _entry(entry: Option) -> Iterator[str]:
    names = "".join(f" · `{alias}`" for alias in entry.hints.aliases)
    yield f"- **{entry.hints.label}** `{entry.key}`{names}  "
    yield f"  {entry.hints.help}  "
    facts = [_values(entry), f"default: {_default(entry)}"]
    if entry.hints.applies_to:
        known = [ARCHITECTURES[a].label for a in entry.hints.applies_to if a in ARCHITECTURES]
        facts.append(f"for {', '.join(known)}")
    if entry.hints.only_if:
        facts.append(conditions_in_words(entry))
    yield f"  *{'; '.join(f for f in facts if f)}*"


def _values(entry: Option) -> str:
    unit = f" {entry.hints.unit}" if entry.hints.unit else ""
    if entry.choices:
        return " | ".join(str(c) for c in entry.choices)
    words = {"int": "whole number", "float": "number", "bool": "true or false"}
    text = words.get(entry.kind, entry.kind.replace("_", " "))
    low = entry.bounds.get("ge", entry.bounds.get("gt"))
    high = entry.bounds.get("le", entry.bounds.get("lt"))
    if low is not None and high is not None:
        return f"{text} {_number(low)} to {_number(high)}{unit}"
    if low is not None:
        return f"{text}, {'above' if 'gt' in entry.bounds else 'from'} {_number(low)}{unit}"
    return text + unit


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else f"{value:g}"


def _default(entry: Option) -> str:
    if entry.default is None:
        return entry.hints.empty or "none"
    if entry.default == "" or entry.default == [] or entry.default == {}:
        return entry.hints.empty or "empty"
    if isinstance(entry.default, bool):
        return str(entry.default).lower()
    return str(entry.default)


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")  # pyright: ignore[reportAttributeAccessIssue]
    sys.stdout.write(reference())
