"""The official anthropic client, unchanged: messages whole and streamed, thinking, tools, counted tokens."""

import asyncio

import anthropic

import learnt_model as learnt
from rig import KEY, NAME, Missing, equal, expect, is_there, raises

BODY = {"model": NAME, "max_tokens": 250}
GREEDY = {"extra_body": {"temperature": 0}}  # the client knows no temperature any more, the API does
TOOLS = [
    {"name": learnt.WEATHER["name"], "description": learnt.WEATHER["description"], "input_schema": learnt.WEATHER["parameters"]}
]
PIXEL = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}


def user(text):
    return [{"role": "user", "content": text}]


def blocks(message):
    """What a message says, without what is drawn by chance."""
    told = []
    for block in message.content:
        if block.type == "tool_use":
            told.append((block.type, block.name, block.input))
        else:
            told.append((block.type, getattr(block, block.type)))
    return told


def both(client, **body):
    """A message whole, and the same streamed, which must say the same."""
    whole = client.messages.create(**body)
    with client.messages.stream(**body) as stream:
        kinds = [event.type for event in stream]
        streamed = stream.get_final_message()
    equal((kinds[0], kinds[-1]), ("message_start", "message_stop"), "the first event and the last")
    equal(kinds.count("content_block_start"), kinds.count("content_block_stop"), "blocks begun and ended")
    equal(blocks(streamed), blocks(whole), "the streamed message")
    equal((streamed.stop_reason, streamed.stop_sequence), (whole.stop_reason, whole.stop_sequence), "why the stream stops")
    equal(streamed.usage.output_tokens, whole.usage.output_tokens, "tokens of the stream")
    expect(whole.id.startswith("msg_") and whole.role == "assistant" and whole.model == NAME, f"{whole.id} {whole.role}")
    return whole


def text_of(message):
    return "".join(block.text for block in message.content if block.type == "text")


def prompt_tokens(usage):
    return usage.input_tokens + (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)


def check_messages(report, client, is_learnt):
    with report.step("messages: whole and streamed, equal"):
        answer = both(client, messages=user(learnt.HELLO), **BODY, **GREEDY)
        if is_learnt:
            equal((text_of(answer).strip(), answer.stop_reason), (learnt.HELLO_SAID, "end_turn"), "the answer")
        raw = [e.type for e in client.messages.create(messages=user(learnt.HELLO), stream=True, **BODY, **GREEDY)]
        equal((raw[0], raw[-2:]), ("message_start", ["message_delta", "message_stop"]), "events")
    with report.step("messages: the same bytes for the same seed"):
        sampled = {"extra_body": {"temperature": 1, "seed": 5, "top_p": 0.95, "top_k": 40}}
        equal(
            blocks(both(client, messages=user("Anything"), **BODY, **sampled)),
            blocks(client.messages.create(messages=user("Anything"), **BODY, **sampled)),
            "the second answer",
        )
    with report.step("messages: system in both forms, with cache_control, is the same"):
        system = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
        listed = client.messages.create(messages=user(learnt.HELLO), system=system, **BODY, **GREEDY)
        plain = client.messages.create(messages=user(learnt.HELLO), system="Be brief.", **BODY, **GREEDY)
        equal(blocks(listed), blocks(plain), "the answers")
        equal(prompt_tokens(listed.usage), prompt_tokens(plain.usage), "tokens of the prompts")
    with report.step("messages: stop_sequences and max_tokens"):
        said = text_of(client.messages.create(messages=user(learnt.HELLO), **BODY, **GREEDY))
        word = said[len(said) // 2 :][:4]
        cut = both(client, messages=user(learnt.HELLO), stop_sequences=["never", word], **BODY, **GREEDY)
        equal((text_of(cut), cut.stop_reason, cut.stop_sequence), (said[: said.index(word)], "stop_sequence", word), "the stop")
        short = both(client, messages=user(learnt.HELLO), **{**BODY, "max_tokens": 3}, **GREEDY)
        equal((short.stop_reason, short.usage.output_tokens), ("max_tokens", 3), "the end")
    with report.step("messages: several turns find their own cache"):
        messages, usages = user("Tell me of the sea and of the land. " * 8), []
        for _ in range(3):
            answer = both(client, messages=messages, **BODY, **GREEDY)
            usages.append(client.messages.create(messages=messages, **BODY, **GREEDY).usage)
            messages = [*messages, {"role": "assistant", "content": answer.content}, *user(learnt.FRENCH)]
        for usage in usages:
            cached = usage.cache_read_input_tokens or 0
            expect(cached > prompt_tokens(usage) / 2, f"of {prompt_tokens(usage)} tokens asked again {cached} are cached")
    with report.step("messages: count_tokens counts what an answer's usage does"):
        for more in ({}, {"system": "Be brief."}, {"tools": TOOLS}):
            counted = client.messages.count_tokens(model=NAME, messages=user(learnt.PARIS), **more).input_tokens
            usage = client.messages.create(messages=user(learnt.PARIS), **more, **BODY, **GREEDY).usage
            equal(counted, prompt_tokens(usage), f"tokens with {sorted(more)}")
    with report.step("messages: 16 at once from the asynchronous client, each as alone"):
        bodies = [{**BODY, "messages": user(f"Number {i}"), "extra_body": {"temperature": 1, "seed": i}} for i in range(16)]
        alone = [blocks(client.messages.create(**body)) for body in bodies]

        async def all_at_once():
            async with anthropic.AsyncAnthropic(base_url=client.base_url, api_key=KEY, max_retries=0) as crowd:
                return await asyncio.gather(*[crowd.messages.create(**body) for body in bodies])

        equal([blocks(answer) for answer in asyncio.run(all_at_once())], alone, "answers in a crowd")


def check_tools(report, client, is_learnt):
    body = {**BODY, **GREEDY, "tools": TOOLS}
    with report.step("tools: a call, its result sent back, the answer"):
        asked = both(client, messages=user(learnt.PARIS), **body)
        calls = [block for block in asked.content if block.type == "tool_use"]
        if is_learnt:
            equal(asked.stop_reason, "tool_use", "the reason")
            equal([(c.name, c.input) for c in calls], [("get_weather", {"city": "Paris"})], "the calls")
            result = {"type": "tool_result", "tool_use_id": calls[0].id, "content": learnt.PARIS_RESULT}
            turn = [*user(learnt.PARIS), {"role": "assistant", "content": asked.content}, {"role": "user", "content": [result]}]
            equal(text_of(both(client, messages=turn, **body)).strip(), learnt.PARIS_SAID, "what is made of the result")
    with report.step("tools: two calls, results as blocks, one of them an error"):
        asked = both(client, messages=user(learnt.TWO), **body)
        calls = [block for block in asked.content if block.type == "tool_use"]
        if is_learnt:
            equal([c.input for c in calls], [{"city": "Rome"}, {"city": "Oslo"}], "the inputs")
            results = [
                {"type": "tool_result", "tool_use_id": c.id, "content": [{"type": "text", "text": r}]}
                for c, r in zip(calls, learnt.TWO_RESULTS)
            ]
            turn = [*user(learnt.TWO), {"role": "assistant", "content": asked.content}, {"role": "user", "content": results}]
            equal(text_of(both(client, messages=turn, **body)).strip(), learnt.TWO_SAID, "what is made of both")
            results[1]["is_error"] = True
            both(client, messages=[*turn[:2], {"role": "user", "content": results}], **body)
    with report.step("tools: tool_choice auto and none; any and a named one call"):
        both(client, messages=user(learnt.PARIS), tool_choice={"type": "auto"}, **body)
        none = both(client, messages=user(learnt.PARIS), tool_choice={"type": "none"}, **body)
        expect(all(block.type != "tool_use" for block in none.content), "tool_choice none calls")
        for choice in ({"type": "any"}, {"type": "tool", "name": "get_weather"}):
            forced = both(client, messages=user("a"), tool_choice=choice, **body)
            expect(any(block.type == "tool_use" for block in forced.content), f"tool_choice {choice} calls nothing")


def check_thinking(report, client, is_learnt):
    with report.step("thinking: a block of its own, which is taken back in"):
        kinds = ({"type": "enabled", "budget_tokens": 1024}, {"type": "adaptive"})
        for thinking in kinds:
            answer = both(client, messages=user(learnt.SUM), thinking=thinking, **{**BODY, "max_tokens": 2000}, **GREEDY)
            if is_learnt:
                equal([block.type for block in answer.content], ["thinking", "text"], "blocks")
                equal(answer.content[0].thinking.strip(), learnt.SUM_THOUGHT, "the thinking")
            turn = [*user(learnt.SUM), {"role": "assistant", "content": answer.content}, *user(learnt.FRENCH)]
            both(client, messages=turn, thinking=thinking, **{**BODY, "max_tokens": 2000}, **GREEDY)
        off = both(client, messages=user(learnt.SUM), thinking={"type": "disabled"}, **BODY, **GREEDY)
        expect(all(block.type == "text" for block in off.content), "thinking is disabled, and there is some")


def check_errors(report, client, start):
    with report.step("refused: images and documents, with the place named"):
        document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a"}}
        for part in (PIXEL, document):
            content = [{"type": "text", "text": "What is this?"}, part]
            raises(
                anthropic.BadRequestError,
                lambda content=content: client.messages.create(messages=[{"role": "user", "content": content}], **BODY),
                "messages[0].content[1]",
            )
    with report.step("errors: typed as the client types them"):
        problem = raises(
            anthropic.BadRequestError,
            lambda: client.messages.create(messages=user("a"), **BODY, extra_body={"temperature": "hot"}),
            "temperature",
        )
        equal((problem.body["type"], problem.body["error"]["type"]), ("error", "invalid_request_error"), "the form of an error")
        raises(
            anthropic.BadRequestError,
            lambda: client.post("/v1/messages", body={"model": NAME, "messages": user("a")}, cast_to=object),
            "max_tokens",
        )
        raises(anthropic.BadRequestError, lambda: client.messages.create(messages=user("word " * 40000), **BODY), "context")
        wrong = anthropic.Anthropic(base_url=client.base_url, api_key="sk-wrong-0123456789", max_retries=0)
        problem = raises(anthropic.AuthenticationError, lambda: wrong.messages.create(messages=user("a"), **BODY))
        equal(problem.body["error"]["type"], "authentication_error", "the type of a wrong key")
    with report.step("errors: a model of another name (--strict-model), a full queue"):
        with start("--strict-model", "--parallel", "1", "--queue", "0", "--chip", "reference") as strict:
            other = anthropic.Anthropic(base_url=strict.base, api_key=KEY, max_retries=0)
            problem = raises(
                anthropic.NotFoundError, lambda: other.messages.create(messages=user("a"), model="other", max_tokens=1)
            )
            equal(problem.body["error"]["type"], "not_found_error", "the type of a model that is not there")
            with other.messages.create(
                messages=user("a"), stream=True, model=NAME, max_tokens=2000, extra_body={"ignore_eos": True, "temperature": 1}
            ) as busy:
                next(iter(busy))
                raises(
                    (anthropic.RateLimitError, anthropic.OverloadedError),
                    lambda: other.messages.create(messages=user("b"), **BODY),
                )
    with report.step("models: the client can list them"):
        equal([model.id for model in client.models.list()], [NAME], "models")


def check(report, server, start, is_learnt):
    report.client = f"anthropic {anthropic.__version__}"
    if not is_there(server, "/v1/messages"):
        with report.step("messages"):
            raise Missing("there is no /v1/messages")
        return
    with anthropic.Anthropic(base_url=server.base, api_key=KEY, max_retries=0, timeout=60) as client:
        check_messages(report, client, is_learnt)
        check_tools(report, client, is_learnt)
        check_thinking(report, client, is_learnt)
        check_errors(report, client, start)
