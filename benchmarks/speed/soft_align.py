"""Soft alignment against the n x m x d formulation, PLUS-RNN against bare `nn.LSTM`, and residue masking.

    python -m benchmarks.speed.soft_align

One thread. Time is the median of several calls, contenders in turn; memory is the peak of the resident set over its
level before the call, each contender in a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from benchmarks._results import time_call, write_result
from seqformers import DataCollatorForResidueLanguageModeling, PlusRnnConfig, PlusRnnModel, ProteinTokenizer
from seqformers.modeling.protein.modeling_soft_align import soft_align

WIDTH = 100
PAIRS = 64


def naive(z_a: torch.Tensor, z_b: torch.Tensor) -> torch.Tensor:
    """The formulation of the original code: all differences at once."""
    s = -(z_a[:, :, None] - z_b[:, None]).abs().sum(-1)
    alpha, beta = s.softmax(2), s.softmax(1)
    omega = alpha + beta - alpha * beta
    return (omega * s).sum((1, 2)) / omega.sum((1, 2))


def naive_batch(z_a: torch.Tensor, z_b: torch.Tensor, n: list[int], m: list[int]) -> torch.Tensor:
    """A loop over pairs, as the original has it."""
    return torch.cat([naive(z_a[[i], : n[i]], z_b[[i], : m[i]]) for i in range(len(n))])


CONTENDERS = {"soft_align": soft_align, "differences": naive}


def inputs(length: int, batch: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(2, batch, length, WIDTH, generator=generator)
    return z[0].clone().requires_grad_(), z[1].clone().requires_grad_()


def step(score, *arguments) -> None:
    score(*arguments).sum().backward()


def memory(name: str, length: int) -> None:
    """Print the peak of the resident set in bytes above its level before one forward and backward."""
    torch.set_num_threads(1)
    step(CONTENDERS[name], *inputs(8))  # libraries and kernels loaded
    pair = inputs(length)
    before = _status("VmRSS")
    with open("/proc/self/clear_refs", "w") as file:  # noqa: PTH123 (resets the peak)
        file.write("5")
    step(CONTENDERS[name], *pair)
    print(_status("VmHWM") - before)


def _status(key: str) -> int:
    with open("/proc/self/status") as file:  # noqa: PTH123
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(key))


def _peak(name: str, length: int) -> int:
    # Freed blocks go back to the system at once, so that the resident set is what is in use.
    settings = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}
    command = [sys.executable, "-m", "benchmarks.speed.soft_align", "--memory", name, str(length)]
    done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, check=True)
    return max(int(done.stdout), 65536)  # smaller blocks come from memory the process has already


def alignments() -> dict:
    rows = {}
    for length in (100, 300, 600):
        pair = inputs(length)
        repeats = 5 if length == 600 else 9
        seconds = {
            name: time_call(lambda score=score, pair=pair: step(score, *pair), repeats=repeats)
            for name, score in CONTENDERS.items()
        }
        peaks = {name: _peak(name, length) for name in CONTENDERS}
        rows[str(length)] = {
            "seconds": seconds,
            "peak_bytes": peaks,
            "times_faster": seconds["differences"]["median_cpu_s"] / seconds["soft_align"]["median_cpu_s"],
            "times_less_memory": peaks["differences"] / peaks["soft_align"],
        }
        row = rows[str(length)]
        print(f"L = {length}: {row['times_faster']:.1f} x faster, {row['times_less_memory']:.0f} x less memory")
    return rows


def mixed_batch() -> dict:
    rng = np.random.default_rng(0)
    n, m = rng.integers(50, 301, (2, PAIRS)).tolist()
    z_a, z_b = inputs(300, PAIRS)
    masks = [torch.arange(300) < torch.tensor(lengths)[:, None] for lengths in (n, m)]
    together = time_call(lambda: step(soft_align, z_a, z_b, *masks), repeats=5, warm_up=1)
    apart = time_call(lambda: step(naive_batch, z_a, z_b, n, m), repeats=2, warm_up=1)
    ratio = apart["median_cpu_s"] / together["median_cpu_s"]
    print(f"{PAIRS} pairs of 50 to 300 residues in one call: {ratio:.1f} x faster than one by one")
    return {"pairs": PAIRS, "lengths": [50, 300], "one_call": together, "one_by_one": apart, "times_faster": ratio}


@torch.no_grad()
def encoder() -> dict:
    """Forward of PLUS-RNN base, 8 proteins of 100 to 300 residues, beside its LSTM alone on the same packed input."""
    torch.manual_seed(0)
    model = PlusRnnModel(PlusRnnConfig(), add_projection=False).eval()
    lengths = torch.randint(102, 303, (8,))
    ids = torch.randint(1, 21, (8, int(lengths.max())))
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
    packed = pack_padded_sequence(model.embeddings(ids), lengths, batch_first=True, enforce_sorted=False)
    rnn: nn.LSTM = model.rnn
    calls = (lambda: model(ids, mask), lambda: rnn(packed))
    rounds = [[time_call(call, repeats=1, warm_up=0)["median_cpu_s"] for call in calls] for _ in range(8)][1:]
    ours, bare = np.median(rounds, axis=0).tolist()
    print(f"PLUS-RNN base: {ours:.3f} s, bare LSTM {bare:.3f} s, {ours / bare:.3f} x")
    return {"model_cpu_s": ours, "lstm_cpu_s": bare, "ratio": ours / bare, "rounds": len(rounds)}


def masking() -> dict:
    rng = np.random.default_rng(0)
    lengths = rng.integers(50, 600, 256)
    proteins = [{"sequence": "".join(rng.choice(list("ARNDCQEGHILKMFPSTWYV"), n))} for n in lengths]
    rows = {}
    for preset in ("plus", "plus-tfm", "tape"):
        tokenizer = ProteinTokenizer(preset, model_max_length=10_000)
        collate = DataCollatorForResidueLanguageModeling(tokenizer, seed=0)
        batch = collate._padded(proteins)
        calls = {"masking": partial(collate.mask, **batch), "sequences to batch": partial(collate, proteins)}
        for what, call in calls.items():
            seconds = time_call(call, repeats=15)
            rate = float(lengths.sum()) / seconds["median_cpu_s"] / 1e6
            rows[f"{preset}, {what}"] = {**seconds, "million_residues_per_s": rate}
            print(f"{preset}, {what}: {rate:.0f} million residues/s")
    return rows


def main() -> None:
    torch.set_num_threads(1)
    result = {
        "width": WIDTH,
        "threads": 1,
        "alignment_forward_backward": alignments(),
        "mixed_lengths": mixed_batch(),
        "plus_rnn_base_forward": encoder(),
        "residue_masking": masking(),
    }
    print(write_result("speed_soft_align", result, data="random numbers and proteins", seeds=[0]))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--memory"]:
        memory(sys.argv[2], int(sys.argv[3]))
    else:
        main()
