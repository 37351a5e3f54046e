"""Recipes of virBERT: the values of the thesis and its scripts, and two steps of each in small."""

from __future__ import annotations

import gc
import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks.recipe_lists import laid_over, main, read_list
from benchmarks.tables import virbert_trials
from seqformers.datasets import build_dataset
from seqformers.training import run
from seqformers.training.recipe import load_recipe
from tests.conftest import ROOT
from tests.training.conftest import sequences, write_split

FOLDER = ROOT / "benchmarks" / "recipes" / "virbert"
LISTS = {name: read_list(FOLDER / "lists" / f"{name}.yaml") for name in ("arms", "finetune", "trials")}
IN_SMALL = ("pretrain", "finetune-150", "finetune-1000", "scratch-150", "scratch-1000", "tune-150")
PRETRAINING = ("virbert", "mask8", "stride3", "dnabert-3", "dnabert-4", "dnabert-5", "dnabert-6")

# k, stride, places, shortest, longest, centre probability, span, second rate, peak rate, warm-up, eval every,
# sequences of a step by device, devices and accumulation
FULL = {
    "virbert": (6, 1, 512, 6, 510, 0.025, None, (0.5, 0.03333334), 4e-4, 10000, 500, (50, 8, 5)),
    "mask8": (6, 1, 512, 36, 510, 0.01875, 8, None, 1e-3, 20000, 2000, (50, 8, 5)),
    "stride3": (6, 3, 340, 36, 1000, 0.05, 3, None, 1e-3, 20000, 2000, (100, 5, 4)),
    "dnabert-3": (3, 1, 512, 3, 512, 0.05, None, (100000, 0.0666667), 4e-4, 10000, 500, (50, 8, 5)),
    "dnabert-4": (4, 1, 512, 4, 513, 0.0375, None, (100000, 0.05), 4e-4, 10000, 500, (50, 8, 5)),
    "dnabert-5": (5, 1, 512, 5, 514, 0.03, None, (100000, 0.04), 4e-4, 10000, 500, (50, 8, 5)),
    "dnabert-6": (6, 1, 512, 6, 515, 0.025, None, (100000, 0.0333333), 4e-4, 10000, 500, (50, 8, 5)),
}
# Longest input in tokens, batch a device, rate, epochs, warm-up, dropout, weight decay.
FINE = {
    "virbert-150-0.1": (147, 256, 1.6e-5, 5, 0.2, 0.1, 1),
    "virbert-150-0.01": (147, 256, 1.6e-5, 4, 0.2, 0.1, 0.1),
    "virbert-150-0.001": (147, 256, 1.6e-5, 4, 0.2, 0.1, 0.1),
    "virbert-1000-0.1": (1024, 32, 1.6e-5, 4, 0.2, 0.1, 0.01),
    "virbert-1000-0.01": (1024, 32, 1.6e-5, 4, 0.25, 0.1, 1),
    "virbert-1000-0.001": (1024, 32, 1.6e-5, 4, 0.2, 0.1, 0.1),
    "virbert-150-1-frozen": (147, 256, 2e-5, 4, 0.25, 0.1, 0.01),
    "virbert-1000-1-frozen": (1024, 32, 2e-5, 4, 0.25, 0.1, 0.01),
    "mask8-150-0.1": (147, 256, 2e-5, 4, 0.2, 0.1, 0.1),
    "mask8-150-0.01": (147, 256, 3e-5, 4, 0.3, 0.12, 0.01),
    "mask8-150-0.001": (147, 256, 2e-5, 5, 0.2, 0.1, 1),
    "mask8-1000-0.1": (1024, 32, 1.6e-5, 4, 0.25, 0.1, 0.01),
    "mask8-1000-0.01": (1024, 32, 1.6e-5, 4, 0.25, 0.1, 1),
    "mask8-1000-0.001": (1024, 32, 1.6e-5, 4, 0.2, 0.1, 0.1),
    "mask8-150-1-frozen": (147, 256, 2e-5, 4, 0.25, 0.1, 0.01),
    "mask8-1000-1-frozen": (1024, 32, 2e-5, 4, 0.25, 0.1, 0.01),
    "stride3-150-0.1": (51, 256, 3e-5, 4, 0.2, 0.1, 0.1),
    "stride3-150-0.01": (51, 256, 3e-5, 4, 0.2, 0.1, 0.1),
    "stride3-150-0.001": (51, 256, 3e-5, 5, 0.2, 0.1, 0.1),
    "stride3-1000-0.1": (334, 64, 1.8e-5, 4, 0.4, 0.1, 0.01),
    "stride3-1000-0.01": (334, 64, 1.8e-5, 4, 0.4, 0.1, 0.01),
    "stride3-1000-0.001": (334, 64, 1.8e-5, 4, 0.4, 0.1, 0.01),
    "stride3-150-1-frozen": (51, 256, 2e-5, 4, 0.25, 0.1, 0.01),
    "stride3-1000-1-frozen": (334, 64, 2e-5, 4, 0.2, 0.1, 0.01),
    "dnabert-6-150-1": (147, 256, 2e-5, 4, 0.1, 0.1, 0.01),
    "dnabert-6-1000-1": (1024, 32, 2e-5, 4, 0.1, 0.1, 0.01),
    "supervised-150-0.1": (147, 256, 2e-5, 4, 0.2, 0.1, 1),
    "supervised-150-0.01": (147, 256, 2e-5, 4, 0.2, 0.15, 1),
    "supervised-150-0.001": (147, 256, 2e-5, 4, 0.2, 0.15, 1),
    "supervised-1000-0.1": (1024, 32, 2e-5, 4, 0.2, 0.1, 0.01),
    "supervised-1000-0.01": (1024, 32, 2e-5, 4, 0.25, 0.1, 1),
    "supervised-1000-0.001": (1024, 32, 1.6e-5, 4, 0.2, 0.1, 1),
}
# What a trial changes: peak rate, warm-up, weight decay, centre probability, span, shortest, longest, ratio, bias,
# stride, places; None where it is the base's.
BASE = (4e-4, 500, 0.01, 0.025, None, 6, 510, 2.0, 0.5, 1, 512)
FIELDS = ("rate", "warmup", "decay", "p", "span", "shortest", "longest", "ratio", "bias", "stride", "places")
V9, V10 = {"shortest": 36}, {"shortest": 36, "longest": 1000, "ratio": 5.0}
V7, V8 = {"shortest": 12, "longest": 1518, "ratio": 8.0}, {"shortest": 12, "longest": 3030, "ratio": 17.0}
M8, M10, M11 = {"p": 0.01875, "span": 8}, {"p": 0.015, "span": 10}, {"p": 0.013636364, "span": 11}
S3, S6 = {"p": 0.05, "span": 3, "stride": 3}, {"p": 0.15, "span": 1, "stride": 6}
P20, FAST = {"p": 0.03333334}, {"rate": 1e-3}
TRIALS = {
    "base": {}, "random": {}, "1": P20, "2": {"rate": 6e-4}, "3": {"rate": 3e-4}, "4": P20 | {"warmup": 1000},
    "5": {"decay": 0.001}, "6": {"p": 0.025, "span": 8}, "7": M8 | {"rate": 6e-4}, "8": {"shortest": 12},
    "9": {"shortest": 12, "ratio": 3.0}, "10": S3 | {"shortest": 12, "longest": 1518}, "11": S3 | V7,
    "12": {"rate": 6e-4}, "13": FAST, "14": {"p": 0.025, "span": 8, "rate": 6e-4},
    "15": M10 | {"rate": 6e-4, "shortest": 12}, "16": S6 | V8, "17": S3 | V7 | FAST, "18": S6 | V8 | FAST,
    "19": M8 | FAST | V9, "20": M10 | FAST | V9, "21": M11 | FAST | V9, "22": {"p": 0.01666667} | FAST | V9,
    "23": M8 | V9 | {"rate": 5e-3}, "24": M8 | V9 | {"rate": 1e-2}, "25": S3 | V10 | FAST,
    "26": M8 | V9 | {"rate": 2e-3}, "27": M8 | FAST | {"shortest": 36, "ratio": 3.0},
    "28": S3 | V9 | FAST | {"places": 175},
    "29": S3 | V9 | FAST, "30": M8 | V9 | FAST | {"warmup": 1000}, "31": S3 | V10 | FAST | {"places": 340},
    "32": M8 | V9 | FAST | {"bias": 0.3}, "33": S3 | V10 | FAST | {"places": 340, "bias": 0.3},
    "34": S3 | V10 | {"places": 340, "rate": 2e-3}, "35": S3 | V10 | FAST | {"places": 340, "warmup": 1000},
    "36": S3 | V10 | {"places": 340, "rate": 5e-3},
}  # fmt: skip


@pytest.mark.parametrize("name", PRETRAINING)
def test_full_runs_are_those_of_the_thesis(name):
    recipe = load_recipe(FOLDER / f"{name}.yaml")
    k, stride, places, lower, upper, p, span, then, rate, warmup, every, batch = FULL[name]
    training, masking = recipe.training, recipe.masking
    assert recipe.tokenizer == {"type": "KmerTokenizer", "k": k, "stride": stride}
    assert recipe.model.preset == "base" and recipe.model.config["max_position_embeddings"] == places
    assert recipe.data.reads["length"] == {"lower": lower, "upper": upper, "bias": 0.5}
    assert (masking["legacy"], masking["mlm_probability"], masking.get("span")) == ("dnabert", p, span)
    change = masking.get("then")
    assert change == (then and {"at": then[0], "mlm_probability": then[1]})
    assert (training["learning_rate"], training["warmup_steps"], training["max_steps"]) == (rate, warmup, 200_000)
    assert training["eval_steps"] == training["save_steps"] == every
    devices = int(re.search(r"--num_processes (\d+)", (FOLDER / f"{name}.yaml").read_text())[1])
    assert (training["per_device_train_batch_size"], devices, training["gradient_accumulation_steps"]) == batch
    assert np.prod(batch) == 2000
    optimizer = ("adam_beta1", "adam_beta2", "adam_epsilon", "weight_decay", "max_grad_norm")
    assert [training[key] for key in optimizer] == [0.9, 0.98, 1e-6, 0.01, 1.0]
    dropout = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
    assert dropout.items() <= recipe.model.config.items() and recipe.seeds == [42]


def test_fine_tuning_is_that_of_the_thesis():
    assert LISTS["finetune"].keys() == FINE.keys()
    for name, (tokens, batch, rate, epochs, warmup, dropout, decay) in FINE.items():
        recipe = load_recipe(LISTS["finetune"][name]["recipe"])
        training, model = recipe.training, recipe.model
        start, length, fraction = re.fullmatch(r"(.+)-(150|1000)-([\d.]+)(?:-frozen)?", name).groups()
        assert training["per_device_train_batch_size"] == batch and training["learning_rate"] == rate
        assert (training["num_train_epochs"], training["warmup_steps"]) == (epochs, warmup)
        assert training["weight_decay"] == decay and model.config["hidden_dropout_prob"] == dropout
        assert model.from_ == (None if start == "supervised" else f"runs/{start}")
        assert model.freeze == name.endswith("frozen")
        assert recipe.data.path == f"data/reads-{length}" + ("" if fraction == "1" else f"-{fraction}")
        # 147 = 145 6-mers and two; 51 and 334: stride 3 and one place more than it needs; 1024: two chunks of 512.
        stride = 3 if start == "stride3" else 1
        needs = (int(length) - 6) // stride + 3
        assert model.config.get("max_chunks", 1) == (2 if tokens == 1024 else 1)
        assert needs == tokens or tokens in (51, 334, 1024)


@pytest.mark.parametrize("name", TRIALS)
def test_trials_are_those_of_the_thesis(name):
    recipe = load_recipe(laid_over(LISTS["trials"][name]["recipe"], {"data": {"data_dir": "genomes"}}))
    expected = dict(zip(FIELDS, BASE, strict=True)) | TRIALS[name]
    training, masking, options = recipe.training, recipe.masking, recipe.data.options
    found = {
        "rate": training["learning_rate"], "warmup": training["warmup_steps"], "decay": training["weight_decay"],
        "p": masking["mlm_probability"], "span": masking.get("span"), "shortest": options["shortest"],
        "longest": options["longest"], "ratio": options["ratio"], "bias": options["bias"],
        "stride": recipe.tokenizer["stride"], "places": recipe.model.config["max_position_embeddings"],
    }  # fmt: skip
    assert found == expected
    assert options.get("cut", True) == (name != "27")
    assert masking.get("then") == ({"at": 7000, "mlm_probability": 0.03333334} if name == "12" else None)
    assert (recipe.model.preset, training["max_steps"]) == ("small", 10_000)
    assert training["per_device_train_batch_size"] * training["gradient_accumulation_steps"] == 2000


def test_the_search_is_that_of_the_thesis():
    tune = load_recipe(FOLDER / "tune-150.yaml").tune
    assert tune.space == {
        "training.learning_rate": {"low": 5e-6, "high": 4e-4, "log": True},
        "training.per_device_train_batch_size": {"choices": [32, 64, 128, 256]},
        "training.warmup_steps": {"choices": [0.05, 0.10, 0.15, 0.20]},
        "training.weight_decay": {"choices": [10.0, 1.0, 0.1, 0.01, 0.001]},
        "model.config.hidden_dropout_prob": {"choices": [0.1, 0.2, 0.3, 0.4]},
    }
    assert (tune.metric, tune.n_trials, tune.startup_trials, tune.patience) == ("accuracy", 50, 3, 2)


def _spelled_out(text: str) -> list[str]:
    """`a-{b,c}` as `a-b` and `a-c`."""
    found = re.search(r"\{([^{}]+)\}", text)
    if found is None:
        return [text]
    return [one for word in found[1].split(",") for one in _spelled_out(text.replace(found[0], word, 1))]


def test_commands_of_the_page_name_what_there_is():
    text = (ROOT / "benchmarks" / "tables" / "virbert_commands.md").read_text(encoding="utf-8")
    quoted = [one for part in re.findall(r"`([^`]+)`", text) for one in _spelled_out(part)]
    paths = {word for part in quoted for word in part.split() if re.match(r"(benchmarks|tests)/", word)}
    assert len(paths) > 10 and [path for path in paths if not (ROOT / path).exists()] == []
    modules = {part for part in re.findall(r"python -m (benchmarks[\w.]+)", text)}
    assert len(modules) > 5 and all((ROOT / f"{name.replace('.', '/')}.py").is_file() for name in modules)
    named = {part for part in quoted if re.fullmatch(r"[\w-]+-(150|1000)-[\d.]+(-frozen)?", part)}
    assert named == {name for name in FINE}


def test_every_trial_is_in_one_figure():
    names = [name for figure in virbert_trials.FIGURES.values() for name in figure]
    assert sorted(names) == sorted(LISTS["trials"]) == sorted(TRIALS)


# -- two steps -------------------------------------------------------------------------------------------------------

TINY = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
STEPS = {
    "training": {
        "max_steps": 2, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 1, "warmup_steps": 1,
        "logging_steps": 1, "save_strategy": "no", "eval_strategy": "no", "load_best_model_at_end": False,
        "use_cpu": True, "bf16": False,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> dict[str, Path]:
    """Genomes of two classes as arrays, and rows of three lengths."""
    folder, rng = tmp_path_factory.mktemp("virbert"), np.random.default_rng(0)
    texts, labels = sequences(8, rng, low=1300, high=1500)
    for number, (text, label) in enumerate(zip(texts, labels, strict=True)):
        path = folder / "in" / ("virus", "phage")[label] / f"{number}.fa"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f">c\n{text}\n")
    for name, length in (("pieces", 400), ("reads-150", 150), ("reads-1000", 1000)):
        texts, labels = sequences(8, rng, low=length, high=length + 1)
        for split in ("train", "test"):
            write_split(folder / name, split, {"sequence": texts, "label": labels})
    options = {"groups": "none", "split_fractions": [1.0, 0.0, 0.0]}
    build_dataset("genomes", output=folder / "genomes", data_dir=folder / "in", **options)
    return {name: folder / name for name in ("genomes", "pieces", "reads-150", "reads-1000")}


@pytest.fixture(scope="module", autouse=True)
def old_objects_left_alone():
    """Every end of a training collects garbage, which takes longer than two steps; what is older is not looked at."""
    gc.freeze()
    yield
    gc.unfreeze()


def _two_steps(recipe, folder, config=TINY):
    small = laid_over(recipe, STEPS | {"model": {"config": config}})
    made = run.Run.prepare(load_recipe(small), folder / "run")
    model = made.make_model(0)
    before = [value.clone() for value in model.parameters()]
    trainer = made.make_trainer(0, folder, model)
    assert np.isfinite(trainer.train().training_loss)
    moved = {name for (name, new), old in zip(model.named_parameters(), before, strict=True) if (new != old).any()}
    assert moved
    return moved


@pytest.mark.parametrize("name", PRETRAINING)
def test_two_steps_of_a_full_run(name, data, tmp_path):
    recipe = laid_over(load_recipe(FOLDER / f"{name}.yaml").to_dict(), {"data": {"path": str(data["genomes"])}})
    recipe["data"]["reads"] |= {"per_epoch": 16, "validation": 2, "test": 2}
    _two_steps(recipe, tmp_path)


@pytest.mark.parametrize("name", IN_SMALL)
def test_two_steps_of_a_run_for_two_cores(name, data, tmp_path):
    recipe = load_recipe(FOLDER / f"{name}.yaml").to_dict()
    rows = "pieces" if name == "pretrain" else "reads-1000" if "1000" in name else "reads-150"
    recipe = laid_over(recipe, {"model": {"from": None}, "data": {"path": str(data[rows])}, "tune": None})
    recipe["tokenizer"] = {"type": "KmerTokenizer", "k": 6, "stride": 3}
    _two_steps(recipe | {"baselines": {"names": []}}, tmp_path)


@pytest.mark.parametrize("name", [name for name in TRIALS if name != "random"])
def test_two_steps_of_a_trial(name, data, tmp_path):
    recipe = LISTS["trials"][name]["recipe"]
    recipe = recipe | {"data": {"path": str(data["pieces"])}}
    _two_steps(recipe, tmp_path)


@pytest.mark.parametrize("name", FINE)
def test_two_steps_of_fine_tuning(name, data, tmp_path):
    recipe = laid_over(LISTS["finetune"][name]["recipe"], {"model": {"from": None, "preset": "base"}})
    stride = 3 if name.startswith("stride3") else 1
    recipe["data"]["path"] = str(data["reads-1000" if "1000" in name else "reads-150"])
    recipe["tokenizer"] = {"type": "KmerTokenizer", "k": 6, "stride": stride}
    recipe["baselines"] = {"names": []}
    moved = _two_steps(recipe, tmp_path)
    assert any(name.startswith("bert.") for name in moved) != name.endswith("frozen")


@pytest.mark.parametrize("name", [name for name in LISTS["arms"] if name not in ("random", "bpe")])
def test_two_steps_of_an_arm(name, data, tmp_path):
    """`random` takes none, and `bpe` is `stride3` with learnt words (tests/training/test_learnt_tokens.py)."""
    recipe = laid_over(LISTS["arms"][name]["recipe"], {"data": {"path": str(data["genomes"])}})
    recipe["data"]["reads"] |= {"per_epoch": 16, "validation": 2, "test": 2}
    tiny = {
        "kmer_bert": TINY,
        "self_genomenet": {"num_filters": 8, "lstm_size": 8},
        "coding_profile": {"word_length": 2, "num_gaps": 0, "hidden_size": 8},
    }
    _two_steps(recipe, tmp_path, tiny[recipe["model"]["type"]])


def test_what_two_cores_do_of_a_trial():
    recipe = virbert_trials.on_two_cores(LISTS["trials"]["12"]["recipe"])
    steps = virbert_trials.CPU_STEPS
    assert recipe["training"]["max_steps"] == steps and recipe["training"]["warmup_steps"] == steps // 20
    assert recipe["masking"]["then"]["at"] == round(0.7 * steps)
    load_recipe(laid_over(recipe, {"data": {"data_dir": "genomes"}}))
    load_recipe(laid_over(virbert_trials.PROBE, virbert_trials.CPU_PROBE))


def test_overrides_in_the_comments_are_read():
    for path in [*(FOLDER / f"{name}.yaml" for name in PRETRAINING), FOLDER / "lists" / "finetune.yaml"]:
        lines = [
            line.removeprefix("#").split("(")[0] for line in path.read_text().splitlines() if line.startswith("#")
        ]
        words = [word for line in lines for word in line.split() if re.fullmatch(r"[a-z_]+\.[\w.]+=\S+", word)]
        words = [word for word in words if not word.startswith("data.path")]
        assert len(words) >= 4
        source = path if path.parent == FOLDER else LISTS["finetune"]["virbert-150-0.1"]["recipe"]
        assert load_recipe(source, words).training["max_steps"] == 200


def test_a_run_of_a_list_comes_out_as_a_recipe(capsys, monkeypatch, tmp_path):
    listed = str(FOLDER / "lists" / "finetune.yaml")
    monkeypatch.setattr("sys.argv", ["recipe_lists", listed, "mask8-150-0.01"])
    main()
    path = tmp_path / "recipe.yaml"
    path.write_text(capsys.readouterr().out)
    assert load_recipe(path).training["learning_rate"] == 3e-5
    monkeypatch.setattr("sys.argv", ["recipe_lists", listed])
    main()
    assert len(capsys.readouterr().out.splitlines()) == len(FINE)
    monkeypatch.setattr("sys.argv", ["recipe_lists", listed, "mask9"])
    with pytest.raises(SystemExit, match="no run 'mask9'"):
        main()
