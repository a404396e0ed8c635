"""Makes claire-tiny from nothing: text, tokenizer, training, GPTQ, files, figures.

    python3 train.py --out DIR                      on a GPU, about five minutes
    python3 train.py --out DIR --conversations 2000 --seconds 20 --batch 4 --layers 1    a trial

Training is planned by time, not by steps: the learning rate falls to nothing as `--seconds` runs
out. Writes into DIR: float.safetensors (before quantisation), claire-tiny.tar (the model's folder
and a golden case), report.json, report.txt (also printed).
"""

import argparse
import json
import math
import os
import shutil
import tarfile
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor

from corpus import Corpus
from evaluate import PROMPTS, held_back_loss, perplexity, sample
from export import write_folder, write_golden, write_json
from falcon import Falcon, Shape
from gptq import quantize_model, rehearse
from tokens import END, train_tokenizer

HELD_BACK_SEED = 10**9
started = time.time()
lines: list[str] = []


def say(text: str) -> None:
    lines.append(f"[{time.time() - started:6.1f} s] {text}")
    print(lines[-1], flush=True)


def flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--conversations", type=int, default=700_000)
    parser.add_argument("--held-back", type=int, default=2000)
    parser.add_argument("--vocab", type=int, default=2240)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--heads", type=int, default=5, help="hidden size is 64 times as much")
    parser.add_argument("--group", type=int, default=128)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--batch", type=int, default=128, help="rows of a step")
    parser.add_argument("--seconds", type=float, default=210, help="of training")
    parser.add_argument("--rate", type=float, default=3e-3, help="highest learning rate")
    parser.add_argument("--decay", type=float, default=0.1, help="weight decay")
    parser.add_argument("--rehearse", type=float, default=0.6,
                        help="part of the time after which weights are rounded while training")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--from-float", type=Path, help="skip training: quantise these weights")
    return parser.parse_args()


def write_texts(seeds: range) -> list[str]:
    corpus = Corpus()
    return [corpus.conversation(seed) for seed in seeds]


def write_ids(job: tuple[range, str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All ids in a row, each text ended; the texts' lengths; and their hashes."""
    seeds, tokenizer_path = job
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    tokenizer = Tokenizer.from_file(tokenizer_path)
    texts = write_texts(seeds)
    rows = [[*tokenizer.encode(text).ids, END] for text in texts]
    return (np.fromiter((token for row in rows for token in row), np.int16),
            np.array([len(row) for row in rows]), np.array([hash(text) for text in texts]))


def chunks(first: int, count: int, workers: int) -> list[range]:
    step = max(1, min(5000, -(-count // workers)))
    return [range(start, min(start + step, first + count))
            for start in range(first, first + count, step)]


def in_parallel(function, jobs: list, workers: int) -> list:
    with get_context("fork").Pool(workers) as pool:
        return pool.map(function, jobs, 1)


def make_texts(first: int, count: int, workers: int) -> list[str]:
    """Conversations of the seeds from `first` on."""
    return sum(in_parallel(write_texts, chunks(first, count, workers), workers), [])


def make_ids(first: int, count: int, workers: int, tokenizer_path: Path):
    """The same as ids; where each begins; and the texts' hashes."""
    jobs = [(seeds, str(tokenizer_path)) for seeds in chunks(first, count, workers)]
    parts, lengths, hashes = map(np.concatenate, zip(*in_parallel(write_ids, jobs, workers)))
    return parts, np.concatenate([[0], np.cumsum(lengths)[:-1]]), hashes


def blur(ids: Tensor, tokenizer: Tokenizer, vocab: int) -> Tensor:
    """(rows, n): some words of some first turns give way to others, as strangers' words will.

    Tags stay, so that names can be copied from them. What is to be predicted stays as it is.
    """
    newline, bracket, close = map(tokenizer.token_to_id, ("Ċ", "[", ":]"))
    place = torch.arange(ids.shape[1], device=ids.device)
    first = ((ids == newline).cumsum(1) == 0) & (place > 0) & (place < 40)
    tagged = ids[:, :1] == bracket
    untagged = (~tagged | ((ids == close).cumsum(1) > 0)) & (ids != close)
    rows = torch.rand(len(ids), 1, device=ids.device) < 0.4
    picked = first & untagged & rows & (torch.rand(ids.shape, device=ids.device) < 0.12)
    return torch.where(picked, torch.randint_like(ids, END + 1, vocab), ids)


def train(model: Falcon, data: Tensor, starts: Tensor, tokenizer: Tokenizer,
          options: argparse.Namespace) -> dict:
    """Rows begin where a conversation begins, as prompts will."""
    device = data.device
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": options.decay},
         {"params": vectors, "weight_decay": 0.0}],
        lr=options.rate, betas=(0.9, 0.95),
        fused=device.type == "cuda")
    starts = starts[starts < len(data) - options.context - 1]
    window = torch.arange(options.context + 1, device=device)
    use_bf16 = device.type == "cuda"

    def loss_of(ids: Tensor, wanted: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=use_bf16):
            logits = model(ids)
        return F.cross_entropy(logits.flatten(0, 1).float(), wanted.flatten())

    def draw_rows(count: int) -> tuple[Tensor, Tensor]:
        picked = starts[torch.randint(len(starts), (count,), device=device)]
        rows = data[picked[:, None] + window].long()
        return blur(rows[:, :-1], tokenizer, options.vocab), rows[:, 1:].contiguous()

    step_of = loss_of
    if not options.no_compile:
        try:
            compiled = torch.compile(loss_of)
            compiled(*draw_rows(options.batch)).backward()
            step_of = compiled
        except Exception as error:  # no compiler, say: slower, but it trains
            say(f"not compiled: {type(error).__name__}: {str(error)[:200]}")
        optimizer.zero_grad(set_to_none=True)
    say("training begins")
    begun, step, smooth, rehearsing = time.time(), 0, None, False
    while True:
        done = (time.time() - begun) / options.seconds
        if done >= 1:
            break
        if done >= options.rehearse and not rehearsing:
            rehearsing = True
            rehearse(model, [draw_rows(32)[0] for _ in range(8)])
            say("rehearsal of rounding begins")
        rate = options.rate * min(1, (step + 1) / 200) * (1 - done if done > 0.2 else 0.8) / 0.8
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = step_of(*draw_rows(options.batch))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 20 == 0:
            value = loss.item()  # also keeps the clock honest: waits for the device
            smooth = value if smooth is None else 0.8 * smooth + 0.2 * value
            if step % 400 == 0:
                tokens = (step + 1) * options.batch * options.context
                say(f"step {step}, {tokens / 1e6:.0f} M tokens, loss {smooth:.4f}")
            if not math.isfinite(value):
                raise RuntimeError(f"the loss is {value} at step {step}")
        step += 1
    tokens = step * options.batch * options.context
    say(f"{step} steps, {tokens / 1e6:.0f} M tokens, loss {smooth:.4f}")
    return {"steps": step, "tokens": tokens, "last_loss": smooth}


def compare_with_transformers(model: Falcon) -> None:
    """Our Falcon against Hugging Face's, where that is installed."""
    try:
        from transformers import FalconConfig, FalconForCausalLM
        from falcon import config
        theirs = FalconForCausalLM(FalconConfig(**config(model.shape))).eval()
        state = {name: tensor.float().cpu() for name, tensor in model.state_dict().items()}
        theirs.load_state_dict(state, strict=False)
        theirs.tie_weights()
        ours = Falcon(model.shape)
        ours.load_state_dict(state)
        ids = torch.randint(12, model.shape.vocab, (2, 50))
        with torch.no_grad():
            difference = (theirs(ids).logits - ours.eval()(ids)).abs().max().item()
        say(f"largest difference from transformers' logits: {difference:.2e}")
    except Exception as error:
        say(f"not compared with transformers: {type(error).__name__}: {str(error)[:200]}")


def main() -> None:
    options = flags()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(options.seed)
    torch.set_float32_matmul_precision("high")
    count = options.conversations if options.from_float is None else 20_000
    first, workers = options.seed * 10_000_000, options.workers
    folder = options.out / "claire-tiny"
    folder.mkdir(exist_ok=True)
    tokenizer_path = folder / "tokenizer.json"
    if options.from_float is None:
        texts = make_texts(first, min(count, 60_000), workers)
        say(f"{len(texts)} conversations, {sum(map(len, texts)) / 1e6:.1f} M characters")
        tokenizer = train_tokenizer(texts, options.vocab)
        del texts
    else:
        tokenizer = Tokenizer.from_file(str(options.from_float.parent / "tokenizer.json"))
    tokenizer.save(str(tokenizer_path))
    (options.out / "tokenizer.json").write_bytes(tokenizer_path.read_bytes())
    say("tokenizer trained")
    ids, starts, hashes = make_ids(first, count, workers, tokenizer_path)
    say(f"{count} conversations, {len(np.unique(hashes)) / count:.2%} differ, "
        f"{len(ids) / 1e6:.1f} M tokens, {len(ids) / count:.0f} a conversation")
    held_ids, held_starts, held_hashes = make_ids(HELD_BACK_SEED, options.held_back, workers,
                                                  tokenizer_path)
    held = np.split(held_ids.astype(np.int64), held_starts[1:])
    fresh = [row.tolist() for row, new in zip(held, ~np.isin(held_hashes, hashes)) if new]

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = Falcon(Shape(options.vocab, options.layers, options.heads), options.group).to(device)
    parameters = sum(p.numel() for p in model.parameters())
    say(f"{parameters} parameters on {device}")
    data = torch.from_numpy(ids).to(device)
    begins = torch.from_numpy(starts).to(device)
    report: dict = {"parameters": parameters, "options": {k: str(v) for k, v in
                                                          vars(options).items()}}
    if options.from_float is None:
        report.update(train(model.train(), data, begins, tokenizer, options))
        save_file({name: tensor.half().cpu() for name, tensor in model.state_dict().items()},
                  str(options.out / "float.safetensors"))
    else:
        model.load_state_dict({name: tensor.float() for name, tensor in
                               load_file(str(options.from_float)).items()})
    model.eval()
    torch.set_float32_matmul_precision("highest")
    compare_with_transformers(model)

    before = held_back_loss(model, fresh, device)
    say(f"held back ({len(fresh)} conversations): loss {before:.4f}, "
        f"perplexity {perplexity(before):.4f}")
    torch.manual_seed(options.seed)
    window = torch.arange(min(256, options.context), device=device)
    usable = begins[begins < len(data) - 512]
    batches = [data[usable[torch.randint(len(usable), (32,), device=device)][:, None]
                    + window].long() for _ in range(8)]
    write_golden(options.out / "claire-tiny-golden" / "q8-g128-act-trained", model, 512, batches)
    quantized = quantize_model(model, batches, 4, options.group)
    after = held_back_loss(model, fresh, device)
    say(f"after GPTQ: loss {after:.4f}, perplexity {perplexity(after):.4f}, "
        f"{perplexity(after) / perplexity(before) - 1:+.2%}")
    write_folder(folder, model, quantized, 4, options.group)
    write_json(folder / "tokenizer_config.json",
               {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|endoftext|>",
                "eos_token": "<|endoftext|>", "clean_up_tokenization_spaces": False,
                "model_max_length": 2048})
    report.update({"held_back": len(fresh), "loss": before, "perplexity": perplexity(before),
                   "loss_gptq": after, "perplexity_gptq": perplexity(after)})
    write_json(options.out / "report.json", report)
    with tarfile.open(options.out / "claire-tiny.tar", "w") as tar:
        for name in ("claire-tiny", "claire-tiny-golden"):
            tar.add(options.out / name, name)
    for seed, prompt in enumerate(PROMPTS):
        made = sample(model, tokenizer.encode(prompt).ids, 120, seed, device, seed == 0)
        say(f"sample {seed}:\n{prompt}⟶{tokenizer.decode(made)}\n")
    (options.out / "report.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name in ("claire-tiny", "claire-tiny-golden"):
        shutil.rmtree(options.out / name)


if __name__ == "__main__":
    main()
