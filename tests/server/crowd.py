"""A crowd before a server: clients with secrets in their prompts and shared beginnings before them, streamed and whole, some
of whom leave in the middle. Every answer that is read to its end must be the one that the same request gets alone, whichever
way it was sent, and hold nothing of anybody else's. Python's standard library only.
"""

import asyncio
import collections
import dataclasses
import json
import time

from stream_client import ask, leaver, new_chance, post

SHARED = [
    "You answer in few words and never tell a secret. ",
    "The following are the minutes of a meeting of the harbour's owners, held in the old hall in the evening. ",
    "You answer in few words and always tell where you have it from. ",
    "",
]
TASKS = ["Say what you know of rivers.", "Count.", "What is said of the sea?", "Tell it again, in other words.", "Go on:"]
CHAT, TEXT, MESSAGES, OLLAMA = "/v1/chat/completions", "/v1/completions", "/v1/messages", "/api/chat"


@dataclasses.dataclass
class Question:
    """A request, and the secret that is in it."""

    path: str
    body: dict
    secret: str

    def data(self, is_streamed):
        counted = {"stream_options": {"include_usage": True}} if is_streamed and self.path in (CHAT, TEXT) else {}
        return post(self.path, {**self.body, "stream": is_streamed, **counted})


@dataclasses.dataclass
class Tally:
    finished: int = 0
    left: int = 0
    tokens: int = 0
    statuses: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    problems: list = dataclasses.field(default_factory=list)

    def line(self):
        statuses = ", ".join(f"{n} of {status}" for status, n in sorted(self.statuses.items()))
        return (
            f"{self.finished} answers read to their end ({statuses or 'none'}; {self.tokens} tokens), {self.left} left in the "
            f"middle, {len(self.problems)} wrong"
        )


def make_questions(n_clients, n_each, seed, paths=(CHAT, TEXT), tokens_max=40):
    """n_each questions of each client: [client][i]."""
    clients = []
    for client in range(n_clients):
        chance = new_chance(seed, "client", client)
        secret = "".join(chance.choice("BCDFGHKLMNPQRSTVWXZ") for _ in range(12))
        clients.append([make_question(chance, secret, chance.choice(paths), tokens_max) for _ in range(n_each)])
    return clients


def make_question(chance, secret, path, tokens_max):
    text = f"The secret is {secret}. {chance.choice(TASKS)}"
    shared = chance.choice(SHARED)
    n_tokens = chance.randrange(1, tokens_max + 1)
    temperature, seed = chance.choice([0, 0.7, 1, 1]), chance.randrange(1 << 40)
    if path == OLLAMA:
        messages = [{"role": "system", "content": shared}, {"role": "user", "content": text}]
        return Question(
            path,
            {
                "model": "tiny",
                "messages": messages,
                "options": {"seed": seed, "temperature": temperature, "num_predict": n_tokens},
            },
            secret,
        )
    body = {"model": "tiny", "max_tokens": n_tokens, "temperature": temperature}
    if path == MESSAGES:
        messages = [{"role": "user", "content": text}]
        return Question(path, {**body, "seed": seed, "system": shared or "Be brief.", "messages": messages}, secret)
    body.update(seed=seed, n=chance.choice([1, 1, 1, 3]))
    if chance.random() < 0.3:
        body["stop"] = ["e", secret[:2]]
    if chance.random() < 0.3:
        body.update(presence_penalty=0.5, top_p=0.9, top_k=50)
    is_told = chance.random() < 0.3
    if path == TEXT:
        return Question(path, {**body, "prompt": shared + text, **({"logprobs": 2} if is_told else {})}, secret)
    if is_told:
        body.update(logprobs=True, top_logprobs=2)
    messages = [{"role": "system", "content": shared}] if shared else []
    return Question(path, {**body, "messages": [*messages, {"role": "user", "content": text}]}, secret)


def essence(question, is_streamed, reply):
    """What an answer says, the same for a stream and for a whole one. ValueError where it is none."""
    if question.path in (CHAT, TEXT):
        return openai_stream(reply) if is_streamed else openai_whole(reply.json())
    if question.path == MESSAGES:
        return messages_stream(reply) if is_streamed else messages_whole(reply.json())
    lines = [json.loads(line) for line in reply.body.splitlines()]
    if not lines or not lines[-1].get("done"):
        raise ValueError(f"it has no end: {reply.body[-300:]!r}")
    said = [line.get("message", {}) for line in lines]
    last = lines[-1]
    return {
        "text": "".join(part.get("content") or "" for part in said),
        "reasoning": "".join(part.get("thinking") or "" for part in said),
        "reason": last["done_reason"],
        "tokens": last["eval_count"],
    }


def openai_whole(answer):
    choices = {}
    for choice in answer["choices"]:
        message = choice.get("message", {})
        choices[choice["index"]] = {
            "text": choice.get("text", message.get("content")) or "",
            "reasoning": message.get("reasoning_content") or "",
            "logprobs": choice["logprobs"],
            "reason": choice["finish_reason"],
        }
    return {"choices": choices, **counts(answer["usage"])}


def counts(usage):
    """Of tokens: what is found in the cache differs from time to time, and is no part of an answer."""
    return {"prompt_tokens": usage["prompt_tokens"], "tokens": usage["completion_tokens"]}


def openai_stream(reply):
    if not reply.body.endswith(b"data: [DONE]\n\n"):
        raise ValueError(f"the stream ends without [DONE]: {reply.body[-300:]!r}")
    choices, ids, usage = {}, set(), None
    for _, data in reply.events():
        event = json.loads(data)
        ids.add(event["id"])
        usage = event.get("usage") or usage
        for part in event["choices"]:
            choice = choices.setdefault(part["index"], {"text": "", "reasoning": "", "logprobs": None, "reason": None})
            delta = part.get("delta", {})
            choice["text"] += part.get("text") or delta.get("content") or ""
            choice["reasoning"] += delta.get("reasoning_content") or ""
            choice["reason"] = part["finish_reason"] or choice["reason"]
            more = part.get("logprobs")
            if more and choice["logprobs"] is None:
                choice["logprobs"] = {}
            for name, values in (more or {}).items():
                choice["logprobs"][name] = (choice["logprobs"].get(name) or []) + values if values is not None else None
    if len(ids) != 1:
        raise ValueError(f"one answer has the ids {sorted(ids)}")
    return {"choices": choices, **counts(usage)}


def messages_whole(answer):
    texts = collections.defaultdict(str)
    for block in answer["content"]:
        texts[block["type"]] += block.get("text", block.get("thinking", ""))
    return {**texts, "reason": answer["stop_reason"], "tokens": answer["usage"]["output_tokens"]}


def messages_stream(reply):
    texts, kinds, end, usage = collections.defaultdict(str), {}, None, {}
    for _, data in reply.events():
        event = json.loads(data)
        if event["type"] == "content_block_start":
            kinds[event["index"]] = event["content_block"]["type"]
            texts[kinds[event["index"]]] += ""
        elif event["type"] == "content_block_delta":
            delta = event["delta"]
            texts[kinds[event["index"]]] += delta.get("text", delta.get("thinking", ""))
        elif event["type"] == "message_delta":
            end, usage = event["delta"]["stop_reason"], event["usage"]
    if end is None or b"message_stop" not in reply.body:
        raise ValueError(f"the stream has no end: {reply.body[-300:]!r}")
    return {**texts, "reason": end, "tokens": usage["output_tokens"]}


async def ask_alone(address, questions):
    """The answer to each question, one after the other, whole."""
    told = {}
    for each in [question for client in questions for question in client]:
        reply = await ask(address, each.data(False))
        if reply.status != 200:
            raise ValueError(
                f"alone, {each.path} {json.dumps(each.body)} is answered with {reply.status}: {reply.body[:500]!r}"
            )
        told[id(each)] = essence(each, False, reply)
    return told


def answers_alone(address, questions):
    return asyncio.run(ask_alone(address, questions))


class Crowd:
    """Asks the questions of all clients again and again, all at once."""

    def __init__(self, address, questions, alone, seed, leaves=0.25):
        self.address, self.questions, self.alone, self.seed, self.leaves = address, questions, alone, seed, leaves
        self.secrets = {client[0].secret for client in questions}
        self.tally = Tally()

    async def client(self, number, until):
        chance = new_chance(self.seed, "asks", number)
        while time.monotonic() < until and len(self.tally.problems) < 20:
            question = chance.choice(self.questions[number])
            is_streamed = chance.random() < 0.7
            data = question.data(is_streamed)
            should_leave = leaver(chance) if chance.random() < self.leaves else None
            if should_leave and chance.random() < 0.2:
                data, should_leave = data[: chance.randrange(1, len(data))], lambda n: True
            try:
                reply = await ask(self.address, data, should_leave, leaves_by_reset=chance.random() < 0.5, timeout=300)
            except (OSError, asyncio.TimeoutError) as problem:
                self.problem(question, f"no answer: {problem!r}")
                continue
            self.take(question, is_streamed, reply)

    def take(self, question, is_streamed, reply):
        received = b"".join(piece for _, piece in reply.pieces).decode("utf-8", "replace")
        foreign = [secret for secret in self.secrets if secret != question.secret and secret in received]
        if foreign:
            self.problem(question, f"it holds {foreign[0]}, another client's secret")
        if reply.was_left:
            self.tally.left += 1
            return
        try:
            self.tally.statuses[reply.status] += 1
            if reply.status == 429:  # a full queue is no fault
                return
            if reply.status != 200:
                return self.problem(question, f"status {reply.status}: {reply.body[:400]!r}")
            told = essence(question, is_streamed, reply)
        except (ValueError, KeyError, TypeError) as problem:
            return self.problem(question, f"{'streamed' if is_streamed else 'whole'}: no answer of its form: {problem!r}")
        self.tally.finished += 1
        self.tally.tokens += told["tokens"]
        wanted = self.alone[id(question)]
        if told != wanted:
            self.problem(
                question,
                f"{'streamed' if is_streamed else 'whole'}, it says {json.dumps(told)[:700]}, alone "
                f"{json.dumps(wanted)[:700]}",
            )

    def problem(self, question, what):
        self.tally.problems.append(f"{question.path} {json.dumps(question.body)}: {what}")

    async def all(self, seconds):
        until = time.monotonic() + seconds
        await asyncio.gather(*[self.client(i, until) for i in range(len(self.questions))])

    def run(self, seconds):
        asyncio.run(self.all(seconds))
        return self.tally
