"""A transformers model in float64, to judge gradients by: exactly; with the operands of every product rounded to bf16 where
docs/arithmetic.md rounds them, which says how much of an error is the rounding's own; and either with every product off by
what its sum may lose in f32, which says how far apart the gradients of two right engines may be.

The classes cast norms, softmax, router and DeepSeek-V2's rotation back to float32; inside `lifted` those casts go to
float64. Angles and their cos and sin stay float32: they are part of the models' definition.
"""

import contextlib
import copy
import importlib

import torch

SEGMENT = 512  # positions of attention's forward, docs/arithmetic.md section 5
FLOOR = -38.0


class LiftedTorch:
    """The module torch, but for the name float32."""

    float32 = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


def rotate_v2(xq, xk, freqs_cis):
    freqs = freqs_cis.unsqueeze(1).to(torch.complex128)

    def rotate(x):
        return torch.view_as_real(torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2)) * freqs).flatten(3)

    return rotate(xq), rotate(xk)


def rounded(x):
    return x.float().bfloat16().to(x.dtype)


def exact(a, b):
    return a @ b


def noisy(a, b):
    """Off by a normal draw of one f32 rounding of the terms' absolute sum."""
    y = a @ b
    return y + 2.0**-24 * torch.randn(y.shape, dtype=y.dtype) * (a.abs() @ b.abs())


class Product(torch.autograd.Function):
    """x w^T for matrices w [..., N, K]: `operand` is applied to operands forwards and backwards, `multiply` multiplies."""

    @staticmethod
    def forward(ctx, x, w, operand, multiply):
        x, w = operand(x), operand(w)
        ctx.save_for_backward(x, w)
        ctx.how = operand, multiply
        return multiply(x, w.mT)

    @staticmethod
    def backward(ctx, dy):
        (x, w), (operand, multiply) = ctx.saved_tensors, ctx.how
        dy = operand(dy)
        return multiply(dy, w), multiply(dy.mT, x), None, None


class RoundedAttention(torch.autograd.Function):
    """q [H, T, D], k [G, T, D], v [G, T, E] of one document; query head h reads key head h / (H / G)."""

    @staticmethod
    def forward(ctx, q, k, v, scale):
        q, k, v = rounded(q), rounded(k), rounded(v)
        n, group = q.shape[1], q.shape[0] // k.shape[0]
        seen = torch.ones(n, n, dtype=torch.bool).tril()
        s = (q @ k.repeat_interleave(group, 0).mT) * scale
        s = s.masked_fill(~seen, float("-inf"))
        m = s.amax(-1, keepdim=True)
        total, out = torch.zeros_like(m), torch.zeros(*s.shape[:-1], v.shape[-1], dtype=q.dtype)
        for begin in range(0, n, SEGMENT):
            part = s[..., begin : begin + SEGMENT]
            top = part.amax(-1, keepdim=True)
            difference = part - top
            p = torch.where(difference >= FLOOR, difference.exp(), 0.0)
            p = rounded(torch.nan_to_num(p, nan=0.0))  # rows that see nothing of the segment
            weight = torch.nan_to_num((top - m).exp(), nan=0.0)
            total += weight * p.sum(-1, keepdim=True)
            out += weight * (p @ v[:, begin : begin + SEGMENT].repeat_interleave(group, 0))
        ctx.save_for_backward(q, k, v, s, m, total, out / total)
        ctx.scale = scale
        return out / total

    @staticmethod
    def backward(ctx, dout):
        q, k, v, s, m, total, out = ctx.saved_tensors
        group = q.shape[0] // k.shape[0]
        p = torch.where(s - m >= FLOOR, (s - m).exp() / total, 0.0)
        dout = rounded(dout)
        e = dout @ v.repeat_interleave(group, 0).mT - (dout * out).sum(-1, keepdim=True)
        ds = rounded(p * (e - (p * e).sum(-1, keepdim=True)) * ctx.scale)

        def of_key_head(x):
            return x.unflatten(0, (k.shape[0], group)).sum(1)

        dq = ds @ k.repeat_interleave(group, 0)
        return dq, of_key_head(ds.mT @ q), of_key_head(rounded(p).mT @ dout), None


def rounded_attention(module, query, key, value, attention_mask, scaling, **_):
    """In the place of eager_attention_forward."""
    return RoundedAttention.apply(query[0], key[0], value[0], scaling).transpose(0, 1)[None], None


def latent_attention(multiply):
    """The same where `absorbed` has made one row of [latent, rotary] a key, and its latent part a value."""

    def attend(module, query, key, value, attention_mask, scaling, **_):
        nope, rope = module.qk_nope_head_dim, module.qk_rope_head_dim
        weight = module.kv_b_proj.weight.unflatten(0, (module.num_heads, nope + module.v_head_dim))
        q_nope, q_rope = query[0].split([nope, rope], -1)
        q = torch.cat([Product.apply(q_nope, weight[:, :nope].mT, rounded, multiply), q_rope], -1)
        mixed = RoundedAttention.apply(q, key[0], value[0], scaling)
        return Product.apply(mixed, weight[:, nope:], rounded, multiply).transpose(0, 1)[None], None

    return attend


def absorbed(_, kv_nope, k_rot):
    """In the place of expand_kv, for the latent form."""
    return torch.cat([kv_nope, k_rot], -1), kv_nope


def make(module, rounds_weights=False):
    """A float64 copy; its parameters rounded to bf16 if asked (the routing bias is none of them)."""
    module = copy.deepcopy(module).double()
    with torch.no_grad():
        for parameter in module.parameters() if rounds_weights else ():
            parameter.copy_(rounded(parameter))
    return module


def linear_by(operand, multiply, routers):
    """In the place of torch.nn.functional.linear; products with the matrices `routers` keep their operands."""
    whole = {matrix.data_ptr() for matrix in routers}

    def linear(x, weight, bias=None):
        how = (lambda v: v) if weight.data_ptr() in whole else operand
        y = Product.apply(x.flatten(0, -2), weight, how, multiply).unflatten(0, x.shape[:-1])
        return y if bias is None else y + bias

    return linear


@contextlib.contextmanager
def lifted(family, routers=(), form=None, is_noisy=False):
    """Inside, models of the family run in float64. With a form of attention ("grouped", "latent" or "expanded") operands
    are rounded, but for products with the matrices `routers`."""
    modeling = importlib.import_module(f"transformers.models.{family}.modeling_{family}")
    multiply = noisy if is_noisy else exact
    replaced = [(modeling, "torch", LiftedTorch())]
    if family == "deepseek_v2":
        replaced.append((modeling, "apply_rotary_emb", rotate_v2))
    if form or is_noisy:
        linear = linear_by(rounded if form else lambda v: v, multiply, routers)
        replaced.append((torch.nn.functional, "linear", linear))
    if form:
        attend = latent_attention(multiply) if form == "latent" else rounded_attention
        replaced.append((modeling, "eager_attention_forward", attend))
    if form == "latent":
        attention = next(c for n, c in vars(modeling).items() if n.startswith("Deepseek") and n.endswith("Attention"))
        replaced.append((attention, "expand_kv", absorbed))
    kept = [(owner, name, vars(owner)[name]) for owner, name, _ in replaced]
    for owner, name, value in replaced:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, name, value in kept:
            setattr(owner, name, value)
