"""JSON Schema of space files, made from the blocks that are registered, so that editors complete and check them."""

from __future__ import annotations

import math
from typing import Any

from nas.cost import METRICS
from nas.network.registry import block_kind, block_names
from nas.network.settings import Setting
from nas.space.language.values import MAX_OPTIONS

_FORMULA = {"type": "string", "pattern": "^\\s*=", "description": "a formula over names, e.g. '= 2 * width'"}


def space_schema() -> dict[str, Any]:
    """Return the schema (draft 2020-12). What it accepts may still be refused with a clearer message when it is read:
    a schema cannot say which names exist or whether a formula fits."""
    names = block_names()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Search space",
        "anyOf": [{"$ref": "#/$defs/space"}, {"$ref": "#/$defs/include"}],
        "$defs": {
            "space": _space(),
            "include": {
                "type": "object",
                "properties": {"include": {"type": "string", "pattern": "\\.ya?ml$"}, "with": {"type": "object"}},
                "required": ["include"],
                "additionalProperties": False,
            },
            "entries": {"anyOf": [_ref("entry"), {"type": "array", "items": _ref("entry")}]},
            "entry": {
                "anyOf": [
                    _FORMULA,
                    *map(_ref, ("include", "entry_if", "entry_choose")),
                    _OPEN_ENTRY,
                    *map(_entry, names),
                ]
            },
            "entry_if": _condition(_ref("entries")),
            "entry_choose": {
                "type": "object",
                "properties": {
                    "choose": {"type": "object", "additionalProperties": _ref("entries"), "minProperties": 1}
                },
                "required": ["choose"],
                "additionalProperties": False,
            },
            "branches": {
                "anyOf": [
                    {"type": "array", "items": _ref("entries"), "minItems": 1},
                    {
                        "type": "object",
                        "properties": {"count": _value(Setting("count", int, low=1)), "each": _ref("entries")},
                        "required": ["count", "each"],
                        "additionalProperties": False,
                    },
                ]
            },
            **{f"setting_{name}": _settings(name) for name in names},
        },
    }


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/$defs/{name}"}


def _condition(part: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"if": _FORMULA, "then": part, "else": part},
        "required": ["if", "then", "else"],
        "additionalProperties": False,
    }


def _space() -> dict[str, Any]:
    size = Setting("size", int, low=1)
    listed = {"type": "object", "properties": {"blocks": _ref("entries")}, "required": ["blocks"]}
    network = {
        "let": {"type": "object"},
        "resolution": {"anyOf": [{"const": "data"}, _value(size)]},
        "stem": _ref("entries"),
        "stages": {
            "type": "array",
            "minItems": 1,
            "items": {"anyOf": [_ref("entry"), listed]},
        },
        "head": _ref("entries"),
    }
    assume = {name: {"type": "integer", "minimum": 1} for name in ("channels", "resolution", "num_classes", "dims")}
    bound = {"type": ["number", "null"]}
    return {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "description": {"type": "string"},
            "assume": {"type": "object", "properties": assume, "additionalProperties": False},
            "limits": {
                "type": "object",
                "properties": {m: {"anyOf": [bound, {"type": "array", "items": bound}]} for m in METRICS},
                "additionalProperties": False,
            },
            "choose": {"type": "object", "minProperties": 1, "description": "descriptions to choose between, by name"},
            **network,
        },
        "anyOf": [{"required": ["stages", "head"]}, {"required": ["choose"]}],
        "additionalProperties": False,
    }


def _scalar(setting: Setting) -> dict[str, Any]:
    if setting.options:
        return {"enum": [*setting.options, *([None] if setting.optional else [])]}
    kind = {int: "integer", float: "number", bool: "boolean"}[setting.kind]
    schema: dict[str, Any] = {"type": [kind, "null"] if setting.optional else kind}
    if setting.low > -math.inf:
        schema["minimum"] = setting.low
    if setting.below < math.inf:
        schema["exclusiveMaximum"] = setting.below
    return schema


def _value(setting: Setting) -> dict[str, Any]:
    """Return the schema of a scalar, a formula, a choice or a condition between them."""
    scalar = _scalar(setting)
    per = {"enum": ["stage", "block"]}
    choice = {
        "type": "object",
        "properties": {
            "choose": {"type": "array", "items": scalar, "minItems": 1, "maxItems": MAX_OPTIONS},
            "per": per,
        },
        "required": ["choose"],
        "additionalProperties": False,
    }
    span = {
        "type": "object",
        "properties": {
            "range": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
            "step": {"type": "integer", "minimum": 1},
            "factor": {"type": "integer", "minimum": 2},
            "per": per,
        },
        "required": ["range"],
        "additionalProperties": False,
    }
    plain = [scalar, _FORMULA, choice, *([span] if setting.kind is int else [])]
    return {"anyOf": [*plain, _condition({"anyOf": plain})]}


def _setting(setting: Setting) -> dict[str, Any]:
    if not setting.holds_blocks:
        return _value(setting)
    return _ref("branches") if setting.kind is tuple else _ref("entries")


def _settings(name: str) -> dict[str, Any]:
    kind = block_kind(name)
    doc = (kind.function.__doc__ or "").strip().splitlines()[0]
    return {"description": doc, "properties": {key: _setting(setting) for key, setting in kind.settings.items()}}


def _entry(name: str) -> dict[str, Any]:
    """Return the schema of an entry of one kind."""
    settings = {key: {"$ref": f"#/$defs/setting_{name}/properties/{key}"} for key in block_kind(name).settings}
    return {
        "type": "object",
        "properties": {"block": {"const": name}, **_OF_ENTRY, **settings},
        "required": ["block"],
        "additionalProperties": False,
    }


_OF_ENTRY = {"depth": _value(Setting("depth", int, low=0)), "optional": {"enum": [True, [True], [False]]}}
# An entry that chooses its kind, or takes one by name: its settings are checked when it is read.
_OPEN_ENTRY = {
    "type": "object",
    "properties": {
        "block": {
            "anyOf": [
                _FORMULA,
                {
                    "type": "object",
                    "properties": {"choose": {"type": ["array", "object"]}, "per": {"enum": ["stage", "block"]}},
                    "required": ["choose"],
                    "additionalProperties": False,
                },
            ]
        },
        **_OF_ENTRY,
    },
    "required": ["block"],
}
