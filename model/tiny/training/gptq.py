"""GPTQ (Frantar et al., 2022): weights to whole numbers, one column after another.

Each column's rounding error is taken over by the columns that are still to come, weighed by the
inverse Hessian of the layer's output error, H = 2 X Xᵀ. Act-order takes the columns by falling
diagonal of H, so groups are scattered over the inputs. Symmetric, as AutoGPTQ does it.
Knows nothing of files (`export.py`).
"""

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor

from falcon import Falcon, Linear

DAMPING = 0.1


@dataclass
class Quantized:
    """A matrix of k inputs and n outputs: W[i, o] = scales[g_idx[i], o] · (q[i, o] - zero)."""

    q: Tensor  # (k, n), 0 to 2^bits - 1
    scales: Tensor  # (groups, n), half precision
    g_idx: Tensor  # (k,)
    bits: int

    def weight(self) -> Tensor:
        """(n, k) in float32, as PyTorch keeps it."""
        zero = 2 ** (self.bits - 1)
        return (self.scales.float()[self.g_idx] * (self.q - zero).float()).T.contiguous()


def quantize(weight: Tensor, hessian: Tensor, bits: int, group: int) -> Quantized:
    """`weight` (n, k) and the Hessian (k, k) of its inputs."""
    matrix, h = weight.double().clone(), hessian.double().clone()
    outputs, inputs = matrix.shape
    dead = h.diagonal() == 0
    h.diagonal()[dead] = 1
    matrix[:, dead] = 0
    order = torch.argsort(h.diagonal(), descending=True, stable=True)
    matrix, h = matrix[:, order], h[order][:, order]
    h.diagonal().add_(DAMPING * h.diagonal().mean())
    inverse = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(h)), upper=True)

    top, zero = 2**bits - 1, 2 ** (bits - 1)
    numbers = torch.zeros_like(matrix)
    scales = []
    for start in range(0, inputs, group):
        end = min(start + group, inputs)
        largest = matrix[:, start:end].abs().amax(1).clamp(min=1e-8)
        scale = (2 * largest / top).half().double().clamp(min=2.0**-24)
        scales.append(scale.half())
        errors = torch.zeros(outputs, end - start, dtype=torch.double, device=matrix.device)
        for i in range(start, end):
            column = matrix[:, i]
            number = torch.clamp(torch.round(column / scale) + zero, 0, top)
            error = (column - scale * (number - zero)) / inverse[i, i]
            matrix[:, i:end] -= torch.outer(error, inverse[i, i:end])
            numbers[:, i], errors[:, i - start] = number, error
        matrix[:, end:] -= errors @ inverse[start:end, end:]

    back = torch.argsort(order)
    g_idx = (torch.arange(inputs, device=order.device) // group)[back]
    return Quantized(numbers[:, back].T.to(torch.int32).contiguous(), torch.stack(scales),
                     g_idx.to(torch.int32), bits)


@torch.no_grad()
def hessians(model: Falcon, batches: list[Tensor], names: list[str]) -> dict[str, Tensor]:
    """2 X Xᵀ / n of the inputs of the named matrices, over batches of ids (rows, length)."""
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = {}

    def watch(name: str):
        def hook(_module, inputs, _output):
            x = inputs[0].reshape(-1, inputs[0].shape[-1]).double()
            product = x.T @ x
            sums[name] = sums[name] + product if name in sums else product
            counts[name] = counts.get(name, 0) + x.shape[0]
        return hook

    modules = dict(model.linears())
    handles = [modules[name].register_forward_hook(watch(name)) for name in names]
    for ids in batches:
        model(ids)
    for handle in handles:
        handle.remove()
    return {name: 2 * sums[name] / counts[name] for name in names}


@torch.no_grad()
def quantize_model(model: Falcon, batches: list[Tensor], bits: int, group: int
                   ) -> dict[str, Quantized]:
    """All matrices, in place and one after another: each sees what those before it lost."""
    model.eval()
    done: dict[str, Quantized] = {}
    for name, module in model.linears():
        hessian = hessians(model, batches, [name])[name]
        done[name] = quantize(module.weight.data, hessian, bits, group)
        module.weight.data.copy_(done[name].weight())
    return done


@torch.no_grad()
def rehearse(model: Falcon, batches: list[Tensor]) -> None:
    """From now on the model trains with the rounding that GPTQ's groups will bring."""
    twin = deepcopy(model).eval()  # hooks on a compiled model would have it compiled again
    for name, hessian in hessians(twin, batches, [name for name, _ in twin.linears()]).items():
        module: Linear = model.get_submodule(name)
        module.order.copy_(torch.argsort(hessian.diagonal(), descending=True, stable=True))
        module.rehearsal.fill_(1.0)
