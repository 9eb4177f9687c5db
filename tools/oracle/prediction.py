"""V3's prediction layer (MTP) in PyTorch, which transformers does not load: the decoder layer of its DeepseekV3 classes
between the two norms and the joining product of the checkpoint, with the model's own embedding and head. It reads the
trunk's state before the final norm.
"""

import pathlib

import torch
from safetensors.torch import load_file
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3DecoderLayer, DeepseekV3RMSNorm


class Prediction(torch.nn.Module):
    def __init__(self, model, folder):
        super().__init__()
        config = model.config
        self.index = config.num_hidden_layers
        self.enorm = DeepseekV3RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.hnorm = DeepseekV3RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.eh_proj = torch.nn.Linear(2 * config.hidden_size, config.hidden_size, bias=False)
        self.block = DeepseekV3DecoderLayer(config, self.index)
        self.head_norm = DeepseekV3RMSNorm(config.hidden_size, config.rms_norm_eps)
        stored = {n: v for path in pathlib.Path(folder).glob("*.safetensors") for n, v in load_file(path).items()}
        shapes = {n: p.shape for n, p in self.named_parameters()}
        state = {}
        for name in self.state_dict():
            state[name] = self._stored(stored, self.checkpoint_name(name), shapes.get(name)).float()
        self.load_state_dict(state)
        self.eval()

    def checkpoint_name(self, name):
        name = name.replace("head_norm.", "shared_head.norm.").removeprefix("block.")
        return f"model.layers.{self.index}.{name}"

    def _stored(self, stored, name, shape):
        """A tensor of the file; the experts, which the classes stack, are stored one by one."""
        if name in stored:
            return stored[name]
        stem, kind = name.rsplit(".", 1)
        parts = ("gate_proj", "up_proj") if kind == "gate_up_proj" else ("down_proj",)
        return torch.stack(
            [torch.cat([stored[f"{stem}.{e}.{part}.weight"] for part in parts]) for e in range(shape[0])]
        )

    def forward(self, model, tokens, state):
        """Logits [1, T - 1, vocab]: row t has seen token t + 1 and predicts token t + 2."""
        embedded = self.enorm(model.model.embed_tokens(tokens[:, 1:]))
        x = self.eh_proj(torch.cat([embedded, self.hnorm(state[:, :-1])], dim=-1))
        n = x.shape[1]
        positions = torch.arange(n)[None]
        mask = torch.full((n, n), float("-inf")).triu(1)[None, None]
        out = self.block(
            x,
            attention_mask=mask,
            position_ids=positions,
            position_embeddings=model.model.rotary_emb(x, positions),
        )
        return model.lm_head(self.head_norm(out[0] if isinstance(out, tuple) else out))


def grads(model, prediction, ids, weight):
    """Loss with `weight` times the prediction layer's, and gradients by checkpoint name (experts stacked)."""
    parameters = dict(model.named_parameters())
    parameters |= {prediction.checkpoint_name(n): p for n, p in prediction.named_parameters()}
    for parameter in parameters.values():
        parameter.requires_grad_(True)
        parameter.grad = None
    seen = {}
    hook = model.model.norm.register_forward_pre_hook(lambda _, inputs: seen.update(state=inputs[0]))
    tokens = torch.tensor([ids])
    loss = torch.nn.functional.cross_entropy(model(tokens).logits[0, :-1], tokens[0, 1:])
    hook.remove()
    if len(ids) > 2:
        logits = prediction(model, tokens, seen["state"])[0, :-1]
        loss = loss + weight * torch.nn.functional.cross_entropy(logits, tokens[0, 2:])
    loss.backward()
    return float(loss.detach()), {
        name: (p.grad if p.grad is not None else torch.zeros_like(p)).detach() for name, p in parameters.items()
    }
