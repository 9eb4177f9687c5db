"""The official ollama client, unchanged: chat, generate, list, show, ps."""

import asyncio
import json

import ollama
from importlib.metadata import version

import learnt_model as learnt
from rig import KEY, NAME, Missing, check_form, equal, expect, is_there, raises

GREEDY = {"temperature": 0, "num_predict": 250}
HEADERS = {"authorization": f"Bearer {KEY}"}


def user(text):
    return [{"role": "user", "content": text}]


def calls_of(message):
    return [(call.function.name, dict(call.function.arguments)) for call in message.tool_calls or []]


def check_counts(answer):
    for name in ("total_duration", "prompt_eval_duration", "eval_duration", "load_duration"):
        value = getattr(answer, name)
        expect(isinstance(value, int) and value >= 0, f"{name} is {value!r}, no count of nanoseconds")
    expect(answer.total_duration >= answer.eval_duration > 0, "the durations' sum")
    expect(answer.prompt_eval_count > 0 and answer.eval_count > 0, f"counts {answer.prompt_eval_count} {answer.eval_count}")


def both(client, **body):
    """An answer whole, and the same streamed, which must say the same."""
    whole = client.chat(model=NAME, **body)
    parts = list(client.chat(model=NAME, stream=True, **body))
    equal([part.done for part in parts], [False] * (len(parts) - 1) + [True], "done")
    equal("".join(part.message.content or "" for part in parts), whole.message.content or "", "the streamed content")
    equal("".join(part.message.thinking or "" for part in parts), whole.message.thinking or "", "the streamed thinking")
    equal([call for part in parts for call in calls_of(part.message)], calls_of(whole.message), "the streamed calls")
    last = parts[-1]
    equal(
        (last.done_reason, last.eval_count, last.prompt_eval_count),
        (whole.done_reason, whole.eval_count, whole.prompt_eval_count),
        "the end of the stream",
    )
    check_counts(whole)
    check_counts(last)
    return whole


def check_chat(report, client, is_learnt):
    with report.step("list, show, ps"):
        equal([model.model.split(":")[0] for model in client.list().models], [NAME], "models")
        shown = client.show(NAME)
        expect(bool(shown.modelinfo) or bool(shown.details), "nothing is shown")
        client.ps()
    with report.step("chat: whole and streamed, equal"):
        answer = both(client, messages=user(learnt.HELLO), options=GREEDY)
        if is_learnt:
            equal((answer.message.content.strip(), answer.done_reason), (learnt.HELLO_SAID, "stop"), "the answer")
        sampled = {"seed": 5, "temperature": 1.0, "num_predict": 20, "top_p": 0.9, "top_k": 40, "repeat_penalty": 1.1}
        equal(
            both(client, messages=user("Anything"), options=sampled).message.content,
            client.chat(model=NAME, messages=user("Anything"), options=sampled).message.content,
            "the second answer",
        )
    with report.step("chat: stop and num_predict"):
        said = client.chat(model=NAME, messages=user(learnt.HELLO), options=GREEDY).message.content
        word = said[len(said) // 2 :][:4]
        cut = both(client, messages=user(learnt.HELLO), options={**GREEDY, "stop": [word]})
        equal(cut.message.content, said[: said.index(word)], "the text before the stop")
        short = both(client, messages=user(learnt.HELLO), options={**GREEDY, "num_predict": 3})
        equal((short.done_reason, short.eval_count), ("length", 3), "the end")
    with report.step("chat: several turns, messages sent back as they came"):
        messages = user(learnt.HELLO)
        for _ in range(3):
            answer = both(client, messages=messages, options=GREEDY)
            messages = [*messages, answer.message, *user(learnt.FRENCH)]
    with report.step("chat: logprobs"):
        answer = client.chat(model=NAME, messages=user(learnt.HELLO), logprobs=True, top_logprobs=2, options=GREEDY)
        expect(answer.logprobs and all(len(token.top_logprobs) == 2 for token in answer.logprobs), "no logprobs")
    with report.step("chat: 16 at once from the asynchronous client, each as alone"):
        bodies = [
            {"model": NAME, "messages": user(f"Number {i}"), "options": {"seed": i, "temperature": 1, "num_predict": 20}}
            for i in range(16)
        ]
        alone = [client.chat(**body).message.content for body in bodies]

        async def all_at_once():
            crowd = ollama.AsyncClient(host=str(client._client.base_url), headers=HEADERS)
            return await asyncio.gather(*[crowd.chat(**body) for body in bodies])

        equal([answer.message.content for answer in asyncio.run(all_at_once())], alone, "answers in a crowd")


def check_tools(report, client, is_learnt):
    with report.step("tools: a call, its result sent back, the answer"):
        answer = both(client, messages=user(learnt.PARIS), tools=learnt.TOOLS, options=GREEDY)
        if is_learnt:
            equal(calls_of(answer.message), [("get_weather", {"city": "Paris"})], "the calls")
            turn = [
                *user(learnt.PARIS),
                answer.message,
                {"role": "tool", "tool_name": "get_weather", "content": learnt.PARIS_RESULT},
            ]
            equal(
                both(client, messages=turn, tools=learnt.TOOLS, options=GREEDY).message.content.strip(),
                learnt.PARIS_SAID,
                "the answer",
            )
            two = both(client, messages=user(learnt.TWO), tools=learnt.TOOLS, options=GREEDY).message
            equal([arguments for _, arguments in calls_of(two)], [{"city": "Rome"}, {"city": "Oslo"}], "two calls")
    with report.step("thinking: on, off and by level"):
        on = both(client, messages=user(learnt.SUM), think=True, options=GREEDY)
        expect(not is_learnt or (on.message.thinking or "").strip() == learnt.SUM_THOUGHT, f"thinking {on.message.thinking!r}")
        off = both(client, messages=user(learnt.SUM), think=False, options=GREEDY)
        expect(not off.message.thinking, "thinking is off, and there is some")
        client.chat(model=NAME, messages=user(learnt.SUM), think="low", options=GREEDY)
        client.chat(model=NAME, messages=[*user(learnt.SUM), on.message, *user(learnt.FRENCH)], options=GREEDY)
    with report.step("format: json, and a schema"):
        try:
            answer = client.chat(model=NAME, messages=user(learnt.OBJECT), format="json", options=GREEDY)
            if is_learnt:
                check_form(answer.message.content, "the content")
        except ollama.ResponseError as problem:
            expect(problem.status_code == 400 and not is_learnt, f"json: {problem}")
        answer = client.chat(model=NAME, messages=user("a"), format={"enum": ["red", "green"]}, options=GREEDY)
        expect(json.loads(answer.message.content) in ("red", "green"), f"no value of the schema: {answer!r:.300}")
        problem = raises(
            ollama.ResponseError, lambda: client.chat(model=NAME, messages=user("a"), format={"multipleOf": 2}), "multipleOf"
        )
        equal(problem.status_code, 400, "the status")


def check_generate(report, client):
    with report.step("generate: whole and streamed, raw, with a system text"):
        for more in ({}, {"raw": True}, {"system": "Be brief."}):
            body = {"model": NAME, "prompt": learnt.HELLO, "options": {**GREEDY, "num_predict": 20}, **more}
            whole = client.generate(**body)
            parts = list(client.generate(stream=True, **body))
            equal("".join(part.response or "" for part in parts), whole.response, f"the streamed text with {sorted(more)}")
            equal(parts[-1].done, True, "done")
            check_counts(whole)
    with report.step("generate: no prompt loads the model, as the client's command does"):
        client.generate(model=NAME, prompt="", keep_alive="5m")


def check_errors(report, client):
    with report.step("refused: images, embeddings, pulls; errors typed as the client types them"):
        image = [{"role": "user", "content": "What is this?", "images": ["iVBORw0KGgo="]}]
        equal(
            raises(ollama.ResponseError, lambda: client.chat(model=NAME, messages=image), "images").status_code, 400, "images"
        )
        expect(
            raises(ollama.ResponseError, lambda: client.embed(model=NAME, input="a"), "embeddings").status_code
            in (400, 404, 501),
            "embeddings",
        )
        expect(raises(ollama.ResponseError, lambda: client.pull("other")).status_code in (400, 403, 404, 405, 501), "pulls")
        problem = raises(
            ollama.ResponseError,
            lambda: client.chat(model=NAME, messages=user("a"), options={"temperature": 1000000.0}),
            "temperature",
        )
        equal(problem.status_code, 400, "a wrong temperature")
        raises(ollama.ResponseError, lambda: client.chat(model=NAME, messages=user("word " * 40000)), "context")
        wrong = ollama.Client(host=str(client._client.base_url), headers={"authorization": "Bearer sk-wrong-0123456789"})
        equal(raises(ollama.ResponseError, lambda: wrong.chat(model=NAME, messages=user("a"))).status_code, 401, "a wrong key")


def check_raw(report, server):
    with report.step("errors are {\"error\": \"...\"}; chat streams where nobody says otherwise; version"):
        key = {"authorization": f"Bearer {KEY}"}
        answer = server.ask("POST", "/api/chat", {"model": NAME, "messages": "a"}, **key)
        expect(answer.status == 400 and isinstance(json.loads(answer.body)["error"], str), f"{answer.status} {answer.body}")
        answer = server.ask("POST", "/api/chat", {"model": NAME, "messages": user("a"), "options": {"num_predict": 3}}, **key)
        equal(answer.fields["content-type"].split(";")[0], "application/x-ndjson", "the type of a stream")
        expect("version" in server.ask("GET", "/api/version", **key).json(), "no version")


def check(report, server, start, is_learnt):
    report.client = f"ollama {version('ollama')}"
    if not is_there(server, "/api/chat"):
        with report.step("chat"):
            raise Missing("there is no /api/chat")
        return
    client = ollama.Client(host=server.base, headers=HEADERS, timeout=60)
    check_chat(report, client, is_learnt)
    check_tools(report, client, is_learnt)
    check_generate(report, client)
    check_errors(report, client)
    check_raw(report, server)
    client.close()
