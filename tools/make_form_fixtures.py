#!/usr/bin/env python3
"""Writes tests/fixtures/text/forms.json: schemas, and of each values that it takes and refuses, as python-jsonschema says.

    pip install jsonschema rfc3339-validator
    tools/make_form_fixtures.py

A small proof for every build; tools/check_forms.py is the long one, and draws the schemas here too. A value is taken where
it is valid and written as forms write (properties in the schema's order, tools/check_forms.py says what else); it is
refused where it is not valid, however it is written. Of schemas with alternatives only refused values are kept: in which
order their properties come depends on the alternative. The same file each time.
"""

import json
import pathlib
import random

import jsonschema

from check_forms import FORMATS, NAMES, PATTERNS, Schemas, has_choice, in_order, is_left_out

PLACE = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "text" / "forms.json"
N_SCHEMAS = 60
N_VALUES = 6  # of each kind
N_TRIES = 120
OF_FORMAT = {"date": "2024-02-29", "time": "12:30:59Z", "date-time": "2024-02-29T12:30:59Z", "email": "a.b@example.org",
             "ipv4": "192.168.0.1", "ipv6": "fe80::1", "uuid": "123e4567-e89b-12d3-a456-426614174000",
             "hostname": "a.example.org", "duration": "P1DT2H", "uri": "http://example.org/a?b"}
OF_PATTERN = dict(zip(PATTERNS, ["abc", "x7y", "bb", "abab", "[a]", "xzy", "123-45", "a.b_c"]))
SOME = [None, True, False, 0, 1, -7, 12.5, 99, 100000, "", "a", "b\"c", "\u00e9\n", "abcdefgh", [], [1], ["a", None], {},
        {"a": 1}, {"zz": "b"}]


def merged(schema):
    """The parts of allOf as one schema, as far as values are drawn from it."""
    whole = {key: value for key, value in schema.items() if key != "allOf"}
    for part in schema["allOf"]:
        whole = {**whole, **part, "properties": {**whole.get("properties", {}), **part.get("properties", {})}}
    return whole


class Values:
    def __init__(self, seed, root):
        self.random = random.Random(seed)
        self.root = root

    def chance(self, share):
        return self.random.random() < share

    def number(self, schema):
        low = schema.get("minimum", schema.get("exclusiveMinimum", schema.get("maximum", schema.get("exclusiveMaximum", 5)) - 9))
        value = low + self.random.choice([0, 1, 0.5, 2, 7, 100])
        step = schema.get("multipleOf", 0)
        if step and self.chance(0.7):
            value = (value // step + 1) * step
        return int(value) if "integer" in schema["type"] or self.chance(0.3) else value

    def string(self, schema):
        if "format" in schema:
            return OF_FORMAT[schema["format"]]
        if "pattern" in schema:
            return OF_PATTERN[schema["pattern"]]
        n = schema.get("minLength", 0) + self.random.randrange(4)
        return "".join(self.random.choice("ab\u00e9\"\\ \n\U0001f600") for _ in range(n))

    def object(self, schema, depth):
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        value = {name: self.of(inner, depth) for name, inner in properties.items() if name in required or self.chance(0.6)}
        if self.chance(0.4) and schema.get("additionalProperties", True) is not False:
            value[self.random.choice([n for n in NAMES if n not in properties])] = self.of(
                schema.get("additionalProperties", True), depth)
        return value

    def of(self, schema, depth=5):
        """A value that most likely meets the schema: whether it does is not decided here."""
        if not isinstance(schema, dict) or depth == 0:
            return self.random.choice(SOME)
        if "$ref" in schema:
            return self.of(self.root["$defs"]["node"], depth - 1)
        for key in ("enum", "const"):
            if key in schema:
                return self.random.choice(schema[key]) if key == "enum" else schema[key]
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return self.of(self.random.choice(schema[key]), depth - 1)
        if "allOf" in schema:
            return self.of(merged(schema), depth)
        kind = schema.get("type")
        if kind == "object":
            return self.object(schema, depth - 1)
        if kind == "array":
            n = schema.get("minItems", 0) + self.random.randrange(3)
            prefix = schema.get("prefixItems", [])
            return [self.of(prefix[i] if i < len(prefix) else schema.get("items", True), depth - 1) for i in range(n)]
        if kind == "string":
            return self.string(schema)
        if kind == "boolean":
            return self.chance(0.5)
        if kind in ("number", "integer") or isinstance(kind, list):
            return self.number(schema)
        return None if kind == "null" else self.random.choice(SOME)

    def changed(self, value, depth=4):
        """The value with one small thing another."""
        if isinstance(value, dict) and value and self.chance(0.8):
            name = self.random.choice(list(value))
            if self.chance(0.3):
                return {n: v for n, v in value.items() if n != name}
            if self.chance(0.3):
                return {**value, self.random.choice(NAMES): self.random.choice(SOME)}
            return {**value, name: self.changed(value[name], depth - 1)}
        if isinstance(value, list) and value and self.chance(0.8):
            i = self.random.randrange(len(value))
            return value[:i] + ([] if self.chance(0.4) else [self.changed(value[i], depth - 1)]) + value[i + 1:]
        if isinstance(value, str) and value and self.chance(0.7):
            i = self.random.randrange(len(value))
            return value[:i] + self.random.choice(["", "Z", "-", "  "]) + value[i + 1:]
        if isinstance(value, (int, float)) and not isinstance(value, bool) and self.chance(0.7):
            return value + self.random.choice([-1000, -1, -0.5, 0.5, 1, 1000])
        return self.random.choice(SOME)


def is_written_otherwise(value):
    """Numbers such as 3.0, which an integer's form writes without a point."""
    if isinstance(value, dict):
        return any(is_written_otherwise(v) for v in value.values())
    if isinstance(value, list):
        return any(is_written_otherwise(v) for v in value)
    return isinstance(value, float) and value == int(value)


def cases_of(schema, seed):
    validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
    values = Values(seed, schema)
    taken, refused = [], []
    for i in range(N_TRIES):
        value = values.of(schema)
        if i % 2:
            value = values.changed(value)
        text = json.dumps(in_order(value, schema, schema), ensure_ascii=False)
        if not validator.is_valid(json.loads(text)):
            kept = refused
        elif has_choice(schema) or is_left_out(text, schema) or is_written_otherwise(value):
            continue
        elif i % 2 and '"format"' in json.dumps(schema):
            continue  # whether all that is checked of formats is installed here does not matter
        else:
            kept = taken
        if text not in kept and len(kept) < N_VALUES:
            kept.append(text)
    return taken, refused


def main():
    assert set(OF_FORMAT) == set(FORMATS) and len(OF_PATTERN) == len(PATTERNS)
    cases = []
    seed = 0
    while len(cases) < N_SCHEMAS:
        seed += 1
        schema = Schemas(seed).root()
        taken, refused = cases_of(schema, seed)
        if len(refused) < 3 or not (taken or has_choice(schema)):
            continue  # it says little, or nothing meets it
        cases.append({"schema": schema, "taken": taken, "refused": refused})
    lines = [json.dumps(case, ensure_ascii=False) for case in cases]
    PLACE.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
    print(f"{PLACE.name}: {len(cases)} schemas, {sum(len(c['taken']) for c in cases)} values taken, "
          f"{sum(len(c['refused']) for c in cases)} refused")


if __name__ == "__main__":
    main()
