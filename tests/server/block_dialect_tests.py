"""Anthropic's messages and OpenAI's responses from outside: the same answer as in a chat, whole and streamed, counted
prompts, and errors in each one's own shape."""

import json

from server_rig import Server

SAMPLING = {"temperature": 1, "top_p": 1, "top_k": 0, "min_p": 0, "seed": 7}


def named(answer):
    """The events of a stream: their names, and what they say."""
    assert answer.status == 200 and answer.fields["content-type"].startswith("text/event-stream"), answer.body
    events = []
    for part in answer.body.decode().split("\n\n")[:-1]:
        name, data = part.split("\n")
        events.append(json.loads(data.removeprefix("data: ")))
        assert name == "event: " + events[-1]["type"]
    return events


def test_anthropic(binary):
    body = {"max_tokens": 12, **SAMPLING, "system": "Be brief.", "messages": [{"role": "user", "content": "Hello there"}]}
    with Server(binary, "--parallel", "2", "--strict-model") as server:
        whole = server.ask("POST", "/v1/messages?beta=true", {**body, "model": "tiny", "metadata": {}},
                           anthropic_version="2023-06-01", x_api_key="any")
        assert whole.status == 200 and whole.fields["x-naru-ignored"] == "metadata", whole.body
        message = whole.json()
        assert message["id"].startswith("msg_") and message["model"] == "tiny" and message["type"] == "message"
        chat = {"messages": [{"role": "system", "content": "Be brief."}, *body["messages"]], "max_tokens": 12,
                "repetition_penalty": None, **SAMPLING}
        choice = server.ask("POST", "/v1/chat/completions", chat).json()["choices"][0]
        text = "".join(block["text"] for block in message["content"])
        assert text == choice["message"]["content"]
        assert (message["stop_reason"] == "max_tokens") == (choice["finish_reason"] == "length")
        events = named(server.ask("POST", "/anthropic/v1/messages", {**body, "stream": True}))
        deltas = [event["delta"]["text"] for event in events if event["type"] == "content_block_delta"]
        assert "".join(deltas) == text and events[-1]["type"] == "message_stop"
        n_prompt = server.ask("POST", "/v1/messages/count_tokens", {"messages": body["messages"], "system": "Be brief."})
        assert n_prompt.json() == {"input_tokens": events[0]["message"]["usage"]["input_tokens"]}
        for usage in (message["usage"], events[-2]["usage"]):
            assert usage["input_tokens"] + usage["cache_read_input_tokens"] == n_prompt.json()["input_tokens"]
            assert usage["output_tokens"] == message["usage"]["output_tokens"]
        long = {"messages": [{"role": "user", "content": "word " * 300}]}
        assert server.ask("POST", "/v1/messages/count_tokens", long).json()["input_tokens"] > 256
        for path, sent, status, kind, words in [
            ("/v1/messages", {**body, "max_tokens": None}, 400, "invalid_request_error", "max_tokens"),
            ("/v1/messages", {**body, **long}, 400, "invalid_request_error", " 256"),
            ("/v1/messages", {**body, "model": "claude"}, 404, "not_found_error", "tiny"),
            ("/v1/messages/count_tokens", {}, 400, "invalid_request_error", "messages"),
        ]:
            answer = server.ask("POST", path, sent)
            error = answer.json()
            assert answer.status == status and error["type"] == "error" and error["error"]["type"] == kind, answer.body
            assert words in error["error"]["message"], answer.body
        assert server.ask("GET", "/v1/messages").json()["type"] == "error"


def test_responses(binary):
    body = {"max_output_tokens": 12, **SAMPLING, "instructions": "Be brief.", "input": "Hello there"}
    with Server(binary, "--parallel", "2") as server:
        whole = server.ask("POST", "/v1/responses", {**body, "store": True})
        assert whole.status == 200 and whole.fields["x-naru-ignored"] == "store", whole.body
        response = whole.json()
        chat = {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello there"}],
                "max_tokens": 12, **SAMPLING}
        answer = server.ask("POST", "/v1/chat/completions", chat).json()
        text = "".join(part["text"] for item in response["output"] for part in item["content"])
        assert text == answer["choices"][0]["message"]["content"] and response["instructions"] == "Be brief."
        assert (response["temperature"], response["frequency_penalty"]) == (1, 0)
        assert response["status"] == {"length": "incomplete", "stop": "completed"}[answer["choices"][0]["finish_reason"]]
        assert response["usage"]["total_tokens"] == answer["usage"]["total_tokens"]
        events = named(server.ask("POST", "/v1/responses", {**body, "stream": True}))
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        assert "".join(event["delta"] for event in events if event["type"].endswith("text.delta")) == text
        assert events[0]["type"] == "response.created" and events[-1]["type"] == "response." + response["status"]
        last = events[-1]["response"]
        assert [item["content"] for item in last["output"]] == [item["content"] for item in response["output"]]
        for sent, code in [({"previous_response_id": "resp_1"}, "previous_response_not_found"),
                           ({"input": "word " * 300}, "context_length_exceeded"),
                           ({"tool_choice": "perhaps"}, "unsupported_parameter")]:
            refused = server.ask("POST", "/v1/responses", {**body, **sent})
            assert refused.status == 400 and refused.json()["error"]["code"] == code, refused.body
