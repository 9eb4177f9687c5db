#!/usr/bin/env python3
"""Writes the fixtures of tests/text/families.cpp under tests/fixtures/text:

 families.json        conversations through a template of each family's constructs, as text and as ids
 special_tokens.json  which tokens a tokenizer has, by id, where its files name some in tokenizer_config.json,
                      special_tokens_map.json or added_tokens.json alone

The truth is transformers' apply_chat_template on a tokenizer folder: a small vocabulary of tests/fixtures/text/tokenizers,
with the special tokens, roles and flags that the family's own files have, said in the files that say them there. The
templates in tests/fixtures/text/families are written by hand. BOS comes from the template or from the post-processor, never
from both: `texts` holds plain texts with what the tokenizer puts around them.

usage: python3 tools/make_family_fixtures.py
Needs transformers and jinja2 (tools/requirements-oracle.txt). The result depends on nothing else.
"""

import json
import os
import tempfile

import chat_template_differential as chat  # sets the clock that templates see
from transformers import AutoTokenizer

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "fixtures", "text")
BEGIN, END = "<\uff5cbegin\u2581of\u2581sentence\uff5c>", "<\uff5cend\u2581of\u2581sentence\uff5c>"
TOOL_MARKS = [f"<\uff5ctool\u2581{w}\uff5c>" for w in (
    "calls\u2581begin", "calls\u2581end", "call\u2581end", "outputs\u2581begin", "outputs\u2581end", "output\u2581begin",
    "output\u2581end", "sep")]


def added(text, special=True, **flags):
    return {"content": text, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False,
            "special": special, **flags}


def typed(text):
    return {"__type": "AddedToken", **added(text, normalized=True)}


LLAMA = {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>", "clean_up_tokenization_spaces": True}
QWEN = {"bos_token": None, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "unk_token": None,
        "add_bos_token": False, "add_prefix_space": False, "errors": "replace", "split_special_tokens": False,
        "additional_special_tokens": ["<|im_start|>", "<|im_end|>"]}
DEEPSEEK = {"add_bos_token": True, "add_eos_token": False, "bos_token": typed(BEGIN), "eos_token": typed(END),
            "pad_token": typed(END), "unk_token": None, "use_default_system_prompt": False}
LLAMA_TOKENS = [added(t) for t in ("<|begin_of_text|>", "<|end_of_text|>", "<|eom_id|>", "<|python_tag|>")]
QWEN_TOKENS = [added("<|endoftext|>"), added("<tool_response>", False), added("</tool_response>", False)]
DEEPSEEK_TOKENS = [added(BEGIN, normalized=True)] + [added(t, False, normalized=True) for t in TOOL_MARKS]
# family: (template, vocabulary, tokenizer_config.json, tokens it names beside those of the vocabulary, post-processor's BOS)
FAMILIES = {
    "llama3": ("llama3", "llama3", LLAMA, LLAMA_TOKENS, "<|begin_of_text|>"),
    "llama3.1": ("llama31", "llama3", LLAMA, LLAMA_TOKENS, "<|begin_of_text|>"),
    "smollm2": ("chatml", "smollm", {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|im_end|>",
                                     "unk_token": "<|endoftext|>"}, [added("<|endoftext|>")], None),
    "qwen2": ("chatml", "qwen2", QWEN, QWEN_TOKENS, None),
    "qwen2.5": ("qwen25", "qwen2", QWEN, QWEN_TOKENS, None),
    "qwen3": ("qwen3", "qwen2", QWEN, QWEN_TOKENS, None),
    "deepseek_v2": ("deepseek_v2", "deepseek_v2", DEEPSEEK, DEEPSEEK_TOKENS, BEGIN),
    "deepseek_v3": ("deepseek_v3", "deepseek_v3", DEEPSEEK, DEEPSEEK_TOKENS, BEGIN),
    "deepseek_r1": ("deepseek_r1", "deepseek_v3", DEEPSEEK, DEEPSEEK_TOKENS, BEGIN),
    "r1_distill_qwen": ("deepseek_r1", "qwen2", DEEPSEEK, DEEPSEEK_TOKENS, BEGIN),
    "r1_distill_llama": ("deepseek_r1", "llama3", DEEPSEEK, DEEPSEEK_TOKENS, BEGIN),
}
TOOLS = [{"type": "function", "function": {"name": "ferry_times", "description": "When the ferry's \"next\" crossings are.",
          "parameters": {"type": "object", "properties": {"place": {"type": "string"}, "n": {"type": "integer"}},
                         "required": ["place"]}}},
         {"type": "function", "function": {"name": "wind", "parameters": {"type": "object", "properties": {}}}}]
SYSTEM = {"role": "system", "content": " Answer in one line. "}
ASK = {"role": "user", "content": "When does the ferry go?"}
ANSWER = {"role": "assistant", "content": "Every hour, in 12 minutes."}
AGAIN = {"role": "user", "content": "Und \u00fcber den Flu\u00df?\n"}
TAGGED = {"role": "assistant", "content": "<think>\nIt is 3 o'clock.\n</think>\n\nIn 12 minutes."}
APART = {"role": "assistant", "reasoning_content": "It is 3 o'clock.", "content": "In 12 minutes."}


def call(name, **arguments):
    return {"type": "function", "id": "c1", "function": {"name": name, "arguments": arguments}}


ONE_CALL = {"role": "assistant", "content": "", "tool_calls": [call("ferry_times", place="Naru", n=2)]}
TWO_CALLS = {"role": "assistant", "content": "Let me look.", "tool_calls": [call("ferry_times", place="Naru"), call("wind")]}
RESULT, RESULT_2 = ({"role": "tool", "name": n, "content": c} for n, c in (("ferry_times", "[3.12, 4.12]"), ("wind", "calm")))
PLAIN = [[ASK], [SYSTEM, ASK], [ASK, ANSWER], [SYSTEM, ASK, ANSWER, AGAIN]]
CALLED = [[ASK, ONE_CALL], [ASK, ONE_CALL, RESULT], [SYSTEM, ASK, ONE_CALL, RESULT, ANSWER, AGAIN]]
CALLED_TWICE = [[ASK, TWO_CALLS, RESULT, RESULT_2], [ASK, TWO_CALLS, RESULT, RESULT_2, ANSWER, AGAIN]]
THOUGHT = [[ASK, TAGGED], [SYSTEM, ASK, TAGGED, AGAIN]]
TEXTS = ["When does the ferry go?", ""]


def conversations(family, template):
    for messages in PLAIN:
        yield {"messages": messages}
    has_tools = template in ("llama31", "qwen25", "qwen3", "deepseek_v3", "deepseek_r1")
    if has_tools:
        tools = None if template.startswith("deepseek") else TOOLS
        for messages in CALLED + ([] if template == "llama31" else CALLED_TWICE):
            yield {"messages": messages, "tools": tools}
    if template in ("llama31", "qwen25", "qwen3"):
        yield {"messages": [ASK], "tools": TOOLS}
        yield {"messages": [SYSTEM, ASK], "tools": []}
    if template == "llama31":
        yield {"messages": [SYSTEM, ASK], "tools": TOOLS, "settings": {"tools_with_user": False, "day": "1 Jan 2025"}}
        yield {"messages": [ASK, ONE_CALL, RESULT], "settings": {"builtin_tools": ["notebook", "wind", "ferry_times"]}}
        yield {"messages": [ASK, TWO_CALLS, RESULT]}  # refused
        yield {"messages": [SYSTEM], "tools": TOOLS}  # refused
    if template in ("qwen3", "deepseek_r1"):
        for messages in THOUGHT:
            yield {"messages": messages}
    if template == "qwen3":
        yield {"messages": [ASK, APART]}
        yield {"messages": [ASK, APART, AGAIN]}
        yield {"messages": [ASK, dict(ONE_CALL, reasoning_content="Look."), RESULT], "tools": TOOLS}
        yield {"messages": [ASK], "settings": {"enable_thinking": False}}
        yield {"messages": [ASK], "settings": {"enable_thinking": True}}


def post_processor(bos):
    """The text that stands in tokenizer.json; the ids are put in by the reader of the fixture."""
    if bos is None:
        return None
    token = {"SpecialToken": {"id": bos, "type_id": 0}}
    return {"type": "Sequence", "processors": [
        {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
        {"type": "TemplateProcessing", "single": [token, {"Sequence": {"id": "A", "type_id": 0}}],
         "pair": [token, {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
         "special_tokens": {bos: {"id": bos, "ids": [0], "tokens": [bos]}}}]}


def make(family):
    template, vocabulary, roles, tokens, bos = FAMILIES[family]
    model = json.load(open(os.path.join(OUT, "tokenizers", vocabulary + ".json"), encoding="utf-8"))
    first = max(list(model["model"]["vocab"].values()) + [t["id"] for t in model["added_tokens"]]) + 1
    new = {str(first + i): token for i, token in enumerate(tokens)}
    config = {"added_tokens_decoder": {**{str(t["id"]): {k: v for k, v in t.items() if k != "id"}
                                          for t in model["added_tokens"]}, **new},
              **roles, "model_max_length": 4096, "tokenizer_class": "PreTrainedTokenizerFast"}
    processor = post_processor(bos)
    if processor is not None:
        ids = {t["content"]: int(i) for i, t in config["added_tokens_decoder"].items()}
        processor["processors"][1]["special_tokens"][bos]["ids"] = [ids[bos]]
    model["post_processor"] = processor
    with tempfile.TemporaryDirectory() as folder:
        source = open(os.path.join(OUT, "families", template + ".jinja"), encoding="utf-8", newline="").read()
        for name, value in (("tokenizer.json", model), ("tokenizer_config.json", dict(config, chat_template=source))):
            json.dump(value, open(os.path.join(folder, name), "w", encoding="utf-8"))
        tokenizer = AutoTokenizer.from_pretrained(folder)
    cases = []
    for conversation in conversations(family, template):
        for prompts in (True, False):
            case = {"tools": None, "settings": {}, **conversation, "add_generation_prompt": prompts}
            arguments = dict(tools=case["tools"], add_generation_prompt=prompts, **case["settings"])
            try:
                case["text"] = tokenizer.apply_chat_template(case["messages"], tokenize=False, **arguments)
                case["ids"] = tokenizer.apply_chat_template(case["messages"], return_dict=False, **arguments)
            except Exception as error:
                assert "TemplateError" in type(error).__name__, (family, case, error)
            cases.append(case)
    texts = [{"text": t, "ids": tokenizer(t)["input_ids"]} for t in TEXTS]
    return {"family": family, "template": template, "vocabulary": vocabulary, "tokenizer_config": config,
            "post_processor": processor, "cases": cases, "texts": texts}


def listed(*tokens):
    """added_tokens_decoder of (id, token)."""
    return {"added_tokens_decoder": {str(i): token for i, token in tokens}}


def special_token_cases(n):
    """(name, tokenizer.json's added tokens, its companions); n is the first id behind the vocabulary."""
    a, b = (n, added("<A>")), (n + 1, added("<B>"))
    plain = lambda text, **flags: added(text, False, normalized=True, **flags)
    config = lambda **values: {"tokenizer_config.json": values}
    yield "a list alone", [a], config(additional_special_tokens=["<B>", "<C>"])
    yield "the newer list", [a], config(extra_special_tokens=["<B>", "<C>"])
    yield "both lists: the newer", [a], config(additional_special_tokens=["<B>"], extra_special_tokens=["<C>"])
    yield "named ones", [a], config(extra_special_tokens={"wide_token": "<C>", "image_token": "<B>"})
    yield "a model's own roles", [a], config(zoo_token="<C>", eos_token="<A>", audio_token="<B>")
    yield "roles that are nowhere else", [a], config(pad_token="<C>", eos_token="<B>")
    yield "all roles", [a], config(mask_token="<m>", cls_token="<c>", pad_token="<p>", sep_token="<s>", unk_token="<u>",
                                   eos_token="<e>", bos_token="<b>", additional_special_tokens=["<B>"])
    yield "a role makes special", [(n, plain("<A>"))], config(eos_token="<A>")
    yield "a list does not", [(n, plain("<A>")), (n + 1, plain("<B>"))], config(additional_special_tokens=["<A>"])
    yield "a role of a model token", [a], config(bos_token="\u0120the")
    yield "the map alone", [a], {**config(), "special_tokens_map.json": {
        "eos_token": "<B>", "additional_special_tokens": ["<C>"]}}
    yield "the map wins", [a], {**config(eos_token="<B>"), "special_tokens_map.json": {"eos_token": "<C>", "pad_token": "<A>"}}
    yield "the map's lists do not", [a], {**config(additional_special_tokens=["<B>"]), "special_tokens_map.json": {
        "additional_special_tokens": ["<C>"]}}
    yield "the map beside a list with ids", [a], {**config(**listed(a)), "special_tokens_map.json": {
        "additional_special_tokens": ["<B>"]}}
    yield "flags of the list with ids", [a], config(**listed((n, plain("<A>", lstrip=True))))
    yield "new in the list with ids", [a], config(**listed(a, (n + 2, plain("<C>")), (n + 1, added("<B>"))))
    yield "a gap in the list with ids", [a], config(**listed(a, (n + 7, added("<B>"))))
    yield "added_tokens.json", [a], {**config(additional_special_tokens=["<C>"]),
                                     "added_tokens.json": {"<A>": n, "<C>": n + 2, "<B>": n + 1}}
    yield "added_tokens.json with a gap", [a], {**config(), "added_tokens.json": {"<B>": n + 7}}
    yield "added_tokens.json and no config", [a], {"added_tokens.json": {"<B>": n + 1}}
    yield "added_tokens.json changes no flag", [a], {**config(), "added_tokens.json": {"<A>": n}}
    yield "added_tokens.json beside a list with ids", [a], {**config(**listed(a)), "added_tokens.json": {"<B>": n + 1}}
    yield "a role in added_tokens.json", [], {**config(eos_token="<A>"), "added_tokens.json": {"<A>": n, "<B>": n + 1}}


def special_tokens():
    base = json.load(open(os.path.join(OUT, "tokenizers", "gpt2.json"), encoding="utf-8"))
    n = max(base["model"]["vocab"].values()) + 1
    cases = []
    for name, tokens, files in special_token_cases(n):
        model = dict(base, added_tokens=[{"id": i, **token} for i, token in tokens])
        with tempfile.TemporaryDirectory() as folder:
            for file, value in {"tokenizer.json": model, **files}.items():
                if file == "tokenizer_config.json":
                    value = dict(value, tokenizer_class="PreTrainedTokenizerFast")
                json.dump(value, open(os.path.join(folder, file), "w", encoding="utf-8"))
            tokenizer = AutoTokenizer.from_pretrained(folder)
        found = [{"id": i, "content": t.content, "special": t.special, "lstrip": t.lstrip}
                 for i, t in sorted(tokenizer.added_tokens_decoder.items())]
        cases.append({"name": name, "added_tokens": model["added_tokens"], "files": files, "tokens": found,
                      "roles": tokenizer.special_tokens_map})
    return cases


def write(name, value):
    with open(os.path.join(OUT, name), "w", encoding="utf-8") as out:
        json.dump(value, out, ensure_ascii=True, separators=(",", ":"))
        out.write("\n")


def main():
    write("families.json", [make(family) for family in FAMILIES])
    write("special_tokens.json", special_tokens())


if __name__ == "__main__":
    main()
