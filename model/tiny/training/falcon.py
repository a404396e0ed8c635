"""Falcon as PyTorch trains it here: multi-query attention, parallel block, one LayerNorm, no bias.

    h = LN(x);  x = x + dense(attention(h)) + down(gelu(up(h)))

Parameters have the names of Hugging Face's FalconForCausalLM, so a state dict fits both.
Knows a rehearsal of quantisation (`Linear.rehearsal`): weights as 4 bits would leave them, gradients
as if nothing had happened. Knows nothing of files.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HEAD = 64  # dimensions of a head; Falcon has one key and value head of as many


@dataclass
class Shape:
    """Hidden size 64 · heads; the feed-forward part is four times as wide."""

    vocab: int
    layers: int
    heads: int

    @property
    def hidden(self) -> int:
        return HEAD * self.heads


def round_weights(weight: Tensor, order: Tensor, group: int, bits: int = 4) -> Tensor:
    """(out, in), each row's groups of inputs (in `order`) rounded to symmetric whole numbers."""
    out, inputs = weight.shape
    groups = -(-inputs // group)
    sorted_ = F.pad(weight[:, order], (0, groups * group - inputs)).view(out, groups, group)
    levels = 2**bits - 1
    scale = (sorted_.abs().amax(2, keepdim=True) * 2 / levels).clamp(min=1e-8)
    half = 2 ** (bits - 1)
    rounded = torch.clamp(torch.round(sorted_ / scale), -half, half - 1) * scale
    return rounded.view(out, -1)[:, :inputs][:, torch.argsort(order)]


class Linear(nn.Module):
    """x (…, in) → (…, out) without bias."""

    def __init__(self, inputs: int, outputs: int, deviation: float, group: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) * deviation)
        self.group = group
        self.register_buffer("order", torch.arange(inputs), persistent=False)
        self.register_buffer("rehearsal", torch.zeros(()), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight
        if self.training:
            rounded = round_weights(weight.detach(), self.order, self.group)
            weight = weight + self.rehearsal * (rounded - weight.detach())
        return F.linear(x, weight)


class Attention(nn.Module):
    """Causal attention of many query heads to one key and value head, rotary positions."""

    def __init__(self, shape: Shape, deviation: float, group: int):
        super().__init__()
        hidden = shape.hidden
        self.heads = shape.heads
        self.query_key_value = Linear(hidden, hidden + 2 * HEAD, deviation, group)
        self.dense = Linear(hidden, hidden, deviation / (2 * shape.layers) ** 0.5, group)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, length, hidden = x.shape
        qkv = self.query_key_value(x).view(batch, length, self.heads + 2, HEAD).transpose(1, 2)
        query, key, value = qkv.split([self.heads, 1, 1], 1)
        query, key = rotate(query, cos, sin), rotate(key, cos, sin)
        key, value = (t.expand(-1, self.heads, -1, -1) for t in (key, value))
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.dense(mixed.transpose(1, 2).reshape(batch, length, hidden))


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions over halves: dimension i turns with i + 32."""
    first, second = x.chunk(2, -1)
    turned = torch.cat((-second, first), -1)
    return (x * cos + turned * sin).to(x.dtype)


class MLP(nn.Module):
    """Four times as wide, exact (erf) GELU."""

    def __init__(self, shape: Shape, deviation: float, group: int):
        super().__init__()
        hidden = shape.hidden
        self.dense_h_to_4h = Linear(hidden, 4 * hidden, deviation, group)
        self.dense_4h_to_h = Linear(4 * hidden, hidden, deviation / (2 * shape.layers) ** 0.5,
                                    group)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense_4h_to_h(F.gelu(self.dense_h_to_4h(x)))


class Block(nn.Module):
    def __init__(self, shape: Shape, deviation: float, group: int):
        super().__init__()
        self.input_layernorm = nn.LayerNorm(shape.hidden, eps=1e-5)
        self.self_attention = Attention(shape, deviation, group)
        self.mlp = MLP(shape, deviation, group)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        h = self.input_layernorm(x)
        return x + self.self_attention(h, cos, sin) + self.mlp(h)


class Falcon(nn.Module):
    """Token ids (batch, length) → logits (batch, length, vocab)."""

    def __init__(self, shape: Shape, group: int = 128, deviation: float = 0.02):
        super().__init__()
        self.shape = shape
        self.transformer = nn.Module()
        self.transformer.word_embeddings = nn.Embedding(shape.vocab, shape.hidden)
        nn.init.normal_(self.transformer.word_embeddings.weight, std=deviation)
        blocks = [Block(shape, deviation, group) for _ in range(shape.layers)]
        self.transformer.h = nn.ModuleList(blocks)
        self.transformer.ln_f = nn.LayerNorm(shape.hidden, eps=1e-5)

    def angles(self, length: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines (length, 64)."""
        steps = torch.arange(0, HEAD, 2, device=like.device, dtype=torch.float32)
        positions = torch.arange(length, device=like.device, dtype=torch.float32)
        angles = torch.outer(positions, 10000.0 ** (-steps / HEAD)).repeat(1, 2)
        return angles.cos().to(like.dtype), angles.sin().to(like.dtype)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.transformer.word_embeddings(ids)
        cos, sin = self.angles(ids.shape[1], x)
        for block in self.transformer.h:
            x = block(x, cos, sin)
        x = self.transformer.ln_f(x)
        return F.linear(x, self.transformer.word_embeddings.weight)

    def linears(self) -> list[tuple[str, Linear]]:
        """The matrices that are quantised, in the order in which data passes them."""
        return [(name, module) for name, module in self.named_modules()
                if isinstance(module, Linear)]


def config(shape: Shape, positions: int = 2048) -> dict:
    """The content of config.json."""
    return {
        "architectures": ["FalconForCausalLM"],
        "model_type": "falcon",
        "vocab_size": shape.vocab,
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "multi_query": True,
        "parallel_attn": True,
        "new_decoder_architecture": False,
        "bias": False,
        "alibi": False,
        "bos_token_id": 11,
        "eos_token_id": 11,
        "layer_norm_epsilon": 1e-05,
        "initializer_range": 0.02,
        "max_position_embeddings": positions,
        "torch_dtype": "float16",
        "use_cache": True,
    }
