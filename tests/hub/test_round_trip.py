"""Every family and every builder goes to the loopback Hub and comes back the same, at home and at a stranger's."""

from __future__ import annotations

import hashlib
import json
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from datasets import ClassLabel, Dataset, Features, List, Value, load_dataset
from huggingface_hub import DatasetCard, HfApi, ModelCard

import seqformers
from seqformers._families import FAMILIES, Family
from seqformers.datasets import DATASETS, build_dataset, builder_class, push_dataset
from seqformers.hub.cards import render_model_card
from seqformers.hub.push import PushResult, push_to_hub
from seqformers.hub.repository import write_model_repository
from tests.hub.forks import Forks
from tests.hub.loopback import LoopbackHub
from tests.hub.store import card_errors
from tests.modeling.family_cases import CASES

HEADS = [(family, head) for family in FAMILIES for head in dict.fromkeys(family.models.values())]
# Tiny sizes; what a configuration has no field for is left out.
SIZES = {
    "k": 3,
    "embedding_size": 8,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "projection_size": 8,
    "classifier_hidden_size": 8,
    "max_position_embeddings": 64,
}
every_head = pytest.mark.parametrize(("family", "head"), HEADS, ids=[head for _, head in HEADS])


def tiny(family: Family, head: str) -> Any:
    config_class = getattr(seqformers, family.config)
    case = next((case for case in CASES if case.model_type == family.model_type), None)
    sizes = case.config if case else {key: size for key, size in SIZES.items() if hasattr(config_class(), key)}
    return getattr(seqformers, head)(config_class(**sizes))


def reader(family: Family, model: Any) -> dict[str, Any]:
    """The tokenizer or processor that goes with a family, as `write_model_repository` takes it."""
    if family.processor:
        return {"processor": getattr(seqformers, family.processor)()}
    if not family.tokenizer:
        return {}
    module, _, name = family.tokenizer.partition(":")
    arguments = {"k": model.config.k} if hasattr(model.config, "k") else {}
    return {"tokenizer": getattr(import_module(module), name)(**arguments)}


def digest(model: Any) -> str:
    """A hash of all weights and buffers; tied ones count once, under every name."""
    hashed = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        hashed.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return hashed.hexdigest()


def push(family: Family, head: str, folder: Path) -> tuple[Any, PushResult]:
    torch.manual_seed(0)
    model = tiny(family, head)
    facts = {"name": f"tiny {head}", "license": "apache-2.0", "summary": "A test."}
    card = render_model_card(family.model_type, facts)
    write_model_repository(folder, model, card=card, **reader(family, model))
    return model, push_to_hub(folder, f"loopback/{head}")


@every_head
def test_a_model_comes_back_with_the_package(family: Family, head: str, hub: LoopbackHub, tmp_path: Path):
    model, pushed = push(family, head, tmp_path)
    for auto, name in family.models.items():
        if not hasattr(transformers, auto):
            continue
        # No prompt, no remote code. Heads of different shape may share names, as in the families of transformers.
        again = getattr(transformers, auto).from_pretrained(pushed.repo_id, ignore_mismatched_sizes=name != head)
        assert type(again) is getattr(seqformers, name)
        if name == head:
            assert digest(again) == digest(model)
    files = hub.files(pushed.repo_id)
    assert {Path(path).suffix for path in files} <= {"", ".md", ".json", ".safetensors", ".py", ".txt"}
    assert not card_errors(files["README.md"].decode(), "model")
    assert ModelCard(files["README.md"].decode()).data.license == "apache-2.0"
    assert [found.id for found in HfApi().list_models(filter="seqformers")] == [pushed.repo_id]
    scope: dict[str, Any] = {}
    exec(pushed.snippet, scope)
    assert digest(scope["model"]) == digest(model)


_STRANGER = """
import hashlib, json, sys
import transformers
from transformers.dynamic_module_utils import get_class_from_dynamic_module
found = {}
for head, (autos, kind, sample) in json.load(open(sys.argv[1])).items():
    repo = f"loopback/{head}"
    found[head] = {}
    for auto, name in autos.items():
        if hasattr(transformers, auto):
            model = getattr(transformers, auto).from_pretrained(
                repo, trust_remote_code=True, ignore_mismatched_sizes=name != head
            )
        else:
            config = transformers.AutoConfig.from_pretrained(repo, trust_remote_code=True)
            model = get_class_from_dynamic_module(config.auto_map[auto], repo).from_pretrained(
                repo, ignore_mismatched_sizes=name != head
            )
        assert type(model).__module__.startswith("transformers_modules."), type(model)
        hashed = hashlib.sha256()
        for key, tensor in sorted(model.state_dict().items()):
            hashed.update(key.encode() + tensor.contiguous().numpy().tobytes())
        found[head][auto] = [type(model).__name__, hashed.hexdigest()]
    if kind:
        reader = getattr(transformers, kind).from_pretrained(repo, trust_remote_code=True)
        found[head]["read"] = reader(sample).input_ids if kind == "AutoTokenizer" else type(reader).__name__
json.dump(found, open(sys.argv[2], "w"))
"""


def test_a_stranger_loads_every_head_from_every_repository(hub: LoopbackHub, forks: Forks, tmp_path: Path):
    asked, expected = {}, {}
    for family, head in HEADS:
        model, _ = push(family, head, tmp_path / head)
        kind = "AutoProcessor" if family.processor else "AutoTokenizer" if family.tokenizer else None
        sample = "ACGTTGCAACGTGACG"
        asked[head] = [family.models, kind, sample]
        tokenizer = reader(family, model).get("tokenizer")
        expected[head] = (digest(model), tokenizer(sample).input_ids if tokenizer else family.processor)
    (tmp_path / "asked.json").write_text(json.dumps(asked))
    (tmp_path / "stranger.py").write_text(_STRANGER)
    done = forks.run(tmp_path / "stranger.py", str(tmp_path / "asked.json"), "found.json", folder=tmp_path)
    assert done.code == 0, done.stderr[-3000:]
    found = json.loads((tmp_path / "found.json").read_text())
    for family, head in HEADS:
        weights, read = expected[head]
        for auto, name in family.models.items():
            assert found[head][auto][0] == name
            assert name != head or found[head][auto][1] == weights, f"{head} came back with other weights"
        if "read" in found[head]:
            assert found[head]["read"] == read


def _is_here(builder: str) -> bool:
    try:
        return find_spec(builder.partition(":")[0]) is not None
    except ModuleNotFoundError:
        return False


def some_value(feature: Any, number: int) -> Any:
    """A value that fits a feature, another one for every number."""
    if isinstance(feature, ClassLabel):
        return number % feature.num_classes
    if isinstance(feature, List):
        return [some_value(feature.feature, number + i) for i in range(3)]
    if isinstance(feature, dict):
        return {name: some_value(inner, number) for name, inner in feature.items()}
    assert isinstance(feature, Value), feature
    if "string" in feature.dtype:
        return "ACGT"[number % 4] * 8
    return bool(number % 2) if feature.dtype == "bool" else number / 2 if "float" in feature.dtype else number


@pytest.mark.parametrize("name", [name for name, where in DATASETS.items() if _is_here(where)])
def test_every_configuration_of_a_builder_keeps_its_columns_and_classes(name: str, hub: LoopbackHub, tmp_path: Path):
    cls = builder_class(name)
    repo = f"loopback/{name}"
    template = Path(str(import_module(cls.__module__).__file__)).with_name("README.md").read_text(encoding="utf-8")
    assert not card_errors(template, "dataset") and DatasetCard(template).data.license
    features: dict[str, Features] = {}
    for config in cls.BUILDER_CONFIGS:
        features[config.name] = cls(config_name=config.name, cache_dir=str(tmp_path / "cache")).info.features
        if features[config.name] is None:
            pytest.skip(f"{name} knows its columns only from the data")
        rows = [{key: some_value(kind, i) for key, kind in features[config.name].items()} for i in range(6)]
        folder = tmp_path / config.name
        (folder / config.name).mkdir(parents=True)
        data = Dataset.from_list(rows, features=features[config.name])
        data.to_parquet(folder / config.name / "train-00000-of-00001.parquet")
        card = DatasetCard(template)
        card.data.configs = [{"config_name": config.name, "data_files": f"{config.name}/train-*.parquet"}]
        (folder / "README.md").write_text(str(card), encoding="utf-8")
        push_dataset(folder, repo)
    for config, expected in features.items():
        loaded = load_dataset(repo, config, split="train")
        assert loaded.features == expected and loaded.num_rows == 6
    stream = load_dataset(repo, config, split="train", streaming=True)
    assert next(iter(stream)).keys() == expected.keys()
    assert not [path for path in hub.files(repo, "dataset") if path.endswith(".py")]


def test_a_real_build_goes_up_and_comes_back(hub: LoopbackHub, tmp_path: Path):
    proteins = "".join(f">PF{i % 3:05d}_{i}/1-30 PF{i % 3:05d}\n{'ACDEFGHIKL'[i % 10] * 30}\n" for i in range(30))
    (tmp_path / "proteins.fasta").write_text(proteins)
    build_dataset(
        "pfam",
        "sequences",
        output=tmp_path / "built",
        data_dir=tmp_path / "proteins.fasta",
        push_to_hub="loopback/pfam",
        private=True,
        family_from="description",
        validation_fraction=0,
        test_fraction=0,
    )
    info = HfApi().dataset_info("loopback/pfam")
    assert info.private and not card_errors(hub.files("loopback/pfam", "dataset")["README.md"].decode(), "dataset")
    at_home = load_dataset(str(tmp_path / "built"), split="train")
    loaded = load_dataset("loopback/pfam", "sequences", split="train")
    assert loaded.num_rows == 30 and loaded.to_list() == at_home.to_list()
