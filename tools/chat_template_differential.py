#!/usr/bin/env python3
"""Compares naru's chat template renderer with the official one (transformers' Jinja set-up) on many inputs.

Three parts: (1) short templates, one language feature each; (2) the templates under tests/fixtures/text/templates and those
in --templates FOLDER (*.jinja) with random conversations; (3) what is marked as content: every message string is drawn
from an alphabet that no template uses, so each of its characters must come out marked, and no other.

usage: python3 tools/chat_template_differential.py [--command build/release/naru_render_lines] [--templates FOLDER]
Needs transformers and jinja2 (tools/requirements.txt). Exits with 1 where anything differs.
"""

import argparse
import datetime
import glob
import json
import os
import random
import subprocess
import sys
import time

from transformers.utils import chat_template_utils

NOW = datetime.datetime(2024, 7, 26, 12, 34, 56)


class FixedTime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


chat_template_utils.datetime = FixedTime

# What the language cases see.
VARIABLES = {
    "s": "Hello, World", "e": "", "u": "h\u00e9llo \u4e16\u754c \U0001f600", "sp": "  \t pad\u00a0\n ", "n": 7, "z": 0, "neg": -3,
    "f": 2.5, "big": 1e16, "small": 1e-5, "t": True, "no": None, "l": [3, 1, 2], "ls": ["b", "a", "C"], "el": [],
    "d": {"a": 1, "b": [1, {"c": "x"}], "\u00e9": "q\"'\n"}, "ed": {}, "m": [{"role": "user", "k": 1}, {"role": "tool", "k": 2},
                                                                    {"role": "user"}],
    "lines": "one\ntwo\r\nthree\n\nfive", "q": "it's", "qq": "a\"b'c", "html": "<a href='x'>&\"",
}
# Expressions, with ";;" between.
EXPRESSIONS = """
1 + 2 * 3 - 4 // 3 % 2 ;; 7 // 2 ;; -7 // 2 ;; -7 % 3 ;; 7 % -3 ;; 7.5 // 2 ;; -7.5 % 2 ;; 2 ** 10 ;; 2 ** -1
2 ** 3 ** 2 ;; 1 / 4 ;; -n ** 2 ;; +neg ;; not t ;; not z ;; n > 3 and z ;; n < 3 or f ;; e or s ;; s and no
1 < 2 < 3 ;; 1 < 2 > 5 ;; n == 7.0 ;; t == 1 ;; s + ' ' + q ;; s ~ n ~ f ~ no ~ t ~ l ;; 'ab' * 3 ;; 3 * 'ab' ;; l * 2
l + [9] ;; (1, 2) + (3,) ;; 'ell' in s ;; 'z' not in s ;; 3 in l ;; 'a' in d ;; 'zz' in d ;; undef in l
1 if t else 2 ;; 1 if z ;; (1 if z) is defined ;; undef is defined ;; undef ;; undef ~ 'x' ;; undef | length
undef is undefined ;; d.a ;; d['a'] ;; d.zz ;; d.zz is defined ;; d.b[1].c ;; d['b'][0] ;; l[0] ;; l[-1]
l[9] is defined ;; s[0] ;; s[-1] ;; u[1] ;; u[-1] ;; u[6:8] ;; s[1:4] ;; s[:3] ;; s[-3:] ;; s[::-1] ;; s[::2]
s[5:1:-1] ;; l[::-1] ;; l[1:] ;; l[:-1] ;; l[-2:] ;; l[10:] ;; l[:-10] ;; l[5:0:-2] ;; s[1:-1] ;; e[0:2] ;; u[::-1]
s[100:] ;; s[:-100] ;; s.upper() ;; s.lower() ;; s.title() ;; q.title() ;; s.capitalize() ;; sp.strip() ~ '|'
sp.lstrip() ~ '|' ;; sp.rstrip() ~ '|' ;; s.strip('Hd') ;; s.lstrip('eH') ;; s.rstrip('dlr') ;; u.strip('hé😀')
s.split(', ') ;; s.split() ;; sp.split() ;; s.split('l', 1) ;; s.rsplit('l', 1) ;; lines.split('\\n')
'a,b,,c'.split(',') ;; lines.splitlines() ;; s.startswith('He') ;; s.endswith('ld') ;; s.startswith(('x', 'H'))
s.replace('l', 'LL') ;; s.replace('l', 'L', 1) ;; s.replace('', '-') ;; s.find('o') ;; u.find('世') ;; s.rfind('o')
s.count('l') ;; s.index('o') ;; ', '.join(ls) ;; '-'.join(s) ;; 'abc'.isalpha() ;; '12'.isdigit() ;; 'a1'.isalnum()
' 	'.isspace() ;; 'AB'.isupper() ;; 'ab'.islower() ;; s.partition(', ') ;; s.rpartition('o') ;; s.partition('zz')
'a b c'.split(None, 1) ;; s.removeprefix('Hel') ;; s.removesuffix('World') ;; d.get('a') ;; d.get('zz')
d.get('zz', 5) ;; d.keys() | list ;; d.values() | list ;; d | items | list
l.index(2) ;; l.count(1) ;; s | length ;; l | length ;; d | length ;; u | length ;; l | first ;; l | last ;; s | first
el | first ;; l | sort ;; l | sort(reverse=true) ;; ls | sort ;; ls | sort(case_sensitive=true) ;; l | max ;; l | min
ls | max ;; el | max ;; l | sum ;; m[:2] | sum(attribute='k') ;; l | join ;; l | join('-')
m | join(', ', attribute='role') ;; l | reverse | list ;; s | reverse ;; m | map(attribute='role') | list
m | map(attribute='k', default=0) | list ;; ls | map('upper') | list ;; ls | map('replace', 'a', 'Q') | list
m | selectattr('role', 'equalto', 'user') | list | length ;; m | rejectattr('role', 'equalto', 'user') | list
m | selectattr('k') | list ;; m | selectattr('k', 'defined') | list ;; l | select('odd') | list
l | select('gt', 1) | list ;; l | reject('even') | list ;; l | select | list ;; ['a', '', 'b'] | select | list
ls | unique | list ;; ['a', 'A', 'b'] | unique | list ;; ['a', 'A'] | unique(true) | list
d | dictsort ;; {'b': 1, 'a': 2} | dictsort ;; {'b': 1, 'a': 2} | dictsort(by='value')
s | trim ;; sp | trim ~ '|' ;; s | trim('Hd') ;; s | upper ;; s | lower ;; s | title ;; s | capitalize
s | replace('l', 'L') ;; s | default('x') ;; undef | default('x') ;; undef | d('y')
e | default('x') | e | default('x', true) ;; no | default('x') ;; no | default('x', true) ;; n | string ;; f | string
t | string ;; l | string ;; '12' | int ;; ' 12 ' | int ;; 'x' | int ;; 'x' | int(5) ;; 2.9 | int ;; -2.9 | int
'2.5' | float ;; 'z' | float ;; t | int ;; neg | abs ;; f | abs ;; 2.567 | round(2) ;; 2.5 | round ;; 3.5 | round
2.1 | round(0, 'ceil') ;; 2.9 | round(0, 'floor') ;; 5 | round ;; s | list ;; d | list ;; s | safe ;; html | e
html | escape ;; l | tojson ;; d | tojson ;; d | tojson(indent=2) ;; ed | tojson(indent=2) ;; el | tojson(indent=4)
u | tojson ;; u | tojson(ensure_ascii=true) ;; {'b': 1, 'a': 2} | tojson(sort_keys=true)
d | tojson(separators=(',', ':')) ;; f | tojson ;; big | tojson ;; small | tojson ;; no | tojson ;; t | tojson
html | tojson ;; qq | tojson ;; {'x': [1.0, -0.0, 1e300, 123456789012345.0]} | tojson
{'a': {'b': {}}} | tojson(indent=1) ;; lines | indent ;; lines | indent(2) ;; lines | indent(2, true)
lines | indent(2, true, true) ;; lines | indent(width='> ') ;; 'x\\n' | indent(2) | e | indent(2) ;; n is number
s is string ;; l is iterable ;; d is mapping ;; l is sequence ;; s is iterable ;; n is iterable ;; no is none
t is boolean ;; n is integer ;; f is float ;; t is true ;; t is false ;; n is odd ;; n is even ;; n is divisibleby 7
n is divisibleby(2) ;; n is eq 7 ;; n is ne 7 ;; n is lt 8 ;; n is ge(7) ;; n is in [7, 8] ;; n is not in [7]
s is upper ;; 'AB' is upper ;; s is lower ;; n is sameas 7 ;; s is not string ;; s is defined and n is defined
d is not mapping or l ;; range(3) | list ;; range(1, 7, 2) | list ;; range(3, 0, -1) | list ;; dict(a=1, b='x')
dict(d, a=5).a ;; namespace(a=1).a ;; true ;; True ;; false ;; none ;; None ;; 1.0 ;; 1.5e3 ;; 1e16 ;; 1e15
123456.789 ;; 1e-4 ;; 1e-5 ;; 0.1 + 0.2 ;; 100000000000000000 ;; 1_000 ;; 1e22 ;; -0.0 ;; [1, 'a', none, true, 1.5]
(1,) ;; () ;; (1, 'b') ;; {} ;; {'a': 1, 'b': 'x'} ;; {'a': {'b': [1]}} ;; ['it\\'s'] ;; ["it's"] ;; ['a"b\\'c']
['\\n\\t\\\\'] ;; [u] ;; 'a' 'b' ;; "x\\ty" ;; 'u\\u00e9' ;; '\\x41' ;; 'a\\d' ;; s[n] ;; d[s] ;; d[n]
s.nope is defined ;; s.nope is undefined ;; l.nope ;; d.a.b is defined ;; strftime_now('%d %b %Y')
strftime_now('%Y-%m-%d %H:%M:%S') ;; (l | length) + 1 ;; l | length + 1
s | upper | lower ;; n ~ -1 ;; n - 1 ;; not n == 7 ;; not (n == 7) ;; n in l or t ;; 'a' ~ 'b' * 2 ;; 'a' < 'b'
[1, 2] < [1, 3] ;; l == [3, 1, 2] ;; d == d ;; {'a': 1} == {'a': 1.0} ;; (1, 2) == [1, 2]
"""
TEMPLATES = [
    "{% for x in l %}{{ loop.index }}/{{ loop.length }}:{{ x }}{% if not loop.last %}, {% endif %}{% endfor %}",
    "{% for x in l %}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }};{% endfor %}",
    "{% for x in l %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }};{% endfor %}",
    "{% for x in el %}a{% else %}none{% endfor %}", "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for k in d %}{{ k }};{% endfor %}", "{% for c in u %}[{{ c }}]{% endfor %}", "{% for x in undef %}a{% else %}b{% endfor %}",
    "{% for x in l if x > 1 %}{{ x }}{{ loop.index }}{{ loop.length }};{% endfor %}",
    "{% for x in l if x > 9 %}a{% else %}b{% endfor %}",
    "{% for x in range(6) %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 4 %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in l %}{% for y in ls %}{{ loop.depth }}{{ x }}{{ y }} {% endfor %}{{ loop.index }};{% endfor %}",
    "{% for x in l %}{{ loop.cycle('a', 'b') }}{% endfor %}", "{% for x in [1, 1, 2] %}{{ loop.changed(x) }}{% endfor %}",
    "{% for x in (1, 2), (3, 4) %}{{ x[0] }}{% endfor %}", "{% for a, b in [(1, 2), (3, 4)] %}{{ a }}{{ b }};{% endfor %}",
    "{% for (a, b) in [(1, 2)] %}{{ a + b }}{% endfor %}",
    "{% set x = 1 %}{% for y in l %}{% set x = x + y %}{{ x }},{% endfor %}{{ x }}",
    "{% set ns = namespace(x=1) %}{% for y in l %}{% set ns.x = ns.x + y %}{% endfor %}{{ ns.x }}{{ ns.nope is defined }}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set a = b = 1 %}", "{% set x %}in {{ n }}{% endset %}[{{ x }}]",
    "{% set x | upper | replace('N', 'M') %}in {{ s }}{% endset %}[{{ x }}]", "{% filter upper | trim %} a{{ s }} {% endfilter %}",
    "{% if n > 3 %}a{% elif z %}b{% else %}c{% endif %}", "{% if z %}a{% elif n %}b{% else %}c{% endif %}", "{% if z %}a{% endif %}x",
    "{% if t %}{% set y = 5 %}{% endif %}{{ y }}", "{% macro f(a, b=2, c='x') %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ f(1) }}{{ f(1, c=n) }}{{ f(1, 3) }}",
    "{% macro f(a) %}{{ a }}{% if a > 0 %}{{ f(a - 1) }}{% endif %}{% endmacro %}{{ f(4) }}{{ f(2) | length }}",
    "{% set k = 3 %}{% macro f(a) %}{{ a + k }}{% set k = 9 %}{% endmacro %}{{ f(1) }}{{ k }}",
    "{% macro f(a) %}[{{ a }}]{% endmacro %}{{ f() }}{{ f(undef) }}", "{% macro f() %}x{% endmacro %}{{ f(1) }}",
    "a {# comment #} b", "a {#- comment -#} b", "{# multi\nline #}\nnext", "  {# c #}\nx", "{% raw %}{{ x }}{% if %}{% endraw %}",
    "a\n  {% raw %}\n x {% endraw %}\nb", "  {%- raw -%}  {{ y }}  {%- endraw -%}  z",
    "x\n    {% if t %}\n    y\n    {% endif %}\nz\n", "x\n    {%+ if t %}\n    y\n    {% endif +%}\nz", "x   {%- if t -%}   y   {%- endif -%}   z",
    "x  {{- n -}}  y", "x  {{ n }}  \ny", "\n\n{{ n }}\n\n", "{{ n }}\n", "{{ n }}\r\nx\r\n", "{% if t %}\r\nx{% endif %}", "a {% if t %} b {% endif %} c",
    "  {% if t %}x{% endif %}  ", "\t{% for x in l %}\n\t{{ x }}\n\t{% endfor %}\n", "{{ 'a\nb' }}", "{{ '}}' }}{{ '%}' }}", "{{ {'a': {'b': 1}}.a.b }}",
    "{{ [[1, 2], [3]][0][1] }}", "{% generation %}out{{ n }}{% endgeneration %}x", "{{ f(1) }}", "{{ undef.x }}", "{{ undef() }}", "{{ no.x is defined }}", "{{ no + 1 }}",
    "{{ s + 1 }}", "{{ 1 + s }}", "{{ undef + 1 }}", "{{ s.nope() }}", "{{ l.append(4) }}", "{{ d.update({}) }}", "{{ raise_exception('bad ' + s) }}", "{{ n / 0 }}", "{{ n % 0 }}",
    "{{ s | nope }}", "{{ s is nope }}", "{% include 'x' %}", "{% extends 'x' %}", "{% import 'x' as y %}", "{% nope %}", "{% if t %}", "{{ n", "{% endif %}", "{{ }}", "{{ n n }}", "{# x",
    "{{ (1 }}", "{{ 1) }}", "{{ [1, 2 }}", "{% for %}{% endfor %}", "{% set %}", "{% for x in no %}{% endfor %}", "{% for x in n %}{% endfor %}", "{{ s.__class__ }}", "{{ ''.__class__.__mro__ }}",
    "{{ namespace(_x=1) }}", "{{ l | tojson | length }}", "{{ undef | tojson }}", "{{ undef < 1 }}", "{{ l[undef] }}", "{{ m[0].role ~ m[1]['role'] }}", "{{ messages | length }}{{ tools }}{{ documents is none }}",
    "{{ bos_token }}{{ eos_token is defined }}", "{{ s if s is string and s | length > 3 else 'no' }}", "{{ 'x' if undef }}|", "{{ [1 if t else 2, 3] }}", "{{ not undef }}", "{{ - 3 }}", "{{ 'a' if not z else 'b' }}",
    "{%if t%}x{%endif%}", "{{n}}{{s}}", "{{ n|string|length }}", "{{ ns.x }}", "{% set ns.x = 1 %}", "{{ loop is defined }}", "{{ range is defined }}{{ namespace is defined }}", "{{ m | map(attribute='role') | join(',') }}",
    "{{ m | selectattr('role', 'in', ['tool']) | map(attribute='k') | first }}", "{{ d.b | last }}", "{{ (s | upper)[0] }}", "{{ s.split(',')[0].strip() | lower }}", "{{ l is sequence and l is not string }}",
]


def expressions():
    return [case.strip() for line in EXPRESSIONS.strip().split("\n") for case in line.split(" ;; ")]


def official(line):
    compiled = chat_template_utils._compile_jinja_template.__wrapped__(line["template"]) if hasattr(
        chat_template_utils._compile_jinja_template, "__wrapped__") else chat_template_utils._compile_jinja_template(line["template"])
    messages = chat_template_utils._alias_reasoning_fields(line.get("messages", []))
    return compiled.render(messages=messages, tools=line.get("tools"), documents=line.get("documents"),
                           add_generation_prompt=line.get("add_generation_prompt", True), **line.get("special", {}),
                           **line.get("settings", {}))


def ours(command, lines):
    data = "".join(json.dumps(line) + "\n" for line in lines)
    done = subprocess.run([command], input=data.encode(), stdout=subprocess.PIPE, check=True)
    return [json.loads(x) for x in done.stdout.decode().split("\n")[:-1]]


# Characters for message strings that no template holds, so that marks can be checked one by one.
CONTENT = "\u0416\u0429\u042e\u044f\u3042\u3044\u3046\u4e2d\u6587\U0001f600\u0e01"


def make_text(rng, blanks=True):
    pool = CONTENT + (" \n" if blanks else "")
    return "".join(rng.choice(pool) for _ in range(rng.randrange(0, 12)))


def make_conversation(rng):
    messages = []
    if rng.random() < 0.5:
        messages.append({"role": "system", "content": make_text(rng)})
    tools = None
    if rng.random() < 0.4:
        tools = [{"type": "function", "function": {
            "name": make_text(rng, False) or "x", "description": make_text(rng),
            "parameters": {"type": "object", "properties": {"a": {"type": "integer", "default": 1.5}}, "required": []}}}
            for _ in range(rng.randrange(1, 3))]
    for _ in range(rng.randrange(1, 4)):
        messages.append({"role": "user", "content": make_text(rng)})
        if tools and rng.random() < 0.6:
            arguments = {"a": rng.randrange(9), "b": make_text(rng), "c": [True, None, 0.5]}
            calls = [{"type": "function", "id": "1", "function": {"name": make_text(rng, False), "arguments":
                      arguments if rng.random() < 0.5 else json.dumps(arguments, ensure_ascii=False)}}
                     for _ in range(rng.randrange(1, 3))]
            messages.append({"role": "assistant", "content": rng.choice([None, "", make_text(rng)]), "tool_calls": calls})
            for _ in calls:
                messages.append({"role": "tool", "name": "f", "content": make_text(rng)})
        answer = {"role": "assistant", "content": make_text(rng)}
        kind = rng.random()
        if kind < 0.2:
            answer["content"] = "<think>\n" + make_text(rng) + "\n</think>\n\n" + make_text(rng)
        elif kind < 0.4:
            answer[rng.choice(["reasoning_content", "reasoning", "thinking"])] = make_text(rng)
        messages.append(answer)
    if rng.random() < 0.8:
        messages.append({"role": "user", "content": make_text(rng)})
    settings = {}
    for name in ("enable_thinking", "thinking"):
        if rng.random() < 0.3:
            settings[name] = rng.random() < 0.5
    return {"messages": messages, "tools": tools, "add_generation_prompt": rng.random() < 0.7, "settings": settings,
            "special": {"bos_token": "<bos>", "eos_token": "<eos>"}}


def check(lines, command, label, check_marks):
    bad, n_errors = 0, 0
    for line, got in zip(lines, ours(command, lines)):
        try:
            wanted = official(line)
        except Exception as e:
            n_errors += 1
            if "error" not in got:
                bad += 1
                print(f"  {label}: {line['template'][:100]!r}\n    official error {type(e).__name__}: {str(e)[:100]}\n    naru {got}")
            continue
        text = "".join(t for t, _ in got["segments"]) if "segments" in got else None
        if text != wanted:
            bad += 1
            print(f"  {label}: {line['template'][:200]!r}\n    official {wanted[-300:]!r}\n    naru     {got if text is None else text[-300:]!r}")
        elif check_marks and any((not marked) and c in CONTENT for t, marked in got["segments"] for c in t):
            bad += 1
            print(f"  {label}: content without a mark: {got}")
        elif check_marks and any(marked and s in t for t, marked in got["segments"] for s in ("<|im_start|>", "<\uff5cUser", "<|eot_id|>", "<bos>")):
            bad += 1
            print(f"  {label}: scaffold marked as content: {got}")
    print(f"{label}: {len(lines)} cases, {n_errors} refused by both, {bad} differ")
    return bad


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--command", default="build/release/naru_render_lines")
    parser.add_argument("--templates", default=None)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--conversations", type=int, default=300, help="for each template")
    args = parser.parse_args()
    print(f"seed {args.seed}")
    rng = random.Random(args.seed)
    base = {"messages": [{"role": "user", "content": "hi"}], "settings": VARIABLES, "special": {"bos_token": "<bos>"}}
    lines = [dict(base, template="{{ " + e + " }}") for e in expressions()] + [dict(base, template=t) for t in TEMPLATES]
    bad = check(lines, args.command, "language", False)
    here = os.path.dirname(os.path.abspath(__file__))
    folders = [os.path.join(here, "..", "tests", "fixtures", "text", "templates")] + ([args.templates] if args.templates else [])
    for folder in folders:
        for path in sorted(glob.glob(os.path.join(folder, "*.jinja"))):
            template = open(path, encoding="utf-8", newline="").read()
            lines = [dict(make_conversation(rng), template=template) for _ in range(args.conversations)]
            bad += check(lines, args.command, os.path.basename(path), True)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
