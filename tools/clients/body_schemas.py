"""What bodies may hold, as JSON Schema, of those paths whose OpenAPI document says nothing of their fields: for
tools/check_openapi.py, which tries everything that is not allowed here."""

INT32_MAX = 2**31 - 1
ANY = {}


def integer(low, high):
    return {"type": "integer", "minimum": low, "maximum": high}


def number(low, high):
    return {"type": "number", "minimum": low, "maximum": high}


def text(most=None):
    return {"type": "string", **({"maxLength": most} if most else {})}


def words(*those):
    return {"enum": list(those)}


def array(items, least=0, most=4096):
    return {"type": "array", "items": items, "minItems": least, "maxItems": most}


def fields(required=(), **properties):
    return {"type": "object", "required": list(required), "properties": properties}


def either(*schemas):
    return {"anyOf": list(schemas)}


BOOLEAN = {"type": "boolean"}
OBJECT = {"type": "object"}
STOP = {"type": "string", "minLength": 1, "maxLength": 256}
SEED = integer(-1, 2**63 - 1)
SAMPLING = {
    "temperature": number(0, 1000),
    "top_p": number(0, 1),
    "top_k": integer(0, INT32_MAX),
    "min_p": number(0, 1),
    "seed": SEED,
}
TOP_LOGPROBS = integer(0, 20)

# ---- Anthropic

TEXT_BLOCK = fields(["type", "text"], type={"const": "text"}, text=text())
THINKING_BLOCK = fields(["type", "thinking"], type={"const": "thinking"}, thinking=text(), signature=ANY)
USE_BLOCK = fields(["type", "id", "name", "input"], type={"const": "tool_use"}, id=text(256), name=text(256), input=OBJECT)
RESULT_BLOCK = fields(
    ["type", "tool_use_id"],
    type={"const": "tool_result"},
    tool_use_id=text(256),
    content=either(text(), array(TEXT_BLOCK)),
    is_error=BOOLEAN,
)
ANTHROPIC_MESSAGE = fields(
    ["role", "content"],
    role=words("user", "assistant", "system"),
    content=either(text(), array(either(TEXT_BLOCK, THINKING_BLOCK, USE_BLOCK, RESULT_BLOCK), least=0)),
)
ANTHROPIC_TOOL = fields(["name", "input_schema"], name=text(256), description=text(), input_schema=OBJECT)
ANTHROPIC_PROMPT = {
    "model": text(256),
    "messages": array(ANTHROPIC_MESSAGE, least=1),
    "system": either(text(), array(TEXT_BLOCK)),
    "tools": array(ANTHROPIC_TOOL),
    "tool_choice": fields(["type"], type=words("auto", "none"), disable_parallel_tool_use=BOOLEAN),
    "thinking": fields(
        ["type"],
        type=words("enabled", "adaptive", "disabled", "between_tools"),
        budget_tokens=integer(1, INT32_MAX),
        display=text(256),
    ),
    "output_config": fields(effort=words("low", "medium", "high", "xhigh", "max")),
}
ANTHROPIC = fields(
    ["messages", "max_tokens"],
    **ANTHROPIC_PROMPT,
    **SAMPLING,
    max_tokens=integer(1, 2**31),
    stop_sequences=either(STOP, array(STOP, most=16)),
    stream=BOOLEAN,
    ignore_eos=BOOLEAN,
    cache_salt=text(256),
    metadata=ANY,
)
ANTHROPIC_COUNT = fields(["messages"], **ANTHROPIC_PROMPT)

# ---- OpenAI's responses

INPUT_TEXT = fields(["type", "text"], type=words("input_text", "output_text", "text"), text=text())
RESPONSES_ITEM = fields(
    ["role", "content"],
    type=words("message", ""),
    role=words("user", "assistant", "system", "developer"),
    content=either(text(), array(INPUT_TEXT)),
)
RESPONSES = fields(
    ["input"],
    model=text(256),
    input=either(text(), array(RESPONSES_ITEM, least=1)),
    instructions=text(),
    tools=array(fields(["type", "name"], type={"const": "function"}, name=text(256), description=text(), parameters=OBJECT)),
    tool_choice=words("auto", "none"),
    parallel_tool_calls=BOOLEAN,
    reasoning=fields(effort=words("none", "minimal", "low", "medium", "high", "xhigh", "max")),
    text=fields(format=fields(["type"], type=words("text", "json_object", "json_schema"))),
    include=array(text(256)),
    top_logprobs=TOP_LOGPROBS,
    presence_penalty=number(-100, 100),
    frequency_penalty=number(-100, 100),
    max_output_tokens=integer(1, 2**31),
    stream=BOOLEAN,
    store=BOOLEAN,
    truncation=words("disabled", "auto"),
    ignore_eos=BOOLEAN,
    cache_salt=text(256),
    metadata=ANY,
    **SAMPLING,
)

# ---- Ollama

OLLAMA_OPTIONS = fields(
    **{**SAMPLING, "top_k": integer(-1, INT32_MAX)},
    repeat_penalty=number(0.01, 100),
    presence_penalty=number(-100, 100),
    frequency_penalty=number(-100, 100),
    num_predict=integer(-2, INT32_MAX),
    num_ctx=integer(1, INT32_MAX),
    stop=either(STOP, array(STOP, most=16)),
)
OLLAMA_COMMON = {
    "model": text(256),
    "stream": BOOLEAN,
    "options": OLLAMA_OPTIONS,
    "format": either(words("", "json"), OBJECT),
    "think": either(BOOLEAN, words("low", "medium", "high", "max")),
    "logprobs": BOOLEAN,
    "top_logprobs": TOP_LOGPROBS,
    "keep_alive": either(text(256), number(-1e308, 1e308)),
}
OLLAMA_CALL = fields(["function"], function=fields(["name", "arguments"], name=text(256), arguments=OBJECT))
OLLAMA_MESSAGE = fields(
    ["role", "content"],
    role=words("system", "user", "assistant", "tool"),
    content=text(),
    thinking=text(),
    tool_name=text(256),
    tool_calls=array(OLLAMA_CALL),
)
OPENAI_TOOL = fields(
    ["type", "function"],
    type={"const": "function"},
    function=fields(["name"], name=text(256), description=text(), parameters=OBJECT),
)
OLLAMA_CHAT = fields(["messages"], **OLLAMA_COMMON, messages=array(OLLAMA_MESSAGE), tools=array(OPENAI_TOOL))
OLLAMA_GENERATE = fields(**OLLAMA_COMMON, prompt=text(), system=text(), raw=BOOLEAN)

# ---- pages of tokens

TOKENIZE = fields(
    model=text(256),
    content=text(),
    prompt=text(),
    add_special=BOOLEAN,
    add_special_tokens=BOOLEAN,
    parse_special=BOOLEAN,
    with_pieces=BOOLEAN,
    return_token_strs=BOOLEAN,
)
DETOKENIZE = fields(["tokens"], model=text(256), tokens=array(integer(0, INT32_MAX), most=1 << 30))
APPLY_TEMPLATE = fields(
    ["messages"],
    model=text(256),
    add_generation_prompt=BOOLEAN,
    messages=array(
        fields(["role", "content"], role=words("system", "developer", "user", "assistant"), content=either(text(), array(INPUT_TEXT))), least=1
    ),
)

SCHEMAS = {
    "/v1/messages": ANTHROPIC,
    "/v1/messages/count_tokens": ANTHROPIC_COUNT,
    "/anthropic/v1/messages": ANTHROPIC,
    "/anthropic/v1/messages/count_tokens": ANTHROPIC_COUNT,
    "/v1/responses": RESPONSES,
    "/api/chat": OLLAMA_CHAT,
    "/api/generate": OLLAMA_GENERATE,
    "/api/show": fields(model=text(256), name=text(256)),
    "/v1/tokenize": TOKENIZE,
    "/v1/detokenize": DETOKENIZE,
    "/v1/apply-template": APPLY_TEMPLATE,
}
