"""The scripts in `examples/`, each in a process of its own in which seqformers cannot be imported."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from huggingface_hub import HfApi

from seqformers import KmerBertConfig, KmerBertForMaskedLM, KmerBertForSequenceClassification, KmerTokenizer
from seqformers.hub.push import push_to_hub
from seqformers.hub.repository import write_model_repository
from tests.conftest import ROOT
from tests.hub.forks import Finished, Forks
from tests.hub.loopback import LoopbackHub

SCRIPTS = sorted((ROOT / "examples").glob("*.py"))
CARD = "---\nlicense: apache-2.0\ntags: [seqformers, dna]\n---\n# Tiny\n"
TINY = {
    "k": 3,
    "initializer_range": 0.15,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
MASKED, CLASSIFIER, DATA = "loopback/masked", "loopback/classifier", "loopback/reads"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two models as repositories; the masked one in its portable form too."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models")
    config, tokenizer = KmerBertConfig(**TINY), KmerTokenizer(k=3)
    masked = KmerBertForMaskedLM(config)
    write_model_repository(folder / "masked", masked, tokenizer=tokenizer, card=CARD)
    masked.export_portable(folder / "masked" / "portable", tokenizer)
    config = KmerBertConfig(**TINY, id2label={0: "host", 1: "phage"})
    write_model_repository(
        folder / "classifier", KmerBertForSequenceClassification(config), tokenizer=tokenizer, card=CARD
    )
    return folder


@pytest.fixture
def run(hub: LoopbackHub, folders: Path, forks: Forks, tmp_path: Path) -> Callable[..., Finished]:
    """Runs an example against a Hub that holds two models and a data set."""
    push_to_hub(folders / "masked", MASKED)
    push_to_hub(folders / "classifier", CLASSIFIER)
    generator = torch.Generator().manual_seed(0)
    letters = torch.randint(0, 4, (96, 40), generator=generator)
    letters[48:, ::2] = 0  # phages are rich in A
    rows = {"sequence": ["".join("ACGT"[i] for i in row) for row in letters], "label": [0] * 48 + [1] * 48}
    features = Features({"sequence": Value("large_string"), "label": ClassLabel(names=["host", "phage"])})
    data = Dataset.from_dict(rows, features=features).shuffle(seed=0)
    DatasetDict({"train": data.select(range(64)), "test": data.select(range(64, 96))}).push_to_hub(DATA)

    def run(name: str, *arguments: str) -> Finished:
        done = forks.run(ROOT / "examples" / f"{name}.py", *arguments, folder=tmp_path)
        assert done.code == 0, done.stderr[-3000:]
        return done

    return run


def last_number(text: str) -> float:
    return float(re.findall(r"[-+\d.e]+$", text.strip())[-1])


def test_finetune_with_trainer(run: Callable[..., Finished], tmp_path: Path):
    done = run("finetune_with_trainer", MASKED, DATA, str(tmp_path / "out"))
    assert last_number(done.stdout) > 0.9
    again = KmerBertForSequenceClassification.from_pretrained(tmp_path / "out")
    assert again.config.id2label == {0: "host", 1: "phage"}


def test_load_without_package(run: Callable[..., Finished], hub: LoopbackHub):
    files = hub.files(MASKED)
    assert files["portable/model.safetensors"] == files["model.safetensors"]  # so they are sent and stored once
    assert len({path for method, path in hub.log if method == "PUT"}) == 4  # two models, two splits of the data
    done = run("load_without_package", MASKED)
    assert "KmerBertForMaskedLM: (2, 25, 69)" in done.stdout and "\nBertForMaskedLM: (2, 25, 69)" in done.stdout
    assert last_number(done.stdout) < 1e-5


def test_lora_with_peft(run: Callable[..., Finished], hub: LoopbackHub):
    pytest.importorskip("peft", reason="peft is in the dev extra")
    done = run("lora_with_peft", CLASSIFIER, DATA, "loopback/adapter")
    losses = [float(line.split()[1]) for line in done.stdout.splitlines() if re.match(r"\d+ ", line)]
    assert losses[-1] < 0.7 * losses[0]
    assert "same after loading: True" in done.stdout
    assert len(hub.files("loopback/adapter")["adapter_model.safetensors"]) < 50_000


def test_stream_dataset(run: Callable[..., Finished]):
    done = run("stream_dataset", MASKED, DATA)
    assert "classes: ['host', 'phage']" in done.stdout and "(16, 40)" in done.stdout and "rows: 64" in done.stdout


def test_pipelines(run: Callable[..., Finished]):
    lines = run("pipelines", MASKED, CLASSIFIER).stdout.splitlines()
    assert len(re.findall(r"fill-mask: [ACGT]{3} 0\.\d+", "\n".join(lines))) == 3
    assert sum("'host'" in line and "'phage'" in line for line in lines) == 2
    assert lines[-1] == "feature-extraction: (1, 25, 32)"


def test_trainer_push_to_hub(run: Callable[..., Finished], hub: LoopbackHub):
    done = run("trainer_push_to_hub", MASKED, DATA, "loopback/tuned")
    assert "['KmerBertForSequenceClassification']" in done.stdout
    files = hub.files("loopback/tuned")
    assert "model.safetensors" in files and not [path for path in files if path.endswith(".bin")]
    assert {"modeling_kmer_bert.py", "tokenization_kmer.py", "tokenization_arrays.py"} <= set(files)
    assert [model.id for model in HfApi().list_models(filter="dna", search="tuned")] == ["loopback/tuned"]


def test_onnx_export(run: Callable[..., Finished], tmp_path: Path):
    pytest.importorskip("onnxruntime", reason="onnxruntime is in the dev extra")
    pytest.importorskip("onnxscript", reason="onnxscript is in the dev extra")
    assert last_number(run("onnx_export", CLASSIFIER, str(tmp_path / "onnx")).stdout) < 1e-5


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_examples_are_short_and_tested(script: Path):
    assert len(script.read_text().splitlines()) < 40
    assert f"def test_{script.stem}(" in Path(__file__).read_text()
    assert "seqformers" not in re.sub(r'""".*?"""', "", script.read_text(), flags=re.DOTALL)
