"""A tiny model that knows a few conversations by heart, trained by naru itself in some seconds: it calls tools, several at
once, thinks before it answers, and ends its answers. What clients ask of a server can so be tried on answers that have a
form, not on a random model's."""

import json
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CONTEXT_MAX = 32768  # what agents send is long, in the bytes of a small vocabulary
TRAINED_TOKENS = 1024
LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 405,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "hidden_act": "silu",
    "intermediate_size": 192,
    "max_position_embeddings": CONTEXT_MAX,
    "rope_theta": 10000.0,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
}
WEATHER = {
    "name": "get_weather",
    "description": "The weather in a city, now.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
TOOLS = [{"type": "function", "function": WEATHER}]

HELLO, HELLO_SAID = "Say hello.", "Hello there, good to see you!"
FRENCH, FRENCH_SAID = "And in French?", "Bonjour!"
SUM, SUM_THOUGHT, SUM_SAID = "What is 2 + 3?", "Two and three make five.", "It is 5."
PARIS, PARIS_RESULT, PARIS_SAID = "What is the weather in Paris?", "18 degrees, sunny", "It is 18 degrees and sunny in Paris."
TWO, TWO_RESULTS, TWO_SAID = (
    "How warm are Rome and Oslo?",
    ["25 degrees", "5 degrees"],
    "Rome has 25 degrees, Oslo has 5 degrees.",
)
OBJECT, OBJECT_SAID = "Answer with a JSON object.", '{"answer": 42, "is_sure": true}'


def reordered():
    """The tool as a client writes it that has an order of its own."""
    parameters = {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}}
    return {"type": "function", "function": {**WEATHER, "parameters": parameters}}


def call(city):
    return {
        "id": f"call_{city}",
        "type": "function",
        "function": {"name": "get_weather", "arguments": json.dumps({"city": city})},
    }


def says(role, content, **more):
    return {"role": role, "content": content, **more}


def conversations():
    hello = [says("user", HELLO), says("assistant", HELLO_SAID)]
    tools = [{"tools": TOOLS}, {}]
    lines = []
    for with_tools in tools:  # the same with and without
        lines.append({"messages": hello, **with_tools})
        lines.append({"messages": [*hello, says("user", FRENCH), says("assistant", FRENCH_SAID)], **with_tools})
        lines.append(
            {"messages": [says("user", SUM), says("assistant", SUM_SAID, reasoning_content=SUM_THOUGHT)], **with_tools}
        )
        lines.append({"messages": [says("user", OBJECT), says("assistant", OBJECT_SAID)], **with_tools})
    weather = ((PARIS, ["Paris"], [PARIS_RESULT], PARIS_SAID), (TWO, ["Rome", "Oslo"], TWO_RESULTS, TWO_SAID))
    for tools in (TOOLS, [reordered()]):
        for question, cities, results, said in weather:
            calls = [call(city) for city in cities]
            told = [{"role": "tool", "tool_call_id": each["id"], "content": result} for each, result in zip(calls, results)]
            # Clients send back what they were given, and some of them leave out what they do not know.
            for given in ({}, {"content": "\n\n"}, {"reasoning_content": "\n\n"}):
                asked = [says("user", question), {**says("assistant", "", tool_calls=calls), **given}]
                lines.append({"messages": [*asked, *told, says("assistant", said)], "tools": tools})
            lines.append({"messages": [asked[0], says("assistant", "", tool_calls=calls)], "tools": tools})
    return lines


def recipe(steps):
    return f"""
kind = "sft"
seed = 1
steps = {steps}
[model]
config = "llama.json"
tokenizer = "tokenizer"
init_std = 0.05
[[data]]
path = "conversations.jsonl"
[batch]
context = {TRAINED_TOKENS}
rows = 4
micro_rows = 4
[optimizer]
lr = 0.004
weight_decay = 0.0
[schedule]
kind = "cosine"
warmup_steps = 10
final_factor = 0.05
[checkpoint]
every = {steps}
"""


def learn(binary, folder, steps=400, threads=2):
    """Trains it below `folder`; where the model is. Half a minute on two cores."""
    folder = pathlib.Path(folder)
    (folder / "tokenizer").mkdir(parents=True)
    shutil.copy(ROOT / "tests/fixtures/text/trained/smollm.json", folder / "tokenizer/tokenizer.json")
    template = (ROOT / "tests/fixtures/text/families/qwen3.jinja").read_text()
    (folder / "tokenizer/tokenizer_config.json").write_text(json.dumps({"chat_template": template, "eos_token": "<|im_end|>"}))
    (folder / "llama.json").write_text(json.dumps(LLAMA))
    (folder / "conversations.jsonl").write_text("".join(json.dumps(line) + "\n" for line in conversations()))
    (folder / "learn.toml").write_text(recipe(steps))
    done = subprocess.run(
        [binary, "train", str(folder / "learn.toml"), "--out", str(folder / "run"), "-t", str(threads)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the model of these checks could not be trained: {done.stderr[-800:]}")
    return folder / "run/model"
