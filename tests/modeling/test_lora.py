"""PEFT's LoRA on every family: it takes the layers that `docs/families.md` names, which learn alone."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from seqformers._families import FAMILIES, Family
from tests.conftest import ROOT
from tests.modeling.test_families import BY_TYPE, answer, batch_of, has_loss, make

peft = pytest.importorskip("peft", reason="peft is in the dev extra")


ROWS = [line for line in (ROOT / "docs" / "families.md").read_text(encoding="utf-8").splitlines() if line[:3] == "| `"]
TARGETS = {line.split("`")[1]: re.findall("`(.+?)`", line.strip("|").rpartition("|")[2]) for line in ROWS}


def head_with_loss(family: Family) -> str:
    case = BY_TYPE[family.model_type]
    heads = [head for head in dict.fromkeys(family.models.values()) if has_loss(case, batch_of(family, head))]
    return next((head for head in heads if head.endswith("SequenceClassification")), heads[0])


def adapted(family: Family, head: str, targets: list[str]) -> Any:
    return peft.get_peft_model(make(family, head), peft.LoraConfig(r=2, lora_alpha=4, target_modules=targets))


@pytest.mark.parametrize("family", FAMILIES, ids=[family.model_type for family in FAMILIES])
def test_adapters_learn_alone_and_come_back(family: Family, tmp_path) -> None:
    targets, head = TARGETS[family.model_type], head_with_loss(family)
    if not targets:
        with pytest.raises(ValueError, match="Target"):
            adapted(family, head, ["embeddings"])
        return
    model, batch = adapted(family, head, targets), batch_of(family, head)
    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert learning and all("lora_" in name for name in learning)
    before = {name: value.clone() for name, value in model.state_dict().items() if "lora_" not in name}
    optimizer = torch.optim.SGD([value for value in model.parameters() if value.requires_grad], lr=1.0)
    for _ in range(2):  # the second matrix of an adapter starts at zero, so the first learns from the second step on
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items() if name in before)
    model.save_pretrained(tmp_path)
    assert all("lora_" in name for name in load_file(tmp_path / "adapter_model.safetensors"))
    unlabelled = BY_TYPE[family.model_type].unlabelled(batch)
    changed = answer(model, unlabelled)
    assert not torch.equal(changed, answer(make(family, head), unlabelled)), "no adapter reaches the answer"
    again = peft.PeftModel.from_pretrained(make(family, head), tmp_path).eval()
    assert torch.equal(changed, answer(again, unlabelled))
    assert torch.allclose(changed, answer(again.merge_and_unload(), unlabelled), atol=1e-4, rtol=1e-3)
