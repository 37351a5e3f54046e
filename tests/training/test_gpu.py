"""What only a GPU can show: the fast step's losses there, and that nothing in it waits for the device."""

from __future__ import annotations

import pytest
import torch

from tests.training.test_fast_steps import batches, models, train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"),
]


def on_gpu(found):
    return [{name: value.cuda() for name, value in batch.items()} for batch in found]


def test_losses_agree_step_by_step():
    """In fp32 to 1e-3 over twelve steps, the plain way on the CPU."""
    plain, fast = models()
    wanted = train(plain, batches(12))
    assert train(fast.cuda(), on_gpu(batches(12, places=True))) == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_no_step_waits_for_the_device(attention):
    _, fast = models(attn_implementation=attention)
    fast.cuda()
    optimizer = torch.optim.AdamW(fast.parameters(), lr=1e-3, fused=True)
    found = on_gpu(batches(3, places=True))
    for number, batch in enumerate(found):
        torch.cuda.set_sync_debug_mode("error" if number else "default")  # the first step sets things up
        try:
            with torch.autocast("cuda", torch.bfloat16):
                loss = fast(**batch, num_items_in_batch=(batch["labels"] != -100).sum()).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(fast.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert torch.isfinite(loss)


def test_packed_rows_agree_with_flex_attention():
    plain, fast = models(attn_implementation="flex_attention")
    plain.config._attn_implementation = "sdpa"
    ids = torch.randint(5, 69, (2, 128), device="cuda")
    labels = torch.where(torch.rand(2, 128, device="cuda") < 0.3, ids, -100)
    positions = torch.cat([torch.arange(28), torch.arange(100)]).expand(2, -1).cuda()
    losses = [model.cuda()(ids, position_ids=positions, labels=labels).loss.item() for model in (plain, fast)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
