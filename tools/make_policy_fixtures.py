#!/usr/bin/env python3
"""Writes tests/fixtures/train/policy.json: losses of src/train/policy_loss.h and their derivatives, by another way;
and log-probabilities of src/engine/kept_softmax.h with theirs.

Each formula is written down once, from its paper, as the scalar loss of a whole batch of answers; its derivative by
every log-probability is a central difference in 60 digits. What a paper holds constant (CISPO's weight) is evaluated
before the difference. Needs mpmath. No random numbers but Python's own with a fixed seed.
"""

import argparse
import json
import pathlib
import random

from mpmath import mp, mpf, exp, log, sqrt

mp.dps = 60
STEP = mpf(10) ** -25


def ratio(lp, old):
    return exp(lp - old)


def clip(x, low, high):
    return max(low, min(high, x))


def losses_of(case, lps):
    """The loss of each token, as rows of answers; `lps` may differ from the point at which constants are taken."""
    o, rows = case["options"], []
    low, high = 1 - mpf(o["clip_low"]), 1 + mpf(o["clip_high"])
    for answer, lp in zip(case["answers"], lps):
        a, old, n = mpf(answer["advantage"]), [mpf(x) for x in answer["old"]], len(lp)
        at = [mpf(x) for x in answer["log_probs"]]
        mean = sum(at[t] - old[t] for t in range(n)) / n
        masked = o["off_policy_max"] is not None and a < 0 and -mean > mpf(o["off_policy_max"])
        row = []
        for t in range(n):
            if masked:
                loss = mpf(0)
            elif o["form"] == "token":
                r = ratio(lp[t], old[t])
                loss = -min(r * a, clip(r, low, high) * a)
            elif o["form"] == "sequence":
                s = exp(sum(lp[k] - old[k] for k in range(n)) / n)
                loss = -min(s * a, clip(s, low, high) * a)
            else:
                loss = -min(ratio(at[t], old[t]), high) * a * lp[t]
            if o["kl_weight"]:
                x = exp(mpf(answer["reference"][t]) - lp[t])
                k3 = x - log(x) - 1
                loss += mpf(o["kl_weight"]) * (k3 if o["kl"] == "k3" else ratio(lp[t], old[t]) * k3)
            row.append(loss)
        rows.append(row)
    return rows


def solve(case):
    lps = [[mpf(x) for x in a["log_probs"]] for a in case["answers"]]
    case["losses"] = [[float(x) for x in row] for row in losses_of(case, lps)]
    case["gradient"] = []  # of the sum of all losses
    for i, row in enumerate(lps):
        out = []
        for t in range(len(row)):
            sides = []
            for sign in (1, -1):
                moved = [list(r) for r in lps]
                moved[i][t] += sign * STEP
                sides.append(sum(sum(r) for r in losses_of(case, moved)))
            out.append(float((sides[0] - sides[1]) / (2 * STEP)))
        case["gradient"].append(out)
    return case


def f32(x):
    import struct
    return struct.unpack("f", struct.pack("f", x))[0]


def draw_answers(rng, spread):
    answers = []
    for length in (1, 2, 6):
        old = [f32(-rng.expovariate(1)) for _ in range(length)]
        answers.append({"advantage": f32(rng.gauss(0, 1)),
                        "old": old,
                        "log_probs": [f32(min(-1e-4, x + rng.gauss(0, spread))) for x in old],
                        "reference": [f32(min(-1e-4, x + rng.gauss(0, 0.5))) for x in old]})
    return answers


def advantages(rng):
    cases = []
    for rewards in ([1, 0, 0, 1], [0.5, 0.5, 0.5], [1, 1, 0, 0.25, 2, -1], [0.1] * 7 + [0.2], [0, 1]):
        r = [mpf(x) for x in rewards]
        mean = sum(r) / len(r)
        std = sqrt(sum((x - mean) ** 2 for x in r) / len(r))
        flat = all(x == r[0] for x in r)
        cases.append({"rewards": rewards,
                      "group_mean": [0.0 if flat else float(x - mean) for x in r],
                      "group_std": [0.0 if flat else float((x - mean) / (std + mpf("1e-6"))) for x in r]})
    return cases


def drawn(rng):
    """softmax(x / temperature) over kept tokens: log p of one, and its derivative by every logit."""
    cases = []
    for vocab, temperature, n_kept in ((7, 1, 3), (40, 0.5, None), (40, 1.5, 11), (90, 0.25, 90), (90, 4, 2), (9, 1, 1)):
        x = [f32(rng.gauss(0, 3)) for _ in range(vocab)]
        kept = sorted(sorted(range(vocab), key=lambda i: -x[i])[:n_kept] if n_kept else range(vocab))
        for target in {kept[0], kept[-1], rng.choice(kept)}:
            def log_p(z):
                top = max(z[i] for i in kept)
                total = sum(exp((z[i] - top) / mpf(temperature)) for i in kept)
                return (z[target] - top) / mpf(temperature) - log(total)
            at, slopes = [mpf(v) for v in x], []
            for i in range(vocab):
                sides = [log_p([v + (sign * STEP if k == i else 0) for k, v in enumerate(at)]) for sign in (1, -1)]
                slopes.append(float((sides[0] - sides[1]) / (2 * STEP)))
            cases.append({"logits": x, "temperature": temperature, "kept": kept, "target": target,
                          "log_prob": float(log_p(at)), "slopes": slopes})
    return cases


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    rng, cases = random.Random(7), []
    for form in ("token", "sequence", "weighted"):
        for kl_weight, kl in ((0, "k3"), (0.04, "k3"), (0.3, "unbiased")):
            for clip_low, clip_high, spread in ((0.2, 0.2, 0), (0.2, 0.28, 0.3), (0.0003, 0.0004, 0.05)):
                for off_policy_max in (None, 0.05):
                    cases.append(solve({"options": {"form": form, "kl_weight": kl_weight, "kl": kl, "clip_low": clip_low,
                                                    "clip_high": clip_high, "off_policy_max": off_policy_max},
                                        "answers": draw_answers(rng, spread)}))
    # Where r is 1 exactly the bound is not reached on either side: the difference there is of a smooth function.
    path = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "train" / "policy.json"
    path.write_text(json.dumps({"cases": cases, "advantages": advantages(rng), "drawn": drawn(rng)}, separators=(",", ":")) + "\n")
    print(f"{path}: {len(cases)} cases, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
