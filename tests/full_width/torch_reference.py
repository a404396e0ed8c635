"""Falcon with GPTQ weights in float64 on PyTorch: the oracle for all 32 layers at full width.

Knows the checkpoint's tensors and the transformer; shares no code with the program or the
TypeScript reference. Not run in CI: it wants PyTorch, the `safetensors` package and, at full size,
a GPU with some 20 GB. Weights stay packed and are dequantised to float64 one matrix at a time.

    python3 torch_reference.py CHECKPOINT PROMPTS.json OUT [--tokens 16] [--device cuda]

PROMPTS.json is a list of lists of token ids. OUT gets `golden.json`, in the form of the golden
folders, with each prompt's last logits as little-endian float64 in `logits_<i>.bin`.

Shapes: T new tokens, S tokens so far, D hidden, H heads, d head size, F feed-forward, V vocabulary,
K and N a weight's inputs and outputs, G groups, P = 32 / bits values a word.
"""

import argparse
import json
import math
from pathlib import Path

import torch
from safetensors import safe_open


class Falcon:
    def __init__(self, folder: Path, device: str):
        config = json.loads((folder / "config.json").read_text())
        settings = config.get("quantization_config")
        if settings is None:
            settings = json.loads((folder / "quantize_config.json").read_text())
        self.bits, self.group_size = settings["bits"], settings["group_size"]
        self.zero_offset = 0 if settings.get("checkpoint_format") == "gptq_v2" else 1
        self.layers, self.heads = config["num_hidden_layers"], config["num_attention_heads"]
        self.head_dim = config["hidden_size"] // self.heads
        self.epsilon = config.get("layer_norm_epsilon", 1e-5)
        self.theta = config.get("rope_theta", 10000.0)
        self.device = device

        self.tensors = {}
        for path in sorted(folder.glob("*.safetensors")):
            with safe_open(str(path), framework="pt", device=device) as file:
                self.tensors.update({name: file.get_tensor(name) for name in file.keys()})
        embedding = self.tensors.get("transformer.word_embeddings.weight")
        if embedding is None:
            embedding = self.tensors["lm_head.weight"]
        self.embedding = embedding.double()  # [V, D], the head as well

    def weight(self, name: str) -> torch.Tensor:
        """scales[g, n] * (q[k, n] - zeros[g, n]) with g the group of row k: float64 [K, N]."""
        qweight = self.tensors[name + ".qweight"]  # [K / P, N]
        qzeros = self.tensors[name + ".qzeros"]  # [G, N / P]
        scales = self.tensors[name + ".scales"].double()  # [G, N]
        shifts = torch.arange(0, 32, self.bits, dtype=torch.int32, device=self.device)  # [P]
        mask = 2**self.bits - 1
        # The arithmetic shift smears the sign bit, which the mask then removes.
        q = (qweight[:, None, :] >> shifts[None, :, None]) & mask  # [K / P, P, N]
        q = q.reshape(-1, qweight.shape[1])  # [K, N]
        zeros = (qzeros[:, :, None] >> shifts[None, None, :]) & mask  # [G, N / P, P]
        zeros = zeros.reshape(qzeros.shape[0], -1) + self.zero_offset  # [G, N]
        group = self.tensors.get(name + ".g_idx")  # [K]
        if group is None:
            rows = torch.arange(q.shape[0], device=self.device)
            group = rows // self.group_size if self.group_size > 0 else rows * 0
        group = group.long()
        return (q - zeros[group]).double().mul_(scales[group])

    def linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
        """x [T, K] times the weight [K, N], plus the bias if there is one."""
        out = x @ self.weight(name)
        bias = self.tensors.get(name + ".bias")
        return out if bias is None else out + bias.double()

    def norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        weight, bias = (self.tensors[f"{name}.{part}"].double() for part in ("weight", "bias"))
        return torch.nn.functional.layer_norm(x, x.shape[-1:], weight, bias, self.epsilon)

    def rotary(self, x: torch.Tensor, start: int) -> torch.Tensor:
        """Turns dims i and i + d/2 of x [T, *, d] by position * theta^(-2i/d)."""
        half = self.head_dim // 2
        index = torch.arange(half, dtype=torch.float64, device=self.device)
        position = torch.arange(start, start + x.shape[0], dtype=torch.float64, device=self.device)
        angle = position[:, None, None] * self.theta ** (-index / half)  # [T, 1, d / 2]
        a, b = x[..., :half], x[..., half:]
        cos, sin = angle.cos(), angle.sin()
        return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)

    def attention(self, qkv: torch.Tensor, cache: dict, layer: int) -> torch.Tensor:
        """Causal, H query heads on one key and value head: [T, (H + 2) d] -> [T, H d]."""
        qkv = qkv.view(qkv.shape[0], self.heads + 2, self.head_dim)
        past = cache.get(layer)
        start = 0 if past is None else past[0].shape[0]
        turned = self.rotary(qkv[:, :-1], start)  # [T, H + 1, d]
        query, key, value = turned[:, :-1], turned[:, -1], qkv[:, -1]
        if past is not None:
            key, value = torch.cat([past[0], key]), torch.cat([past[1], value])
        cache[layer] = (key, value)  # [S, d] each
        scores = query.transpose(0, 1) @ key.T / math.sqrt(self.head_dim)  # [H, T, S]
        future = torch.ones(scores.shape[1:], dtype=torch.bool, device=self.device)
        future = future.triu(diagonal=start + 1)  # [T, S]
        mixed = scores.masked_fill(future, -math.inf).softmax(-1) @ value  # [H, T, d]
        return mixed.transpose(0, 1).reshape(qkv.shape[0], -1)

    def hidden(self, ids: list, cache: dict) -> torch.Tensor:
        """Final normed rows [T, D] of `ids`, which follow the tokens in `cache` and extend it."""
        x = self.embedding[torch.tensor(ids, device=self.device)]  # [T, D]
        for i in range(self.layers):
            name = f"transformer.h.{i}"
            normed = self.norm(x, name + ".input_layernorm")
            qkv = self.linear(normed, name + ".self_attention.query_key_value")
            attended = self.attention(qkv, cache, i)
            inner = torch.nn.functional.gelu(self.linear(normed, name + ".mlp.dense_h_to_4h"))
            x = x + self.linear(attended, name + ".self_attention.dense")
            x = x + self.linear(inner, name + ".mlp.dense_4h_to_h")
        return self.norm(x, "transformer.ln_f")

    def logits(self, rows: torch.Tensor) -> torch.Tensor:
        return rows @ self.embedding.T  # [T, D] -> [T, V]


def mean_logprob(model: Falcon, rows: torch.Tensor, ids: list):
    """Mean natural-log probability of ids[1:]; None for a single id. 256 rows of logits at a time."""
    if len(ids) < 2:
        return None
    total = 0.0
    for t in range(0, len(ids) - 1, 256):
        following = torch.tensor(ids[t + 1 : t + 257], device=model.device)
        logprobs = model.logits(rows[t : t + len(following)]).log_softmax(-1)
        total += logprobs.gather(1, following[:, None]).sum().item()
    return total / (len(ids) - 1)


def run(model: Falcon, ids: list, tokens: int, logits_path: Path) -> dict:
    """One prompt's entry of golden.json; writes its last logits to `logits_path`."""
    cache = {}
    rows = model.hidden(ids, cache)
    last = model.logits(rows[-1:])[0]  # [V]
    logits_path.write_bytes(last.cpu().numpy().astype("<f8").tobytes())
    mean = mean_logprob(model, rows, ids)
    greedy, margins = [], []
    while len(greedy) < tokens:
        best, second = last.topk(2).values.tolist()
        greedy.append(int(last.argmax()))
        margins.append(best - second)
        if len(greedy) < tokens:
            last = model.logits(model.hidden(greedy[-1:], cache))[0]
    return {
        "ids": ids,
        "last_logits_file": logits_path.name,
        "mean_logprob": mean,
        "greedy": greedy,
        "greedy_margin": margins,
    }


def main():
    parser = argparse.ArgumentParser(description="Float64 logits of a GPTQ Falcon checkpoint.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("prompts", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tokens", type=int, default=16, help="greedy tokens a prompt")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with torch.inference_mode():
        model = Falcon(args.checkpoint, args.device)
        prompts = [
            run(model, ids, args.tokens, args.out / f"logits_{i}.bin")
            for i, ids in enumerate(json.loads(args.prompts.read_text()))
        ]
    made_with = f"torch_reference.py float64, torch {torch.__version__}, {args.device}"
    golden = {"case": args.checkpoint.resolve().name, "made_with": made_with, "prompts": prompts}
    (args.out / "golden.json").write_text(json.dumps(golden))


if __name__ == "__main__":
    main()
