"""The JSON Schema of the configuration, for editors: what may stand where, and what it means.

``python -m lc_platform.config.json_schema`` writes `schema.json`, which the package has, again. It
is of draft 7, the latest that the YAML language server of editors reads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from lc_platform.config.keys import every_key, keys_of
from lc_platform.config.model import METHODS
from lc_platform.config.sections import Config

FILE = "lc-platform.schema.json"
"""Its name beside a configuration."""
MODELINE = f"# yaml-language-server: $schema={FILE}\n"
"""The line of a configuration by which editors find it there."""
_SIMULATED = {
    "properties": {"imagery": {"properties": {"source": {"const": "simulated"}}}},
}


_BOUNDS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
}


def stored_schema() -> str:
    """Return the schema as the package has it, JSON."""
    return (resources.files("lc_platform.config") / "schema.json").read_text("utf-8")


def json_schema() -> dict[str, Any]:
    """Return the schema, made of the sections of the configuration."""
    made = Config.model_json_schema()
    definitions = made.pop("$defs")
    named = {_named(key.section): key.section for key in every_key().values() if key.section}
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "lc-platform",
        "description": "The configuration of a land-cover map.",
        **_section(made, Config),
        "definitions": {
            name: _section(definitions[name], section) for name, section in named.items()
        },
    }
    _loosen(schema)
    return dict(_of_draft_7(schema))


def _named(section: type[BaseModel] | None) -> str:
    return "" if section is None else section.__name__


def _section(made: Mapping[str, Any], section: type[BaseModel]) -> dict[str, Any]:
    """Return the schema of a section with what its keys are."""
    properties = {}
    for key in keys_of(section):
        about = dict(made["properties"][key.name])
        if key.section is not None:
            about.pop("default", None)  # Its keys have theirs.
        described = {"description": key.description} if key.description else {}
        properties[key.name] = {**described, **about}
    for key in every_key().values():
        if key.of is section and key.example is not None and key.section is None:
            properties[key.name].setdefault("examples", [key.example])
    kept = {name: made[name] for name in ("additionalProperties", "required") if name in made}
    return {"type": "object", "properties": properties, **kept}


def _loosen(schema: dict[str, Any]) -> None:
    """Let pass what is read before the sections are."""
    top, of = schema["properties"], schema["definitions"]
    required = [name for name in schema["required"] if name != "reference"]
    schema["required"] = required
    # The simulated archive brings its reference.
    of["Reference"].pop("required", None)
    schema["if"] = _SIMULATED
    schema["else"] = {
        "required": ["reference"],
        "properties": {"reference": {"required": ["classes"]}},
    }
    for name, about in top.items():
        if name not in required:  # A section whose keys are all commented out is null.
            top[name] = {
                **{k: about[k] for k in ("description", "default") if k in about},
                "anyOf": [
                    {k: v for k, v in about.items() if k not in ("description", "default")},
                    {"type": "null"},
                ],
            }
    top["years"]["items"] = {
        "anyOf": [top["years"]["items"], {"type": "string", "pattern": "^\\s*[0-9]{4}\\s*$"}]
    }
    also = of["Imagery"]["properties"]["also"]
    also["items"] = {"anyOf": [{"type": "string"}, also["items"]]}
    model = top["model"]["anyOf"][0]
    model["properties"] = {
        "method": {"enum": [*METHODS]},
        "of": {
            "type": "object",
            "propertyNames": {"enum": [m for m in METHODS if m != "combined"]},
        },
        "path": {"type": "string"},
        "card": {"type": "string"},
    }


def _of_draft_7(value: Any) -> Any:
    """Return a schema in the words of draft 7."""
    if isinstance(value, list):
        return [_of_draft_7(one) for one in value]
    if not isinstance(value, Mapping):
        return value
    found = {
        _BOUNDS.get(key, key): _of_draft_7(one)
        for key, one in value.items()
        if not (key == "title" and isinstance(one, str) and "$schema" not in value)
    }
    if "prefixItems" in found:
        found["items"] = found.pop("prefixItems")
        found["additionalItems"] = False
    if isinstance(found.get("$ref"), str):
        reference = found.pop("$ref").replace("#/$defs/", "#/definitions/")
        # Draft 7 reads nothing beside a reference.
        if found:
            found["allOf"] = [{"$ref": reference}]
        else:
            found["$ref"] = reference
    return found


def main() -> None:
    file = Path(__file__).with_name("schema.json")
    file.write_text(json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
