"""A quantised model as a folder in AutoGPTQ's layout, and a small golden case cut from it.

Knows the packing: eight 4-bit (four 8-bit) numbers a word, lowest first; zero points less one.
"""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from falcon import Falcon, Shape, config
from gptq import DAMPING, Quantized, quantize_model


def pack(numbers: np.ndarray, bits: int) -> np.ndarray:
    """(rows, n) of small numbers → (rows · bits / 32, n) of words."""
    lanes = 32 // bits
    words = np.zeros((numbers.shape[0] // lanes, numbers.shape[1]), np.uint32)
    for lane in range(lanes):
        words |= numbers[lane::lanes].astype(np.uint32) << np.uint32(bits * lane)
    return words.view(np.int32)


def tensors(model: Falcon, quantized: dict[str, Quantized]) -> dict[str, Tensor]:
    """Everything that model.safetensors holds, by name."""
    result: dict[str, Tensor] = {}
    for name, matrix in quantized.items():
        groups, outputs = matrix.scales.shape
        zeros = np.full((outputs, groups), 2 ** (matrix.bits - 1) - 1)
        result[f"{name}.qweight"] = torch.from_numpy(pack(matrix.q.cpu().numpy(), matrix.bits))
        result[f"{name}.qzeros"] = torch.from_numpy(pack(zeros, matrix.bits).T.copy())
        result[f"{name}.scales"] = matrix.scales.cpu()
        result[f"{name}.g_idx"] = matrix.g_idx.cpu()
    for name, parameter in model.named_parameters():
        if name.removesuffix(".weight") not in quantized:
            result[name] = parameter.detach().half().cpu()
    return {name: tensor.contiguous() for name, tensor in result.items()}


def quantize_config(bits: int, group: int) -> dict:
    """The content of quantize_config.json."""
    return {"bits": bits, "group_size": group, "damp_percent": DAMPING, "desc_act": True,
            "static_groups": False, "sym": True, "true_sequential": True,
            "model_name_or_path": None, "model_file_base_name": "model"}


def write_folder(folder: Path, model: Falcon, quantized: dict[str, Quantized], bits: int,
                 group: int) -> None:
    """config.json, quantize_config.json, model.safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", config(model.shape))
    write_json(folder / "quantize_config.json", quantize_config(bits, group))
    save_file(tensors(model, quantized), str(folder / "model.safetensors"), {"format": "pt"})


def write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_golden(folder: Path, whole: Falcon, vocab: int, batches: list[Tensor]) -> None:
    """The first layer and the first tokens, quantised in 8 bits, with what float64 makes of them."""
    cut = Falcon(Shape(vocab, 1, whole.shape.heads))
    state = {name: tensor for name, tensor in whole.state_dict().items()
             if name in cut.state_dict()}
    embedding = "transformer.word_embeddings.weight"
    state[embedding] = state[embedding][:vocab]
    cut.load_state_dict({name: tensor.cpu() for name, tensor in state.items()})
    known = [ids.cpu()[(ids.cpu() < vocab).all(1)] for ids in batches]
    calibration = [ids for ids in known if len(ids)] or [
        torch.randint(12, vocab, (16, 64), generator=torch.Generator().manual_seed(1))]
    quantized = quantize_model(cut, calibration, 8, 128)
    write_folder(folder, cut, quantized, 8, 128)
    exact = double(cut)
    prompts = [golden_prompt(exact, torch.randint(
        12, vocab, (length,), generator=torch.Generator().manual_seed(length)).tolist())
        for length in (1, 7, 33, 70)]
    golden = {"case": folder.name, "made_with": "model/tiny/training/export.py, float64",
              "prompts": prompts}
    (folder / "golden.json").write_text(json.dumps(golden) + "\n")


def double(model: Falcon) -> Falcon:
    """The model as it is stored (half precision where not quantised), computing in float64."""
    copy = Falcon(model.shape)
    copy.load_state_dict(model.state_dict())
    quantized = {name + ".weight" for name, _ in copy.linears()}
    for name, parameter in copy.named_parameters():
        if name not in quantized:
            parameter.data = parameter.data.half().float()
    return copy.double().eval()


@torch.no_grad()
def golden_prompt(model: Falcon, ids: list[int], steps: int = 16) -> dict:
    logits = model(torch.tensor([ids]))[0]
    mean = None
    if len(ids) > 1:
        logs = torch.log_softmax(logits[:-1], -1)
        mean = float(logs.gather(1, torch.tensor(ids[1:])[:, None]).mean())
    greedy, margins = [], []
    for _ in range(steps):
        best = torch.topk(model(torch.tensor([ids + greedy]))[0, -1], 2)
        greedy.append(int(best.indices[0]))
        margins.append(float(best.values[0] - best.values[1]))
    return {"ids": ids, "last_logits": logits[-1].tolist(), "mean_logprob": mean,
            "greedy": greedy, "greedy_margin": margins}
