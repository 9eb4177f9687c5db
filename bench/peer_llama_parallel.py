"""llama.cpp's own parallel decode: many sequences in one context, continuous batching as its server does it, in one process
without HTTP, through the C interface. A bound from above of what a server over it can give. Reads one JSON object and prints one;
compare_llama_server.py calls it.

    echo '{"prompts": [["a text"], ["another", "a third"]], "new_tokens": 64}' | python3 peer_llama_parallel.py MODEL.gguf

Each list of prompts is a client's, who asks for the next answer when the last one is whole. Every step decodes one token of
each answer under way, and beside them as much of the waiting prompts as fits the batch. Answers are greedy and have new_tokens
tokens each, whatever the model says of an end.
"""

import argparse
import json
import sys
import time

import llama_cpp
import numpy as np


class Slot:
    """A client: its sequence in the cache, the prompts that it still has, and the times of its tokens."""

    def __init__(self, number, prompts):
        self.number, self.prompts, self.answers = number, list(prompts), []
        self.next_request(time.perf_counter())

    def next_request(self, now):
        self.prompt = self.prompts.pop(0) if self.prompts else None
        self.done, self.last, self.times, self.begin = 0, None, [], now

    @property
    def is_busy(self):
        return self.prompt is not None


class Parallel:
    def __init__(self, args, n_slots, context):
        llama_cpp.llama_backend_init()
        self.model = llama_cpp.llama_model_load_from_file(args.model.encode(), llama_cpp.llama_model_default_params())
        if not self.model:
            raise SystemExit(f"{args.model} could not be loaded")
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = n_slots * context
        params.n_batch = params.n_ubatch = args.batch
        params.n_seq_max = n_slots
        params.n_threads = params.n_threads_batch = args.threads
        self.context = llama_cpp.llama_init_from_model(self.model, params)
        if not self.context:
            raise SystemExit("a context could not be made")
        self.vocab = llama_cpp.llama_model_get_vocab(self.model)
        self.n_vocab = llama_cpp.llama_vocab_n_tokens(self.vocab)
        self.memory = llama_cpp.llama_get_memory(self.context)
        self.batch = llama_cpp.llama_batch_init(args.batch, 0, 1)
        self.capacity = args.batch

    def tokens(self, text):
        data = text.encode()
        ids = (llama_cpp.llama_token * (len(data) + 8))()
        n = llama_cpp.llama_tokenize(self.vocab, data, len(data), ids, len(ids), True, True)
        return list(ids[:n])

    def put(self, token, position, slot, wants_logits):
        i = self.batch.n_tokens
        self.batch.token[i] = token
        self.batch.pos[i] = position
        self.batch.n_seq_id[i] = 1
        self.batch.seq_id[i][0] = slot.number
        self.batch.logits[i] = wants_logits
        self.batch.n_tokens = i + 1

    def step(self, slots, new_tokens):
        """One decode; False when nothing was left to do."""
        self.batch.n_tokens = 0
        asked = []  # slots whose next token comes of this step, in the order of its logits
        for slot in slots:
            if slot.is_busy and slot.last is not None:
                self.put(slot.last, slot.done, slot, True)
                slot.done += 1
                asked.append(slot)
        for slot in slots:
            if not slot.is_busy or slot.last is not None:
                continue
            part = slot.prompt[slot.done : slot.done + self.capacity - self.batch.n_tokens]
            for token in part:
                slot.done += 1
                is_last = slot.done == len(slot.prompt)
                self.put(token, slot.done - 1, slot, is_last)
                if is_last:
                    asked.append(slot)
        if self.batch.n_tokens == 0:
            return False
        if llama_cpp.llama_decode(self.context, self.batch) != 0:
            raise SystemExit("llama_decode failed")
        if not asked:
            return True
        logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits(self.context), shape=(len(asked), self.n_vocab))
        best = logits.argmax(axis=1)
        now = time.perf_counter()
        for slot, token in zip(asked, best):
            slot.last = int(token)
            slot.times.append(now)
            if len(slot.times) == new_tokens:
                slot.answers.append({"begin": slot.begin, "times": slot.times})
                llama_cpp.llama_memory_seq_rm(self.memory, slot.number, -1, -1)
                slot.next_request(now)
        return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=512, help="tokens of one decode at most")
    parser.add_argument("--warm", type=int, default=4, help="steps before it counts")
    args = parser.parse_args()
    asked = json.load(sys.stdin)
    new_tokens = asked["new_tokens"]
    n_slots = len(asked["prompts"])
    # As many tokens as bytes is more than any prompt has.
    context = max(len(prompt.encode()) for client in asked["prompts"] for prompt in client) + new_tokens + 8
    context = min(-(-context // 256) * 256, asked.get("context", 1 << 20))
    parallel = Parallel(args, n_slots, context)
    clients = [[parallel.tokens(prompt) for prompt in client] for client in asked["prompts"]]
    warm = [Slot(0, [clients[0][0]])]
    for _ in range(args.warm):
        parallel.step(warm, new_tokens)
    llama_cpp.llama_memory_clear(parallel.memory, True)
    begin = time.perf_counter()
    slots = [Slot(number, prompts) for number, prompts in enumerate(clients)]
    while parallel.step(slots, new_tokens):
        pass
    seconds = time.perf_counter() - begin
    answers = [answer for slot in slots for answer in slot.answers]
    print(
        json.dumps(
            {
                "version": llama_cpp.__version__,
                "system": llama_cpp.llama_print_system_info().decode().strip(),
                "seconds": seconds,
                "prompt_tokens": sum(len(prompt) for client in clients for prompt in client),
                "tokens": sum(len(answer["times"]) for answer in answers),
                "first": [answer["times"][0] - answer["begin"] for answer in answers],
                "between": [b - a for answer in answers for a, b in zip(answer["times"], answer["times"][1:])],
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
