"""Stock `save_pretrained`, `push_to_hub` and `Trainer(push_to_hub=True)` of our classes: what they write loads."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertModel, Trainer, TrainingArguments

import seqformers
from seqformers._families import FAMILIES, Family
from tests.hub.forks import Forks
from tests.hub.loopback import LoopbackHub
from tests.hub.test_round_trip import reader
from tests.modeling.family_cases import CASES

BY_TYPE = {case.model_type: case for case in CASES}
# What a stranger, who cannot import seqformers, loads from a folder or repository, and what comes out of it.
STRANGER = """
import json, sys
import torch, transformers
where, autos, reader, batch = json.loads(sys.argv[1])
batch = {name: torch.tensor(value) for name, value in batch.items()}
found = {}
for auto in autos:
    model = getattr(transformers, auto).from_pretrained(where, trust_remote_code=True).eval()
    assert type(model).__module__.startswith("transformers_modules"), type(model)
    with torch.no_grad():
        found[auto] = [type(model).__name__, float(model(**batch)[0].double().sum())]
if reader:
    encoder = getattr(transformers, reader).from_pretrained(where, trust_remote_code=True)
    found[reader] = type(encoder).__name__
print(json.dumps(found))
"""


def a_model(family: Family) -> tuple[str, Any, dict[str, Any]]:
    """Auto class, a fresh model of the last head that an Auto class of transformers loads, and a batch for it."""
    case = BY_TYPE[family.model_type]
    auto, head = [item for item in family.models.items() if hasattr(__import__("transformers"), item[0])][-1]
    torch.manual_seed(0)
    values = case.config | case.head_config.get(head, {})
    model = getattr(seqformers, head)(getattr(seqformers, family.config)(**values)).eval()
    return auto, model, case.unlabelled(case.batch(head, 0))


def seen_by_a_stranger(
    where: str, autos: list[str], read_by: str | None, batch: dict[str, Any], forks: Forks, folder: Path
) -> dict[str, Any]:
    script = folder / "stranger.py"
    script.write_text(STRANGER)
    job = json.dumps([where, autos, read_by, {name: value.tolist() for name, value in batch.items()}])
    done = forks.run(script, job, folder=folder, HF_MODULES_CACHE=str(folder / "modules"))
    assert done.code == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_type)
def test_a_plain_push_of_a_new_model_is_complete(
    family: Family, hub: LoopbackHub, forks: Forks, tmp_path: Path
) -> None:
    auto, model, batch = a_model(family)
    repo = f"loopback/{family.model_type}"
    model.push_to_hub(repo)
    encoder = next(iter(reader(family, model).values()))
    encoder.push_to_hub(repo)
    files = hub.files(repo)
    assert json.loads(files["config.json"])["auto_map"] == family.auto_map()
    read_by = "AutoTokenizer" if family.tokenizer else "AutoProcessor"
    first = next(iter(family.models))
    found = seen_by_a_stranger(repo, [auto, *({first} - {auto})], read_by, batch, forks, tmp_path)
    with torch.no_grad():
        expected = float(model(**batch)[0].double().sum())
    assert found[auto][0] == type(model).__name__ and found[auto][1] == pytest.approx(expected, abs=1e-4)
    assert found[first][0] == family.models[first] and found[read_by] == type(encoder).__name__


def test_stock_trainer_pushes_what_a_stranger_loads(hub: LoopbackHub, forks: Forks, tmp_path: Path) -> None:
    family = FAMILIES[0]
    head = "KmerBertForSequenceClassification"
    case = BY_TYPE[family.model_type]
    torch.manual_seed(0)
    model = seqformers.KmerBertForSequenceClassification(seqformers.KmerBertConfig(**case.config))
    batch = case.batch("KmerBertForMaskedLM", 0)
    batch["labels"] = torch.tensor([0, 1, 1, 0])
    rows = [{name: value[row] for name, value in batch.items()} for row in range(4)]
    arguments = TrainingArguments(
        str(tmp_path / "out"), max_steps=1, report_to=[], use_cpu=True, disable_tqdm=True, save_strategy="no",
        push_to_hub=True, hub_model_id="loopback/trained",
    )  # fmt: skip
    tokenizer = seqformers.KmerTokenizer(k=3)
    Trainer(model, arguments, train_dataset=rows, processing_class=tokenizer).push_to_hub(blocking=True)
    files = hub.files("loopback/trained")
    assert {"modeling_kmer_bert.py", "modeling_dna_heads.py", "tokenization_kmer.py", "portable.py"} <= files.keys()
    plain = case.unlabelled(batch)
    auto = "AutoModelForSequenceClassification"
    found = seen_by_a_stranger("loopback/trained", [auto], "AutoTokenizer", plain, forks, tmp_path)
    with torch.no_grad():
        expected = float(model.eval()(**plain).logits.double().sum())
    assert found[auto][0] == head and found[auto][1] == pytest.approx(expected, abs=1e-4)
    assert found["AutoTokenizer"] == "KmerTokenizer"


def test_every_class_names_its_auto_class() -> None:
    for family in FAMILIES:
        assert getattr(seqformers, family.config)._auto_class == "AutoConfig"
        for name in family.models.values():
            assert family.models[getattr(seqformers, name)._auto_class] == name
        if family.processor:
            assert getattr(seqformers, family.processor)._auto_class == "AutoProcessor"
    assert seqformers.KmerTokenizer._auto_class == seqformers.ProteinTokenizer._auto_class == "AutoTokenizer"


@pytest.mark.parametrize("head", ["KmerBertForMaskedLM", "ProteinBertForMaskedLM"])
def test_the_portable_form_and_stock_classes_carry_no_code(head: str, tmp_path: Path) -> None:
    family = next(family for family in FAMILIES if head in family.models.values())
    config = getattr(seqformers, family.config)(**BY_TYPE[family.model_type].config)
    model = getattr(seqformers, head)(config)
    model.export_portable(tmp_path, next(iter(reader(family, model).values())))
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert "auto_map" not in json.loads((tmp_path / "config.json").read_text())
    assert BertModel._auto_class is None and BertConfig._auto_class is None


@pytest.mark.skipif(os.name != "posix", reason="file modes of POSIX")
def test_weights_can_be_read_by_whoever_reads_the_configuration(tmp_path: Path) -> None:
    from seqformers.hub.repository import write_model_repository

    model = seqformers.KmerBertForMaskedLM(seqformers.KmerBertConfig(**BY_TYPE["kmer_bert"].config))
    before = os.umask(0o022)
    try:
        write_model_repository(tmp_path / "run", model)
        model.export_portable(tmp_path / "portable")
    finally:
        os.umask(before)
    for folder in ("run", "portable"):
        assert (tmp_path / folder / "model.safetensors").stat().st_mode & 0o777 == 0o644
