"""The official openai client, unchanged: chat completions, completions, responses, models."""

import asyncio
import json

import openai

import learnt_model as learnt
from rig import KEY, NAME, Missing, check_form, equal, expect, is_there, raises

SAMPLED = {"model": NAME, "seed": 11, "temperature": 1.0, "max_tokens": 24}
GREEDY = {"model": NAME, "temperature": 0, "max_tokens": 250}
PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def user(text):
    return [{"role": "user", "content": text}]


def check_usage(usage, is_known_prompt=True):
    equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens, "the sum of usage")
    cached = usage.prompt_tokens_details.cached_tokens
    expect(0 <= cached <= usage.prompt_tokens, f"{cached} of {usage.prompt_tokens} tokens are cached")
    extra = usage.model_extra or {}
    equal(extra.get("prompt_cache_hit_tokens"), cached, "DeepSeek's count of cached tokens")
    equal(extra.get("prompt_cache_miss_tokens"), usage.prompt_tokens - cached, "DeepSeek's count of others")
    reasoning = usage.completion_tokens_details.reasoning_tokens
    expect(0 <= reasoning <= usage.completion_tokens, f"{reasoning} of {usage.completion_tokens} tokens are reasoning")


def gather(chunks):
    """A stream of chat, put together: per choice content, reasoning, calls, logprobs and reason; and usage."""
    choices, usage = {}, None
    for chunk in chunks:
        usage = chunk.usage or usage
        for part in chunk.choices:
            choice = choices.setdefault(part.index, {"content": "", "reasoning": "", "calls": {}, "tokens": [], "reason": None})
            delta = part.delta
            choice["content"] += delta.content or ""
            choice["reasoning"] += (delta.model_extra or {}).get("reasoning_content") or ""
            for piece in delta.tool_calls or []:
                call = choice["calls"].setdefault(piece.index, {"id": "", "name": "", "arguments": ""})
                call["id"] = piece.id or call["id"]
                call["name"] += piece.function.name or ""
                call["arguments"] += piece.function.arguments or ""
            if part.logprobs:
                choice["tokens"] += [(t.token, t.logprob) for t in part.logprobs.content or []]
            choice["reason"] = part.finish_reason or choice["reason"]
    return choices, usage


def reasoning_of(message):
    return (message.model_extra or {}).get("reasoning_content") or ""


def both(client, **body):
    """An answer whole, and the same streamed, which must say the same."""
    whole = client.chat.completions.create(**body)
    chunks = list(client.chat.completions.create(**body, stream=True, stream_options={"include_usage": True}))
    equal(len({chunk.id for chunk in chunks}), 1, "ids of one stream")
    equal(chunks[0].choices[0].delta.role, "assistant", "the role of the first chunk")
    equal(chunks[-1].choices, [], "choices of the chunk with usage")
    equal(chunks[0].system_fingerprint, whole.system_fingerprint, "the fingerprint")
    choices, usage = gather(chunks)
    equal(sorted(choices), [choice.index for choice in whole.choices], "indexes")
    for choice in whole.choices:
        other = choices[choice.index]
        equal(other["content"], choice.message.content or "", "the streamed content")
        equal(other["reasoning"], reasoning_of(choice.message), "the streamed reasoning")
        equal(other["reason"], choice.finish_reason, "the streamed reason")
        equal(
            [(c["name"], c["arguments"]) for c in other["calls"].values()],
            [(c.function.name, c.function.arguments) for c in choice.message.tool_calls or []],
            "the streamed calls",
        )
        if choice.logprobs:
            equal(other["tokens"], [(t.token, t.logprob) for t in choice.logprobs.content], "the streamed logprobs")
    check_usage(whole.usage)
    check_usage(usage)
    equal(usage.completion_tokens, whole.usage.completion_tokens, "tokens of the stream")
    return whole


def check_chat(report, client):
    with report.step("models: list, retrieve, one that is not there"):
        models = list(client.models.list())
        equal([m.id for m in models], [NAME], "models")
        equal(client.models.retrieve(NAME).id, NAME, "the model")
        raises(openai.NotFoundError, lambda: client.models.retrieve("other"))
    with report.step("chat: whole and streamed, the same bytes for the same seed"):
        first = both(client, messages=user(learnt.HELLO), **SAMPLED)
        equal(
            both(client, messages=user(learnt.HELLO), **SAMPLED).choices[0].message.content,
            first.choices[0].message.content,
            "the second answer",
        )
        other = both(client, messages=user("Anything"), **{**SAMPLED, "temperature": 1.5})
        expect(other.choices[0].finish_reason in ("stop", "length"), "no reason")
    with report.step("chat: a drawn seed is said, and gives the answer again"):
        raw = client.chat.completions.with_raw_response.create(
            messages=user("Anything"), model=NAME, max_tokens=16, temperature=1.5
        )
        seed = int(raw.headers["x-naru-seed"])
        again = client.chat.completions.create(messages=user("Anything"), model=NAME, max_tokens=16, temperature=1.5, seed=seed)
        equal(again.choices[0].message.content, raw.parse().choices[0].message.content, "the answer with the said seed")
    with report.step("chat: n answers, the first of which is the one of n=1"):
        three = both(client, messages=user("Anything"), n=3, **{**SAMPLED, "temperature": 6})
        one = client.chat.completions.create(messages=user("Anything"), **{**SAMPLED, "temperature": 6})
        equal(three.choices[0].message, one.choices[0].message, "the first of three")
        equal(len({c.message.content for c in three.choices}) > 1, True, "answers differ")
    with report.step("chat: stop, across tokens, is not part of the text"):
        plain = client.chat.completions.create(messages=user(learnt.HELLO), **GREEDY).choices[0].message.content
        middle = len(plain) // 2
        word = plain[middle : middle + 4]
        cut = both(client, messages=user(learnt.HELLO), stop=[word, "never"], **GREEDY)
        equal(cut.choices[0].message.content, plain[: plain.index(word)], "the text before the stop")
        equal(cut.choices[0].finish_reason, "stop", "the reason")
    with report.step("chat: max_completion_tokens ends it"):
        short = both(client, messages=user(learnt.HELLO), model=NAME, temperature=0, max_completion_tokens=5)
        equal((short.choices[0].finish_reason, short.usage.completion_tokens), ("length", 5), "reason and tokens")
    with report.step("chat: logprobs, with bytes that are the text's"):
        told = both(client, messages=user(learnt.HELLO), logprobs=True, top_logprobs=3, **SAMPLED)
        choice = told.choices[0]
        said = bytes(byte for token in choice.logprobs.content for byte in token.bytes)
        expect(
            said.decode("utf-8", "replace").endswith(choice.message.content or ""),
            f"bytes {said!r} and text {choice.message.content!r}",
        )
        for token in choice.logprobs.content:
            equal(len(token.top_logprobs), 3, "alternatives")
            values = [top.logprob for top in token.top_logprobs]
            expect(values == sorted(values, reverse=True) and token.logprob <= values[0] <= 0, f"values {values}")
    with report.step("chat: several turns find their own cache"):
        messages, hits = user("Tell me of the sea and of the land. " * 8), []
        for turn in range(3):
            answer = both(client, messages=messages, **GREEDY)
            hits.append((answer.usage.prompt_tokens, answer.usage.prompt_tokens_details.cached_tokens))
            message = answer.choices[0].message
            messages = [*messages, message.model_dump(exclude_none=True), {"role": "user", "content": learnt.FRENCH}]
        again = client.chat.completions.create(messages=messages[:-2], **GREEDY).usage
        expect(
            again.prompt_tokens_details.cached_tokens > again.prompt_tokens / 2,
            f"of {again.prompt_tokens} tokens asked again " f"{again.prompt_tokens_details.cached_tokens} are cached",
        )
        expect(hits[1][1] > hits[0][0] / 2 and hits[2][1] >= hits[1][1], f"(prompt, cached) of the turns: {hits}")
    with report.step("chat: 16 at once from the asynchronous client, each as alone"):
        bodies = [{**SAMPLED, "seed": seed, "messages": user(f"Number {seed}")} for seed in range(16)]
        alone = [client.chat.completions.create(**body).choices[0].message.content for body in bodies]

        async def all_at_once():
            async with openai.AsyncOpenAI(base_url=client.base_url, api_key=KEY, max_retries=0) as crowd:
                return await asyncio.gather(*[crowd.chat.completions.create(**body) for body in bodies])

        equal([answer.choices[0].message.content for answer in asyncio.run(all_at_once())], alone, "answers in a crowd")


def check_tools(report, client, is_learnt):
    body = {**GREEDY, "tools": learnt.TOOLS}
    with report.step("tools: a call, its result sent back, the answer"):
        answer = both(client, messages=user(learnt.PARIS), **body)
        message = answer.choices[0].message
        if is_learnt:
            equal(answer.choices[0].finish_reason, "tool_calls", "the reason")
            equal([c.function.name for c in message.tool_calls], ["get_weather"], "the tools called")
            equal(check_form(message.tool_calls[0].function.arguments, "arguments"), {"city": "Paris"}, "the arguments")
        calls = [c.model_dump() for c in message.tool_calls or []] or [learnt.call("Paris")]
        turn = [
            *user(learnt.PARIS),
            {"role": "assistant", "content": None, "tool_calls": calls},
            {"role": "tool", "tool_call_id": calls[0]["id"], "content": learnt.PARIS_RESULT},
        ]
        after = both(client, messages=turn, **body)
        if is_learnt:
            equal(after.choices[0].message.content.strip(), learnt.PARIS_SAID, "what is made of the result")
        equal(after.usage.prompt_tokens > answer.usage.prompt_tokens, True, "the second prompt is longer")
        again = client.chat.completions.create(messages=turn, **body).usage
        expect(
            again.prompt_tokens_details.cached_tokens > again.prompt_tokens / 2, "a turn with calls does not find its own cache"
        )
    with report.step("tools: two calls at once"):
        message = both(client, messages=user(learnt.TWO), **body).choices[0].message
        calls = [c.model_dump() for c in message.tool_calls or []]
        if is_learnt:
            equal(
                [json.loads(c["function"]["arguments"]) for c in calls], [{"city": "Rome"}, {"city": "Oslo"}], "the arguments"
            )
            equal(len({c["id"] for c in calls}), 2, "ids of two calls")
            turn = [
                *user(learnt.TWO),
                {"role": "assistant", "content": "", "tool_calls": calls},
                *[{"role": "tool", "tool_call_id": c["id"], "content": r} for c, r in zip(calls, learnt.TWO_RESULTS)],
            ]
            equal(
                both(client, messages=turn, **body).choices[0].message.content.strip(), learnt.TWO_SAID, "what is made of both"
            )
    with report.step("tools: tool_choice none and auto; required and a named one call"):
        none = client.chat.completions.create(messages=user(learnt.PARIS), tool_choice="none", **body)
        expect(not none.choices[0].message.tool_calls, "tool_choice none calls")
        auto = client.chat.completions.create(messages=user(learnt.PARIS), tool_choice="auto", parallel_tool_calls=True, **body)
        expect(bool(auto.choices[0].message.tool_calls) or not is_learnt, "tool_choice auto calls nothing")
        for choice in ("required", {"type": "function", "function": {"name": "get_weather"}}):
            forced = both(client, messages=user(learnt.HELLO), tool_choice=choice, **body).choices[0].message.tool_calls
            expect(bool(forced) and all(c.function.name for c in forced), f"tool_choice {choice} calls nothing")
    with report.step("tools: wrong definitions are refused by name"):
        for wrong in ([{"type": "function"}], [{"type": "function", "function": {"name": 5}}], {"a": 1}):
            raises(
                openai.BadRequestError,
                lambda wrong=wrong: client.chat.completions.create(messages=user("a"), **{**GREEDY, "tools": wrong}),
                "tools",
            )


def check_reasoning(report, client, is_learnt):
    with report.step("reasoning: beside the content, counted, and taken back in"):
        answer = both(client, messages=user(learnt.SUM), **GREEDY)
        message = answer.choices[0].message
        if is_learnt:
            equal((reasoning_of(message).strip(), message.content.strip()), (learnt.SUM_THOUGHT, learnt.SUM_SAID), "the answer")
            expect(answer.usage.completion_tokens_details.reasoning_tokens > 5, "reasoning is not counted")
        sent_back = message.model_dump(exclude_none=True)
        both(client, messages=[*user(learnt.SUM), sent_back, {"role": "user", "content": learnt.FRENCH}], **GREEDY)
    with report.step("reasoning: thinking disabled and enabled, reasoning_effort"):
        off = client.chat.completions.create(messages=user(learnt.SUM), extra_body={"thinking": {"type": "disabled"}}, **GREEDY)
        equal(reasoning_of(off.choices[0].message), "", "reasoning of an answer without")
        on = client.chat.completions.create(messages=user(learnt.SUM), extra_body={"thinking": {"type": "enabled"}}, **GREEDY)
        expect(bool(reasoning_of(on.choices[0].message)) or not is_learnt, "thinking is enabled, and there is none")
        client.chat.completions.create(messages=user(learnt.SUM), reasoning_effort="low", **GREEDY)
    with report.step("response_format: json_object and json_schema"):
        try:
            answer = client.chat.completions.create(
                messages=user(learnt.OBJECT), response_format={"type": "json_object"}, **GREEDY
            )
            if is_learnt:
                check_form(answer.choices[0].message.content, "the content")
        except openai.BadRequestError as problem:
            expect(not is_learnt, f"json_object: {problem}")
        schema = {"enum": ["red", "green"]}
        form = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema, "strict": True}}
        answer = both(client, messages=user("a"), response_format=form, **GREEDY)
        expect(json.loads(answer.choices[0].message.content) in schema["enum"], f"no value of the schema: {answer!r:.300}")
        schema["multipleOf"] = 2
        raises(
            openai.BadRequestError,
            lambda: client.chat.completions.create(messages=user("a"), response_format=form, **GREEDY),
            "multipleOf",
        )
    with report.step("prefix completion (DeepSeek): the answer goes on from the assistant's last words"):
        begun = {"role": "assistant", "content": learnt.HELLO_SAID[:11], "prefix": True}
        answer = client.chat.completions.create(messages=[*user(learnt.HELLO), begun], **GREEDY)
        expect(answer.choices[0].message.content is not None, "no content")


def check_errors(report, client, server):
    create = client.chat.completions.create
    with report.step("refused: images, sound, files, with the place named"):
        for part in (
            {"type": "image_url", "image_url": {"url": PIXEL}},
            {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}},
            {"type": "file", "file": {"file_data": ""}},
        ):
            content = [{"type": "text", "text": "What is this?"}, part]
            problem = raises(openai.BadRequestError, lambda: create(messages=[{"role": "user", "content": content}], **GREEDY))
            expect("messages[0].content[1]" in (problem.param or ""), f"param {problem.param!r}")
    with report.step("errors: typed as the client types them"):
        problem = raises(
            openai.BadRequestError, lambda: create(messages=user("a"), model=NAME, temperature="hot"), "temperature"
        )
        equal((problem.param, problem.type), ("temperature", "invalid_request_error"), "param and type")
        long = raises(openai.BadRequestError, lambda: create(messages=user("word " * 40000), **GREEDY))
        equal(long.code, "context_length_exceeded", "the code of a prompt that is too long")
        wrong = openai.OpenAI(base_url=client.base_url, api_key="sk-wrong-0123456789", max_retries=0)
        problem = raises(openai.AuthenticationError, lambda: wrong.models.list())
        equal(problem.code, "invalid_api_key", "the code of a wrong key")
        raises(openai.AuthenticationError, lambda: wrong.chat.completions.create(messages=user("a"), **GREEDY))
        raises(openai.APIStatusError, lambda: client.embeddings.create(model=NAME, input="a"), "embeddings")
        raises(openai.NotFoundError, lambda: client.post("/nowhere", cast_to=object))
    with report.step("errors: a model of another name (--strict-model), a full queue"):
        with server("--strict-model", "--parallel", "1", "--queue", "0", "--chip", "reference") as strict:
            other = openai.OpenAI(base_url=strict.base + "/v1", api_key=KEY, max_retries=0)
            raises(openai.NotFoundError, lambda: other.chat.completions.create(messages=user("a"), model="gpt-4"))
            with other.chat.completions.create(
                messages=user("a"), stream=True, model=NAME, max_tokens=2000, extra_body={"ignore_eos": True}
            ) as busy:
                next(iter(busy))
                problem = raises(
                    openai.RateLimitError, lambda: other.chat.completions.create(messages=user("b"), model=NAME, max_tokens=1)
                )
                expect(int(problem.response.headers["retry-after"]) >= 1, "no Retry-After")


def check_completions(report, client):
    body = {"model": NAME, "prompt": "The sea", "max_tokens": 20, "seed": 3, "temperature": 1}
    with report.step("completions: whole, streamed, several prompts, logprobs"):
        whole = client.completions.create(**body, logprobs=2)
        chunks = list(client.completions.create(**body, stream=True))
        equal("".join(c.choices[0].text for c in chunks if c.choices), whole.choices[0].text, "the streamed text")
        check_usage(whole.usage)
        logprobs = whole.choices[0].logprobs
        equal(len(logprobs.tokens), len(logprobs.token_logprobs), "tokens and values")
        many = client.completions.create(**{**body, "prompt": ["The sea", "The land"]}, n=2)
        equal([c.index for c in many.choices], [0, 1, 2, 3], "indexes")
        equal(many.choices[0].text, whole.choices[0].text, "the first of several")
    with report.step("completions: suffix, with a model that cannot fill in, is refused by name"):
        raises(openai.BadRequestError, lambda: client.completions.create(**body, suffix="!"), "suffix")


def check_responses(report, client, server, is_learnt):
    if not is_there(server, "/v1/responses"):
        with report.step("responses"):
            raise Missing("there is no /v1/responses")
        return
    body = {"model": NAME, "temperature": 0, "max_output_tokens": 250, "store": False}
    with report.step("responses: whole and streamed, events in order"):
        whole = client.responses.create(input=learnt.HELLO, **body)
        events = list(client.responses.create(input=learnt.HELLO, stream=True, **body))
        equal([e.sequence_number for e in events], list(range(len(events))), "sequence numbers")
        equal((events[0].type, events[-1].type), ("response.created", "response.completed"), "the first event and the last")
        deltas = "".join(e.delta for e in events if e.type == "response.output_text.delta")
        equal(deltas, whole.output_text, "the streamed text")
        equal(events[-1].response.output_text, whole.output_text, "the text of the last event")
        usage = whole.usage
        equal(usage.total_tokens, usage.input_tokens + usage.output_tokens, "the sum of usage")
        expect(not is_learnt or whole.output_text.strip() == learnt.HELLO_SAID, f"it says {whole.output_text!r}")
        with client.responses.stream(input=learnt.HELLO, **body) as stream:
            equal(stream.get_final_response().output_text, whole.output_text, "what the client puts together")
    with report.step("responses: several turns, instructions, a length that ends it"):
        first = client.responses.create(input=learnt.HELLO, instructions="Be brief.", **body)
        items = [
            {"role": "user", "content": learnt.HELLO},
            *[item.model_dump(exclude_none=True) for item in first.output],
            {"role": "user", "content": [{"type": "input_text", "text": learnt.FRENCH}]},
        ]
        second = client.responses.create(input=items, **body)
        expect(second.usage.input_tokens > first.usage.input_tokens, "a longer conversation has not more tokens")
        short = client.responses.create(input=learnt.HELLO, **{**body, "max_output_tokens": 16})
        if short.status == "incomplete":
            equal(short.incomplete_details.reason, "max_output_tokens", "why it is incomplete")
    with report.step("responses: tools, called and answered"):
        tools = [{"type": "function", **learnt.WEATHER, "strict": False}]
        asked = client.responses.create(input=learnt.PARIS, tools=tools, **body)
        calls = [item for item in asked.output if item.type == "function_call"]
        if is_learnt:
            equal([(c.name, json.loads(c.arguments)) for c in calls], [("get_weather", {"city": "Paris"})], "calls")
            items = [
                {"role": "user", "content": learnt.PARIS},
                *[item.model_dump(exclude_none=True) for item in asked.output],
                {"type": "function_call_output", "call_id": calls[0].call_id, "output": learnt.PARIS_RESULT},
            ]
            equal(
                client.responses.create(input=items, tools=tools, **body).output_text.strip(), learnt.PARIS_SAID, "the answer"
            )
            events = list(client.responses.create(input=learnt.PARIS, tools=tools, stream=True, **body))
            arguments = "".join(e.delta for e in events if e.type == "response.function_call_arguments.delta")
            equal(json.loads(arguments), {"city": "Paris"}, "the streamed arguments")
    with report.step("responses: reasoning is an item of its own"):
        answer = client.responses.create(input=learnt.SUM, reasoning={"effort": "low"}, **body)
        kinds = [item.type for item in answer.output]
        expect(kinds == ["reasoning", "message"] or not is_learnt, f"items {kinds}")
    with report.step("responses: what needs a store, and images, are refused by name"):
        raises(
            openai.BadRequestError,
            lambda: client.responses.create(input="a", previous_response_id="resp_1", **body),
            "previous_response_id",
        )
        image = [{"role": "user", "content": [{"type": "input_image", "image_url": PIXEL, "detail": "auto"}]}]
        raises(openai.BadRequestError, lambda: client.responses.create(input=image, **body), "input")


def check(report, server, start, is_learnt):
    report.client = f"openai {openai.__version__}"
    with openai.OpenAI(base_url=server.base + "/v1", api_key=KEY, max_retries=0, timeout=60) as client:
        check_chat(report, client)
        check_tools(report, client, is_learnt)
        check_reasoning(report, client, is_learnt)
        check_completions(report, client)
        check_errors(report, client, start)
        check_responses(report, client, server, is_learnt)
