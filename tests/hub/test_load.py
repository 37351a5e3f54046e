"""Loading a model: what does not fit is one line that names file and field, never another answer."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from seqformers import KmerBertConfig, KmerBertForSequenceClassification, KmerTokenizer
from seqformers.hub.load import PACKAGED, load_model, model_folder, packaged_model
from seqformers.hub.repository import write_model_repository

HEAD = "AutoModelForSequenceClassification"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    torch.manual_seed(0)
    config = KmerBertConfig(
        k=3, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, read_length=40
    )
    model = KmerBertForSequenceClassification(config)
    return write_model_repository(tmp_path_factory.mktemp("run"), model, tokenizer=KmerTokenizer(k=3))


@pytest.fixture
def run(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "run")


def change(path, **fields):
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_a_run_is_loaded_whole(run):
    loaded = load_model(run, HEAD, device="cpu")
    assert type(loaded.model).__name__ == "KmerBertForSequenceClassification" and not loaded.model.training
    assert (loaded.encoder.k, loaded.config.read_length, loaded.folder) == (3, 40, run)
    assert type(load_model(run, None).model) is type(loaded.model)
    assert type(load_model(run).model).__name__ == "KmerBertModel"


@pytest.mark.parametrize(("name", "family"), PACKAGED.items())
def test_packaged_models_go_by_name(name, family, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert model_folder(name) == packaged_model(name)
    assert load_model(name, family=family).config.model_type == family
    if family == "coding_profile":  # of DNA, which every verb takes
        assert load_model(name).encoder.k == 1
        return
    if family == "protein_cnn":  # an encoder like any other: what is fine-tuned from it goes with predict
        assert type(load_model(name).model).__name__ == "ProteinCnnModel"
        return
    with pytest.raises(ValueError, match="with a command of its own: seqformers"):
        load_model(name)


def test_another_family_is_refused(run):
    with pytest.raises(ValueError, match="is a kmer_bert model; scan-targets needs a targetnet model"):
        load_model(run, family="targetnet")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_hidden_layers": -3}, r"config\.json: num_hidden_layers is -3"),
        ({"read_length": "150"}, r"config\.json: read_length is '150'"),
        ({"hidden_size": True}, r"config\.json: hidden_size is True"),
        ({"model_type": None}, r"config\.json: model_type is None"),
        ({"model_type": "kmer_brt"}, r"config\.json: model_type 'kmer_brt' is known neither"),
        ({"auto_map": None}, r"config\.json: auto_map is None"),
        ({"hidden_act": 3}, r"config\.json: .*hidden_act"),
        ({"num_hidden_layers": 3}, r"model\.safetensors lacks bert\.encoder\.layer\.2"),
        ({"num_hidden_layers": 1}, r"model\.safetensors holds bert\.encoder\.layer\.1"),
        ({"hidden_size": 8}, r"model\.safetensors: .* has shape \[16\], but config\.json makes it \[8\]"),
        (
            {"stride": 2},
            r"tokenizer_config\.json: the tokenizer has token_step=1, the model's",
        ),
    ],
)
def test_a_configuration_that_does_not_fit(run, fields, message, capfd):
    change(run / "config.json", **fields)
    with pytest.raises(ValueError, match=message) as error:
        load_model(run, HEAD)
    assert "\n" not in str(error.value) and capfd.readouterr() == ("", "")


@pytest.mark.parametrize("text", ["[]", "{", "", '"kmer_bert"', "\xff"])
@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_files_that_are_no_json_objects_are_named(run, name, text):
    (run / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=name) as error:
        load_model(run, HEAD)
    assert "\n" not in str(error.value)


def test_missing_files_are_named(run):
    for path in [*run.glob("tokenizer*"), run / "vocab.txt"]:
        path.unlink()
    with pytest.raises(ValueError, match=r"tokenizer_config\.json is missing"):
        load_model(run, HEAD)
    (run / "config.json").unlink()
    with pytest.raises(ValueError, match=r"not a run folder: it holds no config\.json"):
        load_model(run, HEAD)


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_torn_weights_are_named(run, share):
    path = run / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"model\.safetensors cannot be read"):
        load_model(run, HEAD)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_named(run, value):
    weights = load_file(run / "model.safetensors")
    weights["classifier.weight"][0, 0] = value
    save_file(weights, run / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"model\.safetensors: classifier\.weight holds values that are no numbers"):
        load_model(run, HEAD)


def test_the_fingerprint_tells_weights_and_settings_apart(run):
    before = load_model(run, HEAD).fingerprint
    (run / "README.md").write_text("a card decides nothing")
    assert load_model(run, HEAD).fingerprint == before
    change(run / "config.json", read_length=30)
    assert load_model(run, HEAD).fingerprint != before
