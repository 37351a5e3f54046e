"""Models whose weights are spread over two processes (FSDP2, `fully_shard`) learn as one process does."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from seqformers import KmerBertConfig, KmerBertForMaskedLM

STEPS, ROWS, LENGTH = 4, 8, 20


def tiny():
    torch.manual_seed(0)
    config = KmerBertConfig(
        k=2, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=32, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    return KmerBertForMaskedLM(config).train()


def batches():
    """As many hidden tokens in every row, so that the mean over two halves is the mean over all."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(STEPS):
        ids = torch.randint(5, 21, (ROWS, LENGTH), generator=generator)
        labels = torch.where(torch.arange(LENGTH) % 4 == 0, ids, -100)
        yield {"input_ids": torch.where(labels == -100, ids, 4), "labels": labels}


def losses(model, share=slice(None), reduced=lambda loss: loss):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    found = []
    for batch in batches():
        loss = model(**{name: rows[share] for name, rows in batch.items()}).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        found.append(float(reduced(loss.detach().clone())))
    return found


def worker(rank, port):
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    dist.init_process_group("gloo", init_method=f"file://{port}", rank=rank, world_size=2)
    model = tiny()
    mesh = init_device_mesh("cpu", (2,))
    for layer in model.bert.encoder.layer:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)

    def mean(loss):
        dist.all_reduce(loss)
        return loss / 2

    half = ROWS // 2
    found = losses(model, slice(rank * half, (rank + 1) * half), mean)
    whole = {
        name: tensor.full_tensor() for name, tensor in model.state_dict().items() if hasattr(tensor, "full_tensor")
    }
    if rank == 0:
        print(repr((found, float(sum(tensor.abs().sum() for tensor in whole.values())))))
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_with_half_the_weights_each_learn_as_one(tmp_path):
    model = tiny()
    one = losses(model)
    code = "import sys; from tests.training.test_fully_sharded import worker; worker(int(sys.argv[1]), sys.argv[2])"
    words = [[sys.executable, "-c", code, str(rank), str(tmp_path / "meet")] for rank in range(2)]
    runs = [subprocess.Popen(word, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for word in words]
    answers = [run.communicate(timeout=200) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], answers[0][1][-3000:] + answers[1][1][-3000:]
    two, weights = eval(answers[0][0])
    assert two == pytest.approx(one, rel=1e-5)
    assert weights == pytest.approx(float(sum(tensor.abs().sum() for tensor in model.state_dict().values())), rel=1e-3)
