#!/usr/bin/env python3
"""Forms of JSON schemas against python-jsonschema: what is made validates, and what validates is taken.

    build/release/naru_form_lines   (target naru_form_lines)
    pip install 'jsonschema[format-nongpl]' hypothesis-jsonschema
    tools/check_forms.py build/release/naru_form_lines --schemas 3000

Schemas are random, of the keywords that src/text/forms/schema_shape.h lists. For each, values are made by random walks
through its form and validated by jsonschema (2020-12, with its checks of formats); and values that hypothesis-jsonschema
draws from the schema are written as json.dumps writes them, with properties in the schema's order, and must be taken
where jsonschema agrees that they are valid. What the form leaves out by its own rules (docs/forms.md) is left out here
too: keys that need an order of their own, numbers past 40 digits.
"""

import argparse
import json
import random
import re
import subprocess
import sys
import warnings


FORMATS = ["date", "time", "date-time", "email", "ipv4", "ipv6", "uuid", "hostname", "duration", "uri"]
PATTERNS = ["^[a-z]{1,5}$", "[0-9]", "^a|b$", "^(?:ab)*$", "^[^\"\\\\]{2,4}$", "x.y", "^\\d{3}-\\d{2}$", "^[\\w.]+$"]
NAMES = ["a", "b", "ab", "name", "id", "\u00e9", "x y", "q\"t", ""]


class Schemas:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def pick(self, items):
        return self.random.choice(items)

    def chance(self, share):
        return self.random.random() < share

    def scalar(self):
        return self.pick([None, True, False, 0, 1, -7, 12.5, "a", "b\"c", "\u00e9\n", "", 100000])

    def literal(self, depth=2):
        if depth and self.chance(0.2):
            return [self.literal(depth - 1) for _ in range(self.random.randrange(3))]
        if depth and self.chance(0.2):
            return {name: self.literal(depth - 1) for name in self.random.sample(NAMES, self.random.randrange(3))}
        return self.scalar()

    def string(self):
        schema = {"type": "string"}
        if self.chance(0.25):
            schema["format"] = self.pick(FORMATS)
        elif self.chance(0.35):
            schema["pattern"] = self.pick(PATTERNS)
        elif self.chance(0.6):
            low = self.random.randrange(5)
            if self.chance(0.5):
                schema["minLength"] = low
            if self.chance(0.6):
                schema["maxLength"] = low + self.random.randrange(40)
        return schema

    def number(self):
        schema = {"type": self.pick(["integer", "number", ["integer", "null"]])}
        low = self.pick([-1000, -12, -1, 0, 1, 7, 99, 0.5, -2.25, 1e-3])
        if self.chance(0.5):
            schema[self.pick(["minimum", "exclusiveMinimum"])] = low
        if self.chance(0.5):
            schema[self.pick(["maximum", "exclusiveMaximum"])] = low + self.pick([1.5, 2, 10, 333, 0.25, 12345])
        if self.chance(0.2):
            schema["multipleOf"] = self.pick([2, 3, 5, 60, 0.5, 0.25, 1.5])  # Python has these exactly
        return schema

    def array(self, depth):
        schema = {"type": "array"}
        if self.chance(0.8):
            schema["items"] = self.any(depth - 1)
        if self.chance(0.2):
            schema["prefixItems"] = [self.any(depth - 1) for _ in range(1 + self.random.randrange(2))]
        low = self.random.randrange(3)
        if self.chance(0.4):
            schema["minItems"] = low
        if self.chance(0.5):
            schema["maxItems"] = low + self.random.randrange(4)
        return schema

    def object(self, depth):
        names = self.random.sample(NAMES, self.random.randrange(4))
        schema = {"type": "object", "properties": {name: self.any(depth - 1) for name in names}}
        schema["required"] = [name for name in names if self.chance(0.5)]
        if self.chance(0.5):
            schema["additionalProperties"] = self.pick([False, True, self.any(0)])
        if self.chance(0.15):
            patterns = self.pick([["^a"], ["^x", "^y[0-9]"], ["."]])
            schema["patternProperties"] = {pattern: self.any(0) for pattern in patterns}
            schema["additionalProperties"] = False
        if self.chance(0.1):
            schema["propertyNames"] = self.pick([{"maxLength": 2}, {"pattern": "^[a-z]*$"}, {"minLength": 1}])
        if len(names) > 1 and self.chance(0.2):
            schema["dependentRequired"] = {names[0]: [names[1]]}
        if names and self.chance(0.1):
            schema["dependentSchemas"] = {names[0]: {"minProperties": 2}}
        if self.chance(0.15):
            schema["minProperties"] = self.random.randrange(3)
        if self.chance(0.15):
            schema["maxProperties"] = 2 + self.random.randrange(3)
        return schema

    def all_of(self, depth):
        if self.chance(0.5):
            return {"allOf": [self.object(depth), {"properties": {self.pick(NAMES): self.any(0)}}]}
        return {"type": "string", "allOf": [{"minLength": 2}, {"maxLength": 6}, {"pattern": self.pick(PATTERNS)}]}

    def one_of(self, depth):
        if self.chance(0.5):
            return {"oneOf": [self.string(), {"type": "boolean"}, {"type": "null"}]}
        kinds = []
        for tag in ["x", "y"]:
            inner = self.object(depth - 1)
            inner["properties"] = {"kind": {"const": tag}, **inner["properties"]}
            inner["required"] = ["kind"] + inner["required"]
            kinds.append(inner)
        return {"oneOf": kinds}

    def any(self, depth):
        kinds = [self.string, self.number, lambda: self.pick([{"type": "boolean"}, {"type": "null"}]),
                 lambda: {"enum": [self.literal() for _ in range(1 + self.random.randrange(4))]},
                 lambda: {"const": self.literal()}]
        if depth > 0:
            kinds += [lambda: self.array(depth), lambda: self.object(depth), lambda: self.object(depth),
                      lambda: {"anyOf": [self.any(depth - 1) for _ in range(1 + self.random.randrange(3))]},
                      lambda: self.all_of(depth), lambda: self.one_of(depth), lambda: {"$ref": "#/$defs/node"}, lambda: True]
        return self.pick(kinds)()

    def root(self):
        schema = self.any(3)
        if not isinstance(schema, dict):
            schema = {}
        if "$ref" in json.dumps(schema):
            schema = {**schema, "$defs": {"node": {
                "type": "object", "required": ["v"], "additionalProperties": False,
                "properties": {"v": self.any(0), "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}}}}
        return schema


def in_order(value, schema, root):
    """The value with its properties as the schema has them; others behind them."""
    if isinstance(schema, dict) and "$ref" in schema:
        schema = {**root["$defs"]["node"], **{k: v for k, v in schema.items() if k != "$ref"}}
    if not isinstance(schema, dict):
        return value
    for literal in schema.get("enum", [schema["const"]] if "const" in schema else []):
        if is_same(value, literal):
            return literal
    if isinstance(value, dict):
        properties, required = dict(schema.get("properties", {})), list(schema.get("required", []))
        for part in schema.get("allOf", []):
            for name, inner in part.get("properties", {}).items():
                properties.setdefault(name, inner)
            required += part.get("required", [])
        order = list(properties) + [name for name in required if name not in properties]
        names = [n for n in order if n in value] + [n for n in value if n not in order]
        return {n: in_order(value[n], properties.get(n, schema.get("additionalProperties", True)), root) for n in names}
    if isinstance(value, list):
        prefix = schema.get("prefixItems", [])
        return [in_order(v, prefix[i] if i < len(prefix) else schema.get("items", True), root)
                for i, v in enumerate(value)]
    return value


def is_same(a, b):
    """As JSON has it: true is no number, and the order of keys says nothing."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(is_same(a[name], b[name]) for name in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(is_same, a, b))
    return a == b and isinstance(a, bool) == isinstance(b, bool)


def is_left_out(text, schema):
    """What forms leave out by their own rules, and Python's reading of patterns that is not ECMA-262's."""
    written = json.dumps(schema)
    has_bounds = re.search(r'"((exclusiveM|m)(ini|axi)mum|multipleOf)"', written)
    if re.search(r"\de[+-]?\d", text) and (has_bounds or re.search(r"e\+30[89]", text)):
        return True
    if re.search(r'\\\\[dw]', written) and not text.isascii():
        return True
    return '"pattern"' in written and ("\\n" in text or "\\r" in text or "\u2028" in text or "\u2029" in text)


def has_choice(schema):
    text = json.dumps(schema)
    return "anyOf" in text or "oneOf" in text


def draw_values(schema, n, seed):
    import hypothesis
    from hypothesis_jsonschema import from_schema
    values = []

    @hypothesis.settings(max_examples=n, database=None, deadline=None, derandomize=True,
                         suppress_health_check=list(hypothesis.HealthCheck))
    @hypothesis.given(from_schema(schema))
    def take(value):
        values.append(value)

    take()
    return values[:n]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("--schemas", type=int, default=1000)
    parser.add_argument("--each", type=int, default=4, help="values made of each")
    parser.add_argument("--drawn", type=int, default=0, help="values drawn by hypothesis of each")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    import jsonschema
    warnings.filterwarnings("ignore")
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    unchecked = [name for name in FORMATS if checker.conforms("x y", name)]
    if unchecked:
        sys.exit(f"checking formats: jsonschema takes 'x y' for {', '.join(unchecked)}: packages are missing; "
                 "pip install 'jsonschema[format-nongpl]'")
    program = subprocess.Popen([args.program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    counts = dict(schemas=0, refused=0, made=0, drawn=0, wrong=0)
    reasons = {}

    def wrong(kind, schema, text, why=""):
        counts["wrong"] += 1
        if counts["wrong"] <= 20:
            print(f"{kind}: {text!r}\n  {json.dumps(schema)}\n  {why}")

    for i in range(args.schemas):
        schema = Schemas(args.seed * 1000003 + i).root()
        validator = jsonschema.Draft202012Validator(schema, format_checker=checker)
        texts = []
        if args.drawn and not has_choice(schema):
            try:
                for value in draw_values(schema, args.drawn, i):
                    try:
                        text = json.dumps(in_order(value, schema, schema), ensure_ascii=False)
                    except (TypeError, ValueError):
                        continue
                    if validator.is_valid(json.loads(text)) and not is_left_out(text, schema):
                        texts.append(text)
            except Exception:  # hypothesis-jsonschema gives up on some
                pass
        program.stdin.write(json.dumps({"schema": schema, "texts": texts, "n": args.each, "seed": i}) + "\n")
        program.stdin.flush()
        answer = json.loads(program.stdout.readline())
        counts["schemas"] += 1
        if "error" in answer:
            counts["refused"] += 1
            reason = answer["error"].split(": ", 2)[-1][:60]
            reasons[reason] = reasons.get(reason, 0) + 1
            continue
        for text in answer["made"]:
            counts["made"] += 1
            try:
                error = next(validator.iter_errors(json.loads(text)), None)
            except ValueError as e:
                error = e
            if error is not None:
                wrong("made, and not valid", schema, text, str(error)[:200])
        for text, taken in zip(texts, answer["taken"]):
            counts["drawn"] += 1
            if not taken:
                wrong("valid, and not taken", schema, text)
    program.stdin.close()
    print(" ".join(f"{name}={n}" for name, n in counts.items()))
    for reason, n in sorted(reasons.items(), key=lambda item: -item[1]):
        print(f"  {n} refused: {reason}")
    return 1 if counts["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
