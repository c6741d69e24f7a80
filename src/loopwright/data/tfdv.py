"""TensorFlow Data Validation's `schema.pbtxt` as a schema of our own. What has no counterpart is named, never dropped
in silence: images, natural language, semantic domains and structs describe no column of a table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from loopwright.data.schema import TRAINING, Schema, column_of
from loopwright.data.textproto import Message, Word, parse
from loopwright.errors import BadSource

_KINDS = {"INT": "integer", "FLOAT": "float", "BYTES": "string"}
_MEASURES = {
    "infinity_norm": "l_infinity",
    "jensen_shannon_divergence": "jensen_shannon",
    "normalized_abs_difference": "absolute_difference",
}
_STAGES_UNCHECKED = ("DEPRECATED", "DISABLED", "PLANNED", "ALPHA", "DEBUG_ONLY")


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """The schema, and what of the file it does not hold, as one line each."""

    schema: Schema
    left_out: tuple[str, ...]


def from_tfdv(text: str, *, label: str | None = None) -> Imported:
    """Raises `BadSource` for text that is no such schema.

    >>> found = from_tfdv('feature { name: "fare" type: FLOAT presence { min_fraction: 0.9 } image_domain {} }')
    >>> found.schema.column("fare").most_missing, found.left_out
    (0.1, ('fare: image_domain',))
    """
    message = dict(parse(text))
    if not message.get("feature"):
        raise BadSource("it has no feature", where="schema.pbtxt", fix="give what tfdv.write_schema_text() wrote")
    shared = _Shared(message)
    columns = [_Feature(one, shared).column() for one in _messages(message.pop("feature"))]
    left = [*shared.left_out]
    rows = _rows(message, left)
    left += _unknown("", message, ("string_domain", "int_domain", "float_domain", "default_environment"))
    schema = Schema.from_dict({"format": 1, "columns": columns, "label": label, "same_length": [], **rows})
    return Imported(schema=schema, left_out=tuple(left))


@dataclass(slots=True)
class _Shared:
    """What features refer to."""

    message: Mapping[str, Any]
    left_out: list[str] = field(default_factory=list)

    @property
    def environments(self) -> list[str]:
        return [str(one) for one in self.message.get("default_environment", [])]

    def domain(self, name: str) -> tuple[str, Message] | None:
        for kind in ("string_domain", "int_domain", "float_domain"):
            for one in _messages(self.message.get(kind, [])):
                if one.get("name") == [name]:
                    return kind, one
        return None


class _Feature:
    """One feature on its way to a column: each field of it is read by the method of its name, or named as left out."""

    def __init__(self, message: Message, shared: _Shared) -> None:
        self.message, self.shared = message, shared
        self.name = str(_one(message, "name", ""))
        if not self.name:
            raise BadSource("a feature has no name", where="schema.pbtxt", fix="give it one")
        self.made: dict[str, Any] = {"name": self.name, "missing": True, "required": True}

    def column(self) -> dict[str, Any]:
        self.made["kind"] = self._kind()
        for name in self.message:
            if name in ("name", "type"):
                continue
            if name in _FIELDS:
                for one in self.message[name]:
                    _FIELDS[name](self, one)
            else:
                self._left(name)
        column_of(self.made)  # says at once what cannot be
        return self.made

    def _kind(self) -> str:
        said = _one(self.message, "type", Word("BYTES"))
        kind = _KINDS.get(said.name if isinstance(said, Word) else str(said))
        if kind is None:
            self._left(f"type {said.name if isinstance(said, Word) else said}, taken for text")
            kind = "string"
        if "bool_domain" in self.message:
            kind = "boolean"
        if "time_domain" in self.message:
            kind = "time"
        return "list" if self._is_list() else kind

    def _is_list(self) -> bool:
        if self.message.get("shape"):
            shape = _messages(self.message["shape"])[0]
            return bool(shape.get("dim"))
        counts = _messages(self.message.get("value_count", []))
        return bool(counts) and (_one(counts[0], "max", 2), _one(counts[0], "min", 0)) not in ((1, 1), (1, 0))

    def _presence(self, found: Message) -> None:
        least = _one(found, "min_fraction", 0.0)
        self.made["most_missing"] = round(1 - float(least), 12)
        self.made["missing"] = least < 1
        if (count := _one(found, "min_count", 0)) > 1:
            self.made["least_present"] = count
        self.made["required"] = bool(count or least)
        self._rest("presence", found, ("min_fraction", "min_count"))

    def _value_count(self, found: Message) -> None:
        if self.made["kind"] == "list":
            self.made |= _limits(found, {"min": "shortest", "max": "longest"})
        self._rest("value_count", found, ("min", "max"))

    def _shape(self, found: Message) -> None:
        sizes = [_one(one, "size", 1) for one in _messages(found.get("dim", []))]
        if len(sizes) == 1:
            self.made |= {"shortest": sizes[0], "longest": sizes[0]}
        elif sizes:
            self._left(f"shape of {len(sizes)} dimensions")

    def _unique_constraints(self, found: Message) -> None:
        self.made |= _limits(found, {"min": "least_distinct", "max": "most_distinct"})

    def _int_domain(self, found: Message) -> None:
        limits = _limits(found, {"min": "least", "max": "most"})
        if self.made["kind"] in ("integer", "float"):
            self.made |= limits
        elif limits:
            self._left(f"int_domain of a {self.made['kind']} column")
        self._rest("int_domain", found, ("name", "min", "max", "is_categorical"))

    def _float_domain(self, found: Message) -> None:
        if self.made["kind"] in ("integer", "float"):
            self.made |= _limits(found, {"min": "least", "max": "most"})
        self.made["nan"] = not _one(found, "disallow_nan", False)
        self.made["infinite"] = not _one(found, "disallow_inf", False)
        self._rest("float_domain", found, ("name", "min", "max", "disallow_nan", "disallow_inf", "is_categorical"))

    def _string_domain(self, found: Message) -> None:
        values = [str(one) for one in found.get("value", [])]
        if self.made["kind"] == "string" and values:
            self.made |= {"values": values, "closed": True}
        elif values:
            self._left(f"string_domain of a {self.made['kind']} column")
        self._rest("string_domain", found, ("name", "value"))

    def _bool_domain(self, found: Message) -> None:
        self._rest("bool_domain", found, ())  # texts that stand for true and false: a column here is boolean or not

    def _time_domain(self, found: Message) -> None:
        self._rest("time_domain", found, ())

    def _domain(self, name: Any) -> None:
        found = self.shared.domain(str(name))
        if found is None:
            self._left(f"domain {name!r}, which the file does not have")
        else:
            _FIELDS[found[0]](self, found[1])

    def _in_environment(self, name: Any) -> None:
        self.made.setdefault("tags", []).append(f"in {_environment(str(name))}")
        others = [one for one in self.shared.environments if one not in map(str, self.message["in_environment"])]
        self.made["absent_in"] = [_environment(one) for one in others]

    def _not_in_environment(self, name: Any) -> None:
        self.made.setdefault("absent_in", []).append(_environment(str(name)))

    def _lifecycle_stage(self, stage: Any) -> None:
        if isinstance(stage, Word) and stage.name in _STAGES_UNCHECKED:
            self.made |= {"required": False, "tags": [*self.made.get("tags", []), stage.name.lower()]}

    def _deprecated(self, said: Any) -> None:
        self._lifecycle_stage(Word("DEPRECATED" if said else "PRODUCTION"))

    def _drift_comparator(self, found: Message) -> None:
        self.made["drift_limits"] = self._comparator("drift_comparator", found)

    def _skew_comparator(self, found: Message) -> None:
        self.made["skew_limits"] = self._comparator("skew_comparator", found)

    def _comparator(self, name: str, found: Message) -> dict[str, float]:
        self._rest(name, found, tuple(_MEASURES))
        given = {ours: _messages(found[theirs])[0] for theirs, ours in _MEASURES.items() if theirs in found}
        return {ours: float(_one(one, "threshold", 0.0)) for ours, one in given.items()}

    def _distribution_constraints(self, found: Message) -> None:
        self.made["most_outside"] = round(1 - float(_one(found, "min_domain_mass", 1.0)), 12)

    def _annotation(self, found: Message) -> None:
        self.made.setdefault("tags", []).extend(str(one) for one in found.get("tag", []))
        self.made["description"] = " ".join(str(one) for one in found.get("comment", []))
        self._rest("annotation", found, ("tag", "comment"))

    def _rest(self, where: str, found: Message, known: tuple[str, ...]) -> None:
        self.shared.left_out.extend(_unknown(f"{self.name}: {where}.", found, known))

    def _left(self, what: str) -> None:
        self.shared.left_out.append(f"{self.name}: {what}")


_FIELDS: Mapping[str, Callable[[_Feature, Any], None]] = {
    name: getattr(_Feature, f"_{name}")
    for name in (
        "presence", "value_count", "shape", "unique_constraints", "int_domain", "float_domain", "string_domain",
        "bool_domain", "time_domain", "domain", "in_environment", "not_in_environment", "lifecycle_stage", "deprecated",
        "drift_comparator", "skew_comparator", "distribution_constraints", "annotation",
    )
}  # fmt: skip


def _rows(message: dict[str, Any], left: list[str]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for found in _messages(message.pop("dataset_constraints", [])):
        made |= _limits(found, {"min_examples_count": "least_rows", "max_examples_count": "most_rows"})
        for one in _messages(found.get("num_examples_drift_comparator", [])):
            bounds = {"min_fraction_threshold": "least_growth", "max_fraction_threshold": "most_growth"}
            made |= _limits(one, bounds)
        known = ("min_examples_count", "max_examples_count", "num_examples_drift_comparator")
        left += _unknown("dataset_constraints.", found, known)
    return made


def _limits(found: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {ours: _one(found, theirs, None) for theirs, ours in names.items() if theirs in found}


def _environment(name: str) -> str:
    """Theirs are mostly in capitals."""
    known = {"train": TRAINING, "eval": "evaluation"}
    return known.get(name.lower(), name.lower())


def _unknown(where: str, found: Mapping[str, Any], known: tuple[str, ...]) -> Iterator[str]:
    return (f"{where}{name}" for name in found if name not in known)


def _messages(found: list[Any]) -> list[Message]:
    for one in found:
        if not isinstance(one, dict):
            raise BadSource(f"{one!r} where a message should be", where="schema.pbtxt", fix="mend the file")
    return found


def _one(found: Mapping[str, Any], name: str, otherwise: Any) -> Any:
    """The last one said counts."""
    return found[name][-1] if found.get(name) else otherwise
