"""What agent programs send, by the shape of their requests: written by hand after their public documentation and sources, with
their headers, their extra fields and a few of their tools; texts are our own. A request is (what, path, fields of the header,
body, what is to become of it); without the last one it is to be accepted."""

import json

from rig import KEY, NAME


def parameters(required=(), **properties):
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
        "$schema": "http://json-schema.org/draft-07/schema#",
    }


def text(about):
    return {"type": "string", "description": about}


TOOLS = {
    "Bash": (
        "Runs a command in a shell that stays.",
        parameters(
            ["command"],
            command=text("what to run"),
            timeout={"type": "number", "minimum": 0, "maximum": 600000},
            run_in_background={"type": "boolean", "default": False},
        ),
    ),
    "Read": (
        "Reads a file.",
        parameters(
            ["file_path"],
            file_path=text("an absolute path"),
            offset={"type": "integer", "exclusiveMinimum": 0},
            limit={"type": ["integer", "null"]},
        ),
    ),
    "Edit": (
        "Replaces a text in a file.",
        parameters(
            ["file_path", "old_string", "new_string"],
            file_path=text("path"),
            old_string=text("what"),
            new_string=text("by what"),
            replace_all={"default": False, "type": "boolean"},
        ),
    ),
    "TodoWrite": (
        "Keeps a list of what is to be done.",
        parameters(
            ["todos"],
            todos={
                "type": "array",
                "minItems": 1,
                "items": parameters(
                    ["content", "status"],
                    content={"type": "string", "minLength": 1},
                    status={"type": "string", "enum": ["pending", "in_progress", "completed"]},
                ),
            },
        ),
    ),
    "Grep": (
        "Searches files.",
        parameters(
            ["pattern"],
            pattern=text("a regular expression"),
            glob=text("which files"),
            output_mode={"anyOf": [{"enum": ["content", "count"]}, {"type": "null"}]},
        ),
    ),
}
SYSTEM = (
    "You are a program that helps with the files of a project. Use the tools. Answer briefly; change only what was asked for."
)
LISTING = "README.md\nsrc/main.c\nsrc/\u00fcber.c\n\x1b[0mtotal 3\n"


def functions(**more):
    return [
        {"type": "function", "function": {"name": name, "description": about, "parameters": schema, **more}}
        for name, (about, schema) in TOOLS.items()
    ]


# ---- Claude Code: Anthropic's messages


def claude_code():
    headers = {
        "x_api_key": KEY,
        "anthropic_version": "2023-06-01",
        "user_agent": "claude-cli/2.1.0 (external, cli)",
        "x_app": "cli",
        "anthropic_beta": "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27",
        "x_stainless_lang": "js",
        "x_stainless_retry_count": "0",
        "accept": "application/json",
        "anthropic_dangerous_direct_browser_access": "true",
    }
    mark = {"cache_control": {"type": "ephemeral"}}
    system = [
        {"type": "text", "text": "You are Claude Code, a program of the command line."},
        {"type": "text", "text": SYSTEM, **mark},
    ]
    tools = [{"name": name, "description": about, "input_schema": schema} for name, (about, schema) in TOOLS.items()]
    reminder = {"type": "text", "text": "<system-reminder>\nThe list of what is to be done is empty.\n</system-reminder>"}
    first = {"role": "user", "content": [reminder, {"type": "text", "text": "Which files are there?", **mark}]}
    common = {
        "model": NAME,
        "max_tokens": 32000,
        "system": system,
        "stream": True,
        "metadata": {"user_id": "user_0123_account__session_0123"},
    }
    turns = [
        first,
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "I list them.", "signature": "bmFydQ=="},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "toolu_01", "name": "Bash", "input": {"command": "ls -R"}},
                {"type": "tool_use", "id": "toolu_02", "name": "Read", "input": {"file_path": "/a"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_01", "content": LISTING},
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_02",
                    "is_error": True,
                    "content": [{"type": "text", "text": "<tool_use_error>There is no /a.</tool_use_error>"}],
                    **mark,
                },
            ],
        },
    ]
    path = "/v1/messages?beta=true"
    return [
        (
            "the first turn",
            path,
            headers,
            {**common, "tools": tools, "messages": [first], "thinking": {"type": "enabled", "budget_tokens": 31999}},
        ),
        (
            "a turn with results, adaptive thinking and effort",
            path,
            headers,
            {
                **common,
                "tools": tools,
                "messages": turns,
                "thinking": {"type": "adaptive"},
                "output_config": {"effort": "medium"},
                "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
            },
        ),
        (
            "the title of a conversation, begun for it",
            path,
            headers,
            {
                **common,
                "max_tokens": 512,
                "temperature": 1,
                "tools": [],
                "messages": [{"role": "user", "content": "Give a title."}, {"role": "assistant", "content": "{"}],
            },
        ),
        (
            "is the quota there",
            path,
            headers,
            {"model": NAME, "max_tokens": 1, "messages": [{"role": "user", "content": "quota"}], "metadata": {"user_id": "u"}},
        ),
        (
            "count_tokens",
            "/v1/messages/count_tokens?beta=true",
            headers,
            {"model": NAME, "messages": turns, "tools": tools, "system": system},
        ),
    ]


# ---- Codex: OpenAI's responses


def codex():
    headers = {
        "authorization": f"Bearer {KEY}",
        "originator": "codex_cli_rs",
        "user_agent": "codex_cli_rs/0.60.0",
        "accept": "text/event-stream",
        "session_id": "0199a213-81c0-7800-8aa1-bbab2a035a53",
        "conversation_id": "0199a213-81c0-7800-8aa1-bbab2a035a53",
        "openai_beta": "responses=experimental",
        "version": "0.60.0",
    }
    tools = [
        {
            "type": "function",
            "name": "shell",
            "description": "Runs a command.",
            "strict": False,
            "parameters": parameters(
                ["command"], command={"type": "array", "items": {"type": "string"}}, workdir=text("where")
            ),
        },
        {
            "type": "function",
            "name": "update_plan",
            "description": "Says the plan.",
            "strict": False,
            "parameters": parameters(),
        },
    ]
    said = [
        {
            "type": "message",
            "role": "developer",
            "content": [{"type": "input_text", "text": "<permissions instructions>read only</permissions instructions>"}],
        },
        {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "<environment_context>\n<cwd>/a</cwd>\n</environment_context>"}],
        },
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Which files are there?"}]},
    ]
    done = [
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "I list them."}],
            "content": None,
            "encrypted_content": None,
        },
        {
            "type": "function_call",
            "name": "shell",
            "arguments": "{\"command\":[\"bash\",\"-lc\",\"ls -R\"]}",
            "call_id": "call_1",
        },
        {
            "type": "function_call_output",
            "call_id": "call_1",
            "output": json.dumps({"output": LISTING, "metadata": {"exit_code": 0}}),
        },
    ]
    common = {
        "model": NAME,
        "instructions": SYSTEM,
        "tools": tools,
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "0199a213-81c0",
        "text": {"verbosity": "medium"},
    }
    grammar = {
        "type": "custom",
        "name": "apply_patch",
        "description": "Changes files.",
        "format": {"type": "grammar", "syntax": "lark", "definition": "start: /a/"},
    }
    return [
        ("the first turn", "/v1/responses", headers, {**common, "input": said}),
        ("a turn with results", "/v1/responses", headers, {**common, "input": [*said, *done]}),
        (
            "with tools of OpenAI's own",
            "/v1/responses",
            headers,
            {
                **common,
                "input": said,
                "tools": [*tools, grammar, {"type": "web_search", "external_web_access": False}, {"type": "local_shell"}],
            },
            "either",
        ),
    ]


# ---- opencode, Open WebUI, Continue, aider: chat completions, and Ollama's


def opencode():
    headers = {"authorization": f"Bearer {KEY}", "user_agent": "opencode/1.0.0 ai-sdk/openai-compatible/1.0.0"}
    turns = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": "Which files are there?"},
        {
            "role": "assistant",
            "content": "",
            "reasoning_content": "I list them.",
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "Bash", "arguments": "{\"command\":\"ls -R\"}"}}
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": LISTING},
    ]
    common = {"model": NAME, "max_tokens": 32000, "stream": True, "stream_options": {"include_usage": True}}
    return [
        (
            "the first turn",
            "/v1/chat/completions",
            headers,
            {**common, "messages": turns[:2], "tools": functions(), "tool_choice": "auto", "top_p": 1},
        ),
        (
            "a turn with results",
            "/v1/chat/completions",
            headers,
            {**common, "messages": turns, "tools": functions(), "tool_choice": "auto", "reasoning_effort": "high"},
        ),
        ("the title of a conversation", "/v1/chat/completions", headers, {**common, "messages": turns[:2], "temperature": 0.5}),
    ]


def open_webui():
    headers = {"authorization": f"Bearer {KEY}", "user_agent": "Python/3.11 aiohttp/3.12", "x_openwebui_user_name": "anna"}
    messages = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": "Tell me more."},
    ]
    ollama = {
        "num_ctx": 4096,
        "temperature": 0.8,
        "top_k": 40,
        "top_p": 0.9,
        "repeat_last_n": 64,
        "mirostat": 0,
        "mirostat_eta": 0.1,
        "num_keep": 24,
        "num_batch": 512,
        "num_thread": 2,
        "stop": ["###"],
        "seed": 3,
        "num_predict": 64,
    }
    return [
        (
            "chat",
            "/v1/chat/completions",
            headers,
            {"stream": True, "model": NAME, "messages": messages, "stream_options": {"include_usage": True}},
        ),
        (
            "a title, not streamed",
            "/v1/chat/completions",
            headers,
            {"stream": False, "model": NAME, "messages": messages, "max_completion_tokens": 50},
        ),
        (
            "chat by Ollama's API",
            "/api/chat",
            headers,
            {"model": NAME, "messages": messages, "options": ollama, "stream": True, "keep_alive": "5m"},
        ),
        (
            "an image pasted",
            "/v1/chat/completions",
            headers,
            {
                "stream": True,
                "model": NAME,
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "text", "text": "What is this?"},
                            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
                        ],
                    }
                ],
            },
            "refused",
        ),
        ("the list of models", "/v1/models", headers, None),
        ("the same of Ollama's", "/api/tags", headers, None),
        ("Ollama's version", "/api/version", headers, None),
    ]


def continue_dev():
    headers = {"authorization": f"Bearer {KEY}", "user_agent": "node-fetch"}
    fill = {
        "model": NAME,
        "prompt": "<fim_prefix>def f(x):\n    return <fim_suffix>\n<fim_middle>",
        "raw": True,
        "keep_alive": 1800,
        "options": {
            "temperature": 0.01,
            "num_predict": 64,
            "stop": ["<fim_prefix>", "<fim_suffix>", "\n\n", "```", "/src/", "#- coding: utf-8"],
            "num_ctx": 2048,
        },
    }
    chat = {
        "model": NAME,
        "messages": [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": [{"type": "text", "text": "Explain f."}]},
        ],
        "max_tokens": 4096,
        "stream": True,
    }
    return [
        ("chat", "/v1/chat/completions", headers, chat),
        ("chat with tools", "/v1/chat/completions", headers, {**chat, "tools": functions(), "parallel_tool_calls": False}),
        ("a line filled in, by Ollama's API", "/api/generate", headers, fill),
        ("the model's facts, by Ollama's API", "/api/show", headers, {"name": NAME}),
        (
            "a line filled in, by completions",
            "/v1/completions",
            headers,
            {
                "model": NAME,
                "prompt": "def f(x):\n    return ",
                "suffix": "\n",
                "max_tokens": 64,
                "temperature": 0.01,
                "stop": ["\n\n"],
                "stream": True,
            },
            "either",
        ),
    ]


def aider():
    headers = {"authorization": f"Bearer {KEY}", "user_agent": "litellm/1.75.0"}
    messages = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": "Change f."},
        {"role": "assistant", "content": "Ok."},
        {"role": "user", "content": "src/main.c\n```c\nint f(void);\n```\nMake it take an int."},
    ]
    return [
        ("an edit", "/v1/chat/completions", headers, {"model": NAME, "messages": messages, "stream": True, "temperature": 0}),
        (
            "a commit message, not streamed",
            "/v1/chat/completions",
            headers,
            {"model": NAME, "messages": messages[:2], "stream": False, "temperature": 0, "max_tokens": 60},
        ),
        (
            "an edit by Ollama's API",
            "/api/chat",
            headers,
            {
                "model": NAME,
                "messages": messages,
                "options": {"temperature": 0, "num_ctx": 8192, "num_predict": 200},
                "stream": True,
            },
        ),
    ]


PROGRAMS = {
    "Claude Code": claude_code,
    "Codex": codex,
    "opencode": opencode,
    "Open WebUI": open_webui,
    "Continue": continue_dev,
    "aider": aider,
}
