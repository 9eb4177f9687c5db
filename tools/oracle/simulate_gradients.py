"""Why docs/arithmetic.md section 7 is as it is: its sums of attention's, the routers' and cross entropy's gradients,
rounding by rounding in numpy, against float64, as they are (version 2) and as they were (version 1). No naru in it.

    python3 simulate_gradients.py            everything: a minute
    python3 simulate_gradients.py --long     and documents of 3000 tokens: five

A limit is 1e-4 of a gradient's norm, which compare_grads.py allows. "double" is float64 on the same rounded operands.
"""

import argparse
import sys

import numpy as np

SEGMENT, DOT_SEGMENT, FLOOR = 512, 2048, -38.0


def f32(x):
    return x.astype(np.float32).astype(np.float64)


def bf16(x):
    bits = x.astype(np.float32).view(np.uint32)
    bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return bits.view(np.float32).astype(np.float64)


def tree(segments):
    while len(segments) > 1:
        pairs = zip(segments[::2], [*segments[1::2], None])
        segments = [a if b is None else f32(a + b) for a, b in pairs]
    return segments[0]


def dot_f32(a, b):
    """[n, K] and [m, K] to [n, m]."""
    segments = []
    for begin in range(0, a.shape[1], DOT_SEGMENT):
        acc = np.zeros((len(a), len(b)))
        for k in range(begin, min(a.shape[1], begin + DOT_SEGMENT)):
            acc = f32(np.multiply.outer(a[:, k], b[:, k]) + acc)
        segments.append(acc)
    return tree(segments)


def dot_bf16(a, b):
    segments = []
    for begin in range(0, a.shape[1], DOT_SEGMENT):
        acc, end = np.zeros((len(a), len(b))), min(a.shape[1], begin + DOT_SEGMENT)
        for block in range(begin, end, 32):
            both = [np.zeros_like(acc), np.zeros_like(acc)]
            for k in range(block, min(end, block + 32)):
                both[k % 2] = f32(np.multiply.outer(a[:, k], b[:, k]) + both[k % 2])
            acc = f32(acc + f32(both[0] + both[1]))
        segments.append(acc)
    return tree(segments)


def row_sum(a, b):
    """Of fma(a, b), [n, 1]."""
    segments = []
    for begin in range(0, a.shape[1], DOT_SEGMENT):
        lanes, end = np.zeros((len(a), 16)), min(a.shape[1], begin + DOT_SEGMENT)
        for k in range(begin, end, 16):
            n = min(16, end - k)
            lanes[:, :n] = f32(a[:, k : k + n] * b[:, k : k + n] + lanes[:, :n])
        while lanes.shape[1] > 1:
            half = lanes.shape[1] // 2
            lanes = f32(lanes[:, :half] + lanes[:, half:])
        segments.append(lanes)
    return tree(segments)


class Exact:
    """Float64, no rounding but of operands."""

    def __init__(self, operand=lambda x: x):
        self.operand, self.value = operand, lambda x: x
        self.dot, self.row_sum = lambda a, b: a @ b.T, lambda a, b: (a * b).sum(1, keepdims=True)


class Naru:
    def __init__(self, is_bf16):
        self.operand, self.dot = (bf16, dot_bf16) if is_bf16 else (lambda x: x, dot_f32)
        self.value, self.row_sum = f32, row_sum


def attention_grad(how, version, q, k, v, do, scale, refined_rows=None):
    """dq, dk. `refined_rows`: queries below it alone have r."""
    r32, n = how.value, len(q)
    q, k, v = how.operand(q), how.operand(k), how.operand(v)
    seen = np.tril(np.ones((n, n), bool))
    s = np.where(seen, r32(how.dot(q, k) * scale), -np.inf)
    with np.errstate(invalid="ignore"):
        for begin in range(0, n, SEGMENT):
            part, is_seen = s[:, begin : begin + SEGMENT], seen[:, [begin]]
            top = np.where(is_seen, part.max(1, keepdims=True), 0)
            p = how.operand(np.where(part - top >= FLOOR, r32(np.exp(part - top)), 0))
            l_part, o_part = how.row_sum(p, np.ones_like(p)), how.dot(p, v[begin : begin + SEGMENT].T)
            if begin == 0:
                m, l, o = top, l_part, o_part
                continue
            m_new = np.where(is_seen, np.maximum(m, top), m)
            a, b = r32(np.exp(m - m_new)), np.where(is_seen, r32(np.exp(top - m_new)), 0)
            l, o = (np.where(is_seen, r32(x * a + r32(b * y)), x) for x, y in ((l, l_part), (o, o_part)))
            m = m_new
        o, difference = r32(o / l), r32(s - m)
        p = np.where(difference >= FLOOR, r32(r32(np.exp(difference)) * r32(1 / l)), 0)
    dp = how.dot(how.operand(do), v)
    if version == 1:
        ds = r32(r32(p * r32(dp - how.row_sum(do, o))) * scale)
        ds[0] = 0
    else:
        e = np.where(p > 0, r32(dp - how.row_sum(how.operand(do), o)), 0)
        r = how.row_sum(p, e)
        if refined_rows is not None:
            r[refined_rows:] = 0
        ds = r32(r32(p * r32(e - r)) * scale)
    ds = how.operand(ds)
    return how.dot(ds, k.T), how.dot(ds.T, q.T)


def exact_grad(q, k, v, do, scale):
    s = np.where(np.tril(np.ones((len(q), len(q)), bool)), q @ k.T * scale, -np.inf)
    p = np.exp(s - s.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    dp = do @ v.T
    ds = p * (dp - (p * dp).sum(1, keepdims=True)) * scale
    return ds @ k, ds.T @ q, np.median(1 - p.max(1)[len(q) // 2 :])


def relative(got, want, x):
    """Error of the gradient of the projection from x."""
    return np.linalg.norm(x.T @ (got - want)) / np.linalg.norm(x.T @ want)


def short_documents(rng):
    print("short documents, 200 heads of width 16 each: error of a query projection's gradient")
    print(f"{'tokens':>8s} {'':5s} {'version 1: median, 1 in 20 above, worst':>42s} {'version 2':>30s}")
    for n in (2, 3, 4, 5, 8):
        for is_bf16 in (False, True):
            errors, double = {1: [], 2: []}, []
            for _ in range(200):
                x, sharp = rng.normal(size=(n, 24)), np.exp(rng.uniform(-1, 1))
                q, k, v = (f32(factor * x @ rng.normal(size=(24, 16)) / np.sqrt(24)) for factor in (sharp, sharp, 1))
                do, scale = f32(rng.normal(size=(n, 16)) * 1e-2), 0.25
                if is_bf16:
                    q, k, v = bf16(q), bf16(k), bf16(v)
                want = exact_grad(q, k, v, do, scale)[0]
                for version, kept in errors.items():
                    kept.append(relative(attention_grad(Naru(is_bf16), version, q, k, v, do, scale)[0], want, x))
                double.append(relative(attention_grad(Exact(bf16), 2, q, k, v, do, scale)[0], want, x))
            words = ["  ".join(f"{f(kept):9.1e}" for f in (np.median, lambda a: np.percentile(a, 95), np.max))
                     for kept in errors.values()]
            if is_bf16:
                words.append(f"worst share of double's: {np.max(np.array(errors[1]) / double):.0f}, "
                             f"{np.max(np.array(errors[2]) / double):.2f}")
            print(f"{n:8d} {'bf16' if is_bf16 else 'f32':5s} {'':11s}{words[0]}   {'   '.join(words[1:])}", flush=True)


def long_documents(lengths):
    print("each query looks at one position: error of the gradients of the rows from position 512 on, in limits")
    for n in lengths:
        for score in (16, 20, 24, 28):
            rng = np.random.default_rng(score)
            k = rng.normal(size=(n, 16))
            k = f32(k / np.linalg.norm(k, axis=1, keepdims=True))
            q = f32(k[[rng.integers(0, i + 1) for i in range(n)]] * score * 4)
            v, do = f32(rng.normal(size=(n, 16))), f32(rng.normal(size=(n, 16)) * 1e-2)
            want, _, gap = exact_grad(q, k, v, do, 0.25)
            errors = []
            for rows in (SEGMENT, None):
                got = attention_grad(Naru(False), 2, q, k, v, do, 0.25, rows)[0]
                errors.append(np.linalg.norm((got - want)[SEGMENT:]) / np.linalg.norm(want[SEGMENT:]) / 1e-4)
            print(f"{n:8d} tokens, 1 - P of a median row {gap:.1e}: without r {errors[0]:.3f}, with {errors[1]:.3f}", flush=True)


def by_row(name, got, want):
    errors = np.linalg.norm(got - want, axis=1) / np.linalg.norm(want, axis=1) / 1e-4
    print(f"  {name:34s} median {np.median(errors):8.2g}, 1 in 100 above {np.percentile(errors, 99):8.2g}, worst "
          f"{errors.max():8.2g}; whole tensor {np.linalg.norm(got - want) / np.linalg.norm(want) / 1e-4:.2g}", flush=True)


def less_mean(x, shares, passes):
    for _ in range(passes):
        x = f32(x - row_sum(x, shares))
    return x


def routers(rng):
    for experts, chosen, deviation in ((8, 2, 3), (64, 6, 3), (64, 6, 6)):
        print(f"routers, {experts} experts, {chosen} chosen, logits of deviation {deviation}: error of a row, in limits")
        x = f32(rng.normal(size=(4000, experts)) * deviation)
        top, h = np.argsort(-x, 1)[:, :chosen], f32(rng.normal(size=(4000, chosen)) * 1e-2)

        def spread(values, top=top, x=x):
            u = np.zeros_like(x)
            np.put_along_axis(u, top, values, 1)
            return u

        true = np.exp(x - x.max(1, keepdims=True))
        true /= true.sum(1, keepdims=True)
        e = f32(np.exp(f32(x - x.max(1, keepdims=True))))
        a = f32(e / row_sum(e, np.ones_like(e)))
        want = true * (spread(h) - (true * spread(h)).sum(1, keepdims=True))
        for version in (1, 2):
            by_row(f"softmax, version {version}", f32(a * less_mean(spread(h), a, version)), want)
        true = 1 / (1 + np.exp(-x))
        a = f32(1 / f32(1 + f32(np.exp(-x))))
        picked, true_picked = np.take_along_axis(a, top, 1), np.take_along_axis(true, top, 1)
        total = true_picked.sum(1, keepdims=True)
        want = spread((h - (true_picked / total * h).sum(1, keepdims=True)) / total) * true * (1 - true)
        d = row_sum(picked, np.ones_like(picked))
        for version in (1, 2):
            u = spread(f32(less_mean(h, f32(picked / d), version) / d))
            rest = f32(1 - a) if version == 1 else f32(1 / f32(1 + f32(np.exp(x))))
            by_row(f"normalised sigmoids, version {version}", f32(u * f32(a * rest)), want)


def cross_entropy(rng):
    print("cross entropy, 512 logits: largest relative error of the target's entry")
    for gap in (2, 6, 9, 12):
        x = rng.normal(size=(2000, 512))
        x[:, 0] += np.log(512) + gap
        x = f32(x)
        m = x.max(1, keepdims=True)
        e, true = f32(np.exp(f32(x - m))), np.exp(x - m)
        l = row_sum(e, np.ones_like(e))
        want = -true[:, 1:].sum(1, keepdims=True) / true.sum(1, keepdims=True)
        others = e * (np.arange(512) > 0)
        first, second = f32(f32(e[:, :1] / l) - 1), -f32(row_sum(others, np.ones_like(e)) / l)
        print(f"  1 - p about {np.median(-want):.1e}: version 1 {np.abs(first / want - 1).max():.1e}, "
              f"version 2 {np.abs(second / want - 1).max():.1e}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--long", action="store_true", help="documents of 3000 tokens too")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    cross_entropy(rng)
    routers(rng)
    short_documents(rng)
    long_documents((600, 3000) if args.long else (600,))
    return 0


if __name__ == "__main__":
    sys.exit(main())
