#!/usr/bin/env python3
"""Makes seed files for the fuzz targets out of the fixtures of the tests (standard library only).

It gives OUT/json OUT/safetensors OUT/gguf OUT/config_json OUT/adapter_config OUT/tokenizer_json OUT/bpe_trainer OUT/training_data
OUT/problem_answers OUT/run_folder OUT/check_case OUT/hub_listing OUT/pull_manifest OUT/zip OUT/chat OUT/server_request
OUT/http_request OUT/ollama_request OUT/token_pages OUT/anthropic_request OUT/responses_request OUT/tool_calls OUT/receipt
OUT/recorded_run, a folder for each target of those names.
"""
import argparse
import io
import json
import pathlib
import struct
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = ROOT / "tests" / "fixtures" / "formats"


def put(out, target, name, data):
    folder = out / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def gguf(values, tensors, data):
    """A GGUF file; values are (key, type, bytes), tensors (name, dims, type, offset)."""
    def text(s):
        return struct.pack("<Q", len(s)) + s
    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(values))
    for key, kind, value in values:
        out += text(key.encode()) + struct.pack("<I", kind) + value
    for name, dims, kind, offset in tensors:
        out += text(name.encode()) + struct.pack("<I", len(dims)) + b"".join(struct.pack("<Q", d) for d in dims)
        out += struct.pack("<IQ", kind, offset)
    return out + b"\0" * (-len(out) % 32) + data


def deepseek2_gguf():
    def u32(key, value):
        return "deepseek2." + key, 4, struct.pack("<I", value)

    def f32(key, value):
        return "deepseek2." + key, 6, struct.pack("<f", value)
    arch = b"deepseek2"
    values = [("general.architecture", 8, struct.pack("<Q", len(arch)) + arch), u32("vocab_size", 7), u32("embedding_length", 8),
              u32("feed_forward_length", 9), u32("block_count", 2), u32("attention.head_count", 2), u32("context_length", 64),
              f32("attention.layer_norm_rms_epsilon", 1e-6), u32("attention.kv_lora_rank", 4), u32("rope.dimension_count", 2),
              u32("attention.key_length_mla", 6), u32("attention.value_length_mla", 4), u32("expert_count", 8),
              u32("expert_used_count", 2), u32("expert_feed_forward_length", 4), u32("expert_group_count", 2),
              u32("expert_group_used_count", 1), u32("expert_gating_func", 2), f32("rope.scaling.factor", 40.0),
              ("deepseek2.rope.scaling.type", 8, struct.pack("<Q", 4) + b"yarn"),
              f32("rope.scaling.yarn_log_multiplier", 0.1), ("deepseek2.expert_weights_norm", 7, b"\1")]
    return gguf(values, [("blk.0.exp_probs_b.bias", [8], 0, 0)], bytes(32))


def per_layer_gguf():
    def array(key, *layers):
        return "llama." + key, 9, struct.pack("<IQ", 5, len(layers)) + struct.pack(f"<{len(layers)}i", *layers)

    def u32(key, value):
        return "llama." + key, 4, struct.pack("<I", value)
    values = [("general.architecture", 8, struct.pack("<Q", 5) + b"llama"), u32("vocab_size", 7), u32("embedding_length", 8),
              array("feed_forward_length", 9, 9), u32("block_count", 2), array("attention.head_count", 2, 2),
              array("attention.head_count_kv", 1, 1), u32("context_length", 64),
              ("llama.attention.layer_norm_rms_epsilon", 6, struct.pack("<f", 1e-6))]
    return gguf(values, [], b"")


def block_ggufs():
    sizes = {2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 12: (256, 144), 13: (256, 176), 14: (256, 210),
             0: (1, 4), 1: (1, 2), 30: (1, 2), 24: (1, 1), 26: (1, 4), 27: (1, 8), 28: (1, 8),
             10: (256, 84), 20: (32, 18), 25: (1, 2), 39: (32, 17)}  # the last four: sized and not read
    for kind, (elements, size) in sizes.items():
        yield kind, gguf([("general.alignment", 4, struct.pack("<I", 8))], [("t", [elements, 2], kind, 0)], bytes(range(256))[:1] * 32 + bytes(2 * size))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path, metavar="OUT")
    out = parser.parse_args().out
    for i, case in enumerate(json.loads((DATA / "configs.json").read_text())):
        text = json.dumps(case["config"]).encode()
        put(out, "config_json", f"config-{i}", text)
        if i % 4 == 0:
            put(out, "json", f"config-{i}", text)
    put(out, "config_json", "generation", b'{"do_sample":true,"temperature":0.6,"top_k":20,"top_p":0.95,"eos_token_id":[1,2]}')
    adapter = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "use_rslora": True, "target_modules": ["q_proj", "v_proj"], "bias": "none",
               "init_lora_weights": "gaussian", "use_dora": False, "modules_to_save": None, "rank_pattern": {}, "task_type": "CAUSAL_LM"}
    put(out, "adapter_config", "list", json.dumps(adapter).encode())
    put(out, "adapter_config", "pattern", json.dumps(adapter | {"target_modules": "all-linear", "lora_alpha": 0.5}).encode())
    for i, text in enumerate([b"[1,-2,3.5e2,true,false,null]", b'{"a":"\\u00e9\\ud83d\\ude00"}', b'"x"', b"0", "[\"가\"]".encode()]):
        put(out, "json", f"small-{i}", text)

    manifest = {"format": "naru-checkpoint", "version": 1, "step": 100, "state": {"seed": 7, "beta": 0.95},
                "files": [{"name": "weights.safetensors", "bytes": 10, "sha256": "0" * 64}]}
    cells = [{"op": op, "kind": "f32", "verdict": verdict, "outputs_sha256": "a" * 64, "cases_sha256": "b" * 64,
              "bounded": {"error": 1e-7}, "speed": {"seconds": 0.01}} for op, verdict in (("add", "exact"), ("rope", "bounded"))]
    receipt = {"receipt": 2, "chip": "cpu", "arithmetic_sha256": "c" * 64, "binary_sha256": "d" * 64, "cases_sha256": "e" * 64,
               "whole": True, "fault": "flip@add", "cells": cells}
    put(out, "receipt", "two-cells", json.dumps(receipt).encode())
    ops = [{"count": 0, "inputs_sha256": "a" * 64, "op": "rope_table", "operands": "[1, 1], [1, 8]", "pass": 1, "unseen": "",
            "where": "before the layers", "outputs": [{"dtype": "f32", "name": name, "sha256": "b" * 64, "shape": [1, 8]}
                                                      for name in ("cos", "sin")]}]
    recorded = {"format": "naru-recording", "version": 2, "arithmetic_sha256": "c" * 64, "model_sha256": "d" * 64, "kind": "forward",
                "numerics": "naru2", "ids": [69, 446], "chip": "cpu", "detail": "", "fault": "", "fault_struck": 0, "compute": "auto",
                "model": "a", "program": "naru", "system": "Linux", "ops": ops}
    put(out, "recorded_run", "one-op", json.dumps(recorded).encode())

    put(out, "checkpoint_manifest", "one-file", json.dumps(manifest).encode())

    blob, lfs = {"size": 9, "blobId": "b" * 40}, {"lfs": {"sha256": "a" * 64, "size": 9, "pointerSize": 134}}
    weights = [{"rfilename": name, **blob, **lfs} for name in ("model.safetensors", "a.gguf", "sub/b.gguf")]
    listing = {"sha": "c" * 40, "siblings": [{"rfilename": "config.json", **blob}, *weights]}
    put(out, "chat", "history", b"hello\\nthere\n/set top-k 5\nC:\\\\x\n")
    put(out, "chat", "conversation", json.dumps({"messages": [
        {"role": "system", "content": "s"}, {"role": "user", "content": "u"},
        {"role": "assistant", "content": "a", "reasoning_content": "r"}]}).encode())
    put(out, "chat", "keys", "e\u0301\u1112\u1161\x1b[A\x1b[200~a\rb\x1b[201~\x17\x19".encode())
    put(out, "hub_listing", "folder", json.dumps(listing).encode())
    put(out, "hub_listing", "gguf", json.dumps(listing | {"siblings": weights[1:]}).encode())
    pulled = {"format": 1, "model": "owner/name", "endpoint": "https://hub", "commit": "c" * 40, "kind": "gguf", "pulled": "2026",
              "files": [{"name": "a.gguf", "path": "sub/a.gguf", "bytes": 9, "sha256": "a" * 64},
                        {"name": "LICENSE", "bytes": 0, "git_blob": "b" * 40}]}
    put(out, "pull_manifest", "gguf", json.dumps(pulled).encode())
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", method) as members:
            for name, text in (("b", b"b"), ("a", b"the ferry, the river, the ferry\n" * 20)):
                members.writestr(zipfile.ZipInfo(name), text, method)
        put(out, "zip", f"method-{method}", archive.getvalue())

    parts = [b'{"format":"naru-run","name":"tiny","status":"running","step":9,"steps":20,"loss":2.5,"tokens":4096,"seconds":3.5,'
             b'"active_parameters":1000,"peak_memory_bytes":9e6,"machine":"<b>cpu</b>"}',
             b'{"step":1,"loss":3.5,"lr":0.001}\n{"step":2,"loss":3.25,"validation_loss":3.5}\nno object\n',
             b'{"step":2,"prompt":"2+2","answer":"4 </script>"}\n{"step":4,"prompt":"2+2","answer":"5"}\n', b'steps = 20 # <script>\n',
             b'{"step":0,"problem":0,"prompt":"2 2 =","wanted":"4","answer":"<think>hm</think>4","is_right":true}\n',
             b'{"step":1,"problem":0,"prompt":"2 2 =","wanted":"4","parts":["answer","<b>"],"answers":[{"text":"</script>","tokens":3,'
             b'"is_right":false,"is_cut":true,"reward":-0.5,"advantage":-1,"parts":[0,-0.5]}]}\n']
    put(out, "run_folder", "tiny", b"\x1e".join(parts))

    lines = ["rms_norm eps/apart rows=3 cols=17 values=low seed=7 gap=3 grade=exact", "add in_b rows=70 cols=601 values=wide large",
             "matmul q4_k_as_q4_k/bias/three rows=11 inputs=512 outputs=40", "grouped_matmul f32_as_bf16/experts/two_alike rows=4 inputs=9 outputs=3 groups=5 rows_share=3",
             "attention bf16/latent/most/stats heads=5 key_heads=1 width=40 value_width=24 scale_log2=-3 lengths=1,33,70 chunk=7",
             "attention f32/grouped/every/no_stats heads=4 key_heads=2 width=8 value_width=5 lengths=40,3 last=2,1 values=not_finite",
             "attention_grad f32/grouped/mixed heads=6 key_heads=2 width=40 value_width=24 scale_log2=-4 lengths=2,3,67,33 values=golden",
             "route sigmoid/top_two_groups/bias_and_normalised rows=5 experts=24 chosen=3 groups=4 kept=2 values=golden",
             "balance_loss softmax rows=31 experts=8 chosen=2 documents=3", "weight_grad f32/two_experts slots=60 outputs=3 inputs=5 groups=3 rows_share=2",
             "sum_of_squares rows=2 cols=3 tensors=12", "cache_write bf16 rows=40 heads=4 width=16 shared_width=8 values=any"]
    for i, line in enumerate(lines):
        put(out, "check_case", f"case-{i}", line.encode())

    put(out, "safetensors", "tiny", (DATA / "tiny.safetensors").read_bytes())
    for dtype, shape, size in [("F8_E8M0", "[2]", 2), ("F4", "[2,2]", 2), ("C64", "[]", 8), ("F6_E2M3", "[4]", 3)]:
        header = f'{{"__metadata__":null,"x":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{size}]}}}}'.encode()
        put(out, "safetensors", f"unread-{dtype}", struct.pack("<Q", len(header)) + header + bytes(size))
    verdicts = (DATA / "safetensors_verdicts.bin").read_bytes()
    at, n = 0, 0
    while at < len(verdicts):
        size, good = struct.unpack_from("<IB", verdicts, at)
        if good or n % 50 == 0:
            put(out, "safetensors", f"mutant-{n}", verdicts[at + 5:at + 5 + size])
        at, n = at + 5 + size, n + 1

    put(out, "gguf", "tiny", (DATA / "tiny.gguf").read_bytes())
    put(out, "gguf", "deepseek2", deepseek2_gguf())
    put(out, "gguf", "per-layer", per_layer_gguf())
    put(out, "gguf", "empty-and-scalar", gguf([], [("none", [0, 3], 0, 0), ("scalar", [], 0, 0)], bytes(4)))
    for kind, data in block_ggufs():
        put(out, "gguf", f"block-{kind}", data)

    folder = DATA / "tokenizer"
    parts = [(folder / name).read_bytes() for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")]
    put(out, "tokenizer_json", "folder", b"\x1e".join(parts + [b"{{ messages }}"]))
    small = {"added_tokens": [{"id": 5, "content": "<s>", "special": True}],
             "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}]},
             "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                 {"type": "Split", "pattern": {"Regex": "x"}, "behavior": "Isolated", "invert": False},
                 {"type": "Digits", "individual_digits": True}, {"type": "ByteLevel", "add_prefix_space": False}]},
             "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}],
                                "special_tokens": {"<s>": {"id": "<s>", "ids": [5]}}},
             "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "c": 3, "abc": 4}, "merges": ["a b", ["ab", "c"]]}}
    put(out, "tokenizer_json", "small", json.dumps(small).encode())
    put(out, "tokenizer_json", "config", json.dumps(small).encode() + b"\x1e" + parts[1])

    # Six bytes of options, an added token, texts.
    texts = json.loads((DATA.parent / "text" / "trained" / "corpus.json").read_text())
    for i in range(14):
        part = "\x1e".join(["<|x|>"] + texts[4 * i:4 * i + 4 + i]).encode()
        put(out, "bpe_trainer", f"corpus-{i}", bytes([i, 40, 1 + i % 3, 200, i % 5 * 50, 20]) + part)

    # Two bytes of options, a file.
    examples = ROOT / "examples" / "data"
    for flags, name, n in ((0, "texts.jsonl", 8), (0, "conversations.jsonl", 6), (1, "conversations.jsonl", 12), (3, "conversations.jsonl", 2), (4, "notes.txt", 4),
                           (6, "notes.txt", 90), (8, "instructions.json", 8), (9, "instructions.json", 20), (17, "tools.jsonl", 40)):
        put(out, "training_data", f"{flags}-{name}", bytes([flags, n]) + (examples / name).read_bytes())
    calls = b'{"messages":[{"role":"user","content":"<|im_end|>"},{"role":"assistant","content":null,"tool_calls":[]}],"tools":[{}]}\n\r\n{"text":"<|im_start|>"}'
    put(out, "training_data", "calls", bytes([0, 9]) + calls)
    turns = b'\xef\xbb\xbf{"messages":[{"role":"user","content":"a","n":[1e400,18446744073709551616]},{"role":"assistant","content":"<think>\\nr</think>b","weight":0},{"role":"user","content":"c"},{"role":"assistant","content":"d","reasoning_content":"s"}]}'
    put(out, "training_data", "turns", bytes([1, 9]) + turns)
    share_gpt = (b'{"system":"s","conversations":[{"from":"human","value":"a"},{"from":"function_call","value":"{\\"name\\":\\"f\\",'
                 b'\\"arguments\\":{\\"x\\":1}}"},{"from":"observation","value":"5"},{"from":"gpt","value":"b"}]}\n{"prompt":"a","completion":"b"}')
    for flags in (0, 1, 17):
        put(out, "training_data", f"share-gpt-{flags}", bytes([flags, 9]) + share_gpt)

    # Three bytes that choose a problem, an answer.
    for i, text in enumerate([b"3 2 3", b"#### 12", b"7 + 5 = 12 #### 12", b"12 * (7 - 4)", b"(1/3)*3-2", b"-1.5", b"7 - 4 = 3; 3 * 12 = 36 #### (7 - 4) * 12"]):
        for kind in range(3):
            put(out, "problem_answers", f"{kind}-{i}", bytes([kind, i, i]) + text)

    # Two bytes that choose the form and the cut, an answer's text.
    deep = "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
    for form, text in [(5, 'a\n<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'), (3, deep), (3, deep.replace("function", "get")),
                       (2, '{"name": "get", "parameters": {}}; {"name": "f", "parameters": {"a": "\\ud83d\\ude00"}}')]:
        put(out, "tool_calls", f"{form}-{len(text)}", bytes([form, 7]) + text.encode())

    # A byte that chooses the form or the cut, a body or the bytes of a connection.
    chat = {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}], "n": 2, "stop": ["x"],
            "logit_bias": {"3": -1.5}, "logprobs": True, "top_logprobs": 2, "seed": 1, "stream": True,
            "stream_options": {"include_usage": True}, "chat_template_kwargs": {"enable_thinking": False}}
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    tools = {"messages": [{"role": "assistant", "content": None, "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c", "content": "1"}],
             "tools": [{"type": "function", "function": {"name": "f", "parameters": {}, "strict": True}}], "tool_choice": "auto",
             "parallel_tool_calls": False, "response_format": {"type": "json_object"}}
    put(out, "server_request", "tools", b"\1" + json.dumps(tools).encode())
    completion = {"prompt": ["a", [1, 2]], "max_tokens": 3, "logprobs": 1, "top_k": -1, "temperature": 0.5, "user": "u"}
    put(out, "server_request", "chat", b"\1" + json.dumps(chat).encode())
    put(out, "server_request", "completion", b"\0" + json.dumps(completion).encode())
    ollama = {"model": "m", "messages": [
        {"role": "user", "content": "a"}, {"role": "tool", "content": "b", "tool_name": "f"},
        {"role": "assistant", "thinking": "c", "tool_calls": [{"function": {"name": "f", "arguments": {"x": [1, "y"]}}}]}],
        "tools": [{"type": "function", "function": {"name": "f"}}], "options": {"num_predict": 3, "stop": ["x"], "seed": 1},
        "stream": False, "format": "json", "think": "low", "keep_alive": "5m", "logprobs": True, "top_logprobs": 2}
    generate = {"prompt": "a", "suffix": "b", "raw": True, "options": {"num_ctx": 8}}
    put(out, "ollama_request", "chat", b"\0" + json.dumps(ollama).encode())
    put(out, "ollama_request", "generate", b"\1" + json.dumps(generate).encode())
    put(out, "ollama_request", "show", b"\2" + json.dumps({"model": "m", "verbose": True}).encode())
    begun = {"messages": chat["messages"] + [{"role": "assistant", "content": "<think>", "prefix": True}],
             "thinking": {"type": "enabled"}, "reasoning_effort": "max", "return_token_strs": True}
    put(out, "token_pages", "tokenize", b"\0" + json.dumps({"prompt": "a <think>", "with_pieces": True}).encode())
    put(out, "token_pages", "conversation", b"\0" + json.dumps(begun).encode())
    put(out, "token_pages", "detokenize", b"\1" + json.dumps({"tokens": [1, 256, 7]}).encode())
    put(out, "token_pages", "template", b"\2" + json.dumps({**begun, "continue_final_message": True}).encode())
    chunks = b"POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nT: 1\r\n\r\n"
    put(out, "http_request", "chunks", b"\3" + chunks + b"GET / HTTP/1.0\r\n\r\n")
    put(out, "http_request", "length", b"\0POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}" + chunks)

    schema = {"type": "object", "properties": {"x": {"type": "number"}}}
    anthropic = {"model": "m", "max_tokens": 5, "stream": True, "system": [{"type": "text", "text": "a", "cache_control": {}}],
                 "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": [
                     {"type": "thinking", "thinking": "b", "signature": "c"}, {"type": "text", "text": "d"},
                     {"type": "tool_use", "id": "1", "name": "f", "input": {"x": 1.0}}]}, {"role": "user", "content": [
                         {"type": "tool_result", "tool_use_id": "1", "is_error": True, "content": [{"type": "text", "text": "e"}]}]}],
                 "tools": [{"name": "f", "description": "g", "input_schema": schema}], "tool_choice": {"type": "auto"},
                 "thinking": {"type": "enabled", "budget_tokens": 3}, "output_config": {"effort": "low"}, "stop_sequences": ["x"]}
    put(out, "anthropic_request", "tools", json.dumps(anthropic).encode())
    responses = {"instructions": "a", "stream": True, "input": [
        {"role": "developer", "content": "b"}, {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "c"}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "d"}], "encrypted_content": "naru-plain-1.YWI="},
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": "e"}], "metadata": {"a": "b"}, "top_logprobs": 2,
        "tools": [{"type": "function", "name": "f", "parameters": schema, "strict": False}, {"type": "web_search"}],
        "reasoning": {"effort": "low"}, "text": {"format": {"type": "json_object"}}, "include": ["reasoning.encrypted_content"]}
    put(out, "responses_request", "tools", json.dumps(responses).encode())


main()
