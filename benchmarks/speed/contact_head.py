"""The bilinear contact head against TAPE's on pairwise features, forward and backward, one thread.

python -m benchmarks.speed.contact_head
"""

from __future__ import annotations

import os
import subprocess
import sys

os.environ["OMP_NUM_THREADS"] = "1"

import torch

from benchmarks._results import time_call, write_result
from benchmarks.speed.soft_align import _status
from seqformers import ProteinBertConfig
from seqformers.modeling.protein.modeling_protein_heads import ProteinContactHead

WIDTH = 768


def contenders() -> dict:
    torch.manual_seed(0)
    head = ProteinContactHead(ProteinBertConfig(contact_dropout=0.0))
    linear = torch.nn.Linear(2 * WIDTH, 2)

    def pairwise(hidden: torch.Tensor) -> torch.Tensor:
        i, j = hidden[:, :, None], hidden[:, None]
        logits = linear(torch.cat([i * j, i - j], -1))
        return (logits + logits.transpose(1, 2)) / 2

    return {"bilinear": head, "pairwise": pairwise}


def step(head, hidden: torch.Tensor) -> None:
    head(hidden).square().sum().backward()


def hidden_states(length: int) -> torch.Tensor:
    return torch.randn(1, length, WIDTH, generator=torch.Generator().manual_seed(0)).requires_grad_()


def memory(name: str, length: int) -> None:
    torch.set_num_threads(1)
    head = contenders()[name]
    step(head, hidden_states(8))
    hidden = hidden_states(length)
    before = _status("VmRSS")
    with open("/proc/self/clear_refs", "w") as file:  # noqa: PTH123 (resets the peak)
        file.write("5")
    step(head, hidden)
    print(_status("VmHWM") - before)


def main() -> None:
    torch.set_num_threads(1)
    settings = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}
    rows = {}
    for length in (128, 256):
        hidden = hidden_states(length)
        seconds, peaks = {}, {}
        for name, head in contenders().items():
            seconds[name] = time_call(lambda head=head, hidden=hidden: step(head, hidden), repeats=5, warm_up=1)
            command = [sys.executable, "-m", "benchmarks.speed.contact_head", "--memory", name, str(length)]
            run = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, check=True)
            peaks[name] = int(run.stdout)
        rows[str(length)] = {
            "seconds": seconds,
            "peak_bytes": peaks,
            "times_faster": seconds["pairwise"]["median_cpu_s"] / seconds["bilinear"]["median_cpu_s"],
            "times_less_memory": peaks["pairwise"] / peaks["bilinear"],
        }
        row = rows[str(length)]
        print(f"L = {length}: {row['times_faster']:.0f} x faster, {row['times_less_memory']:.0f} x less memory")
    result = {"width": WIDTH, "threads": 1, "lengths": rows}
    print(write_result("speed_contact_head", result, data="random numbers", seeds=[0]))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--memory"]:
        memory(sys.argv[2], int(sys.argv[3]))
    else:
        main()
