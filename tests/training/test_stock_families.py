"""Architectures of transformers by name, and repositories laid out as those of published models.

The repositories are tiny and random, with the tokenizers and file names of Nucleotide Transformer, ProtBERT and ESM-C.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tokenizers import Tokenizer, models, processors
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    EsmConfig,
    EsmForMaskedLM,
    PreTrainedTokenizerFast,
)

from seqformers.hub.load import load_model
from seqformers.inference.embed import embed
from seqformers.inference.predict import predict
from seqformers.interpret.explain import explain
from seqformers.tokenization.spaced import read_letter_by_letter
from seqformers.training import finetune, pretrain, probe
from seqformers.training.probing import _at_last_token

SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
PLACES = {"max_position_embeddings": 32}
STOCK: dict[str, dict[str, Any]] = {
    "albert": SIZES | PLACES | {"embedding_size": 8},
    "roberta": SIZES | PLACES,
    "distilbert": {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 32} | PLACES,
    "esm": SIZES | PLACES | {"position_embedding_type": "absolute"},
    "modernbert": SIZES | PLACES,
    "electra": SIZES | PLACES | {"embedding_size": 8},
    "gpt2": {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 32},
    "llama": SIZES | PLACES | {"num_key_value_heads": 2},
}
QUICK = {"per_device_train_batch_size": 8, "max_steps": 1, "use_cpu": True, "report_to": "none"}
PROTEIN, DNA = "ACDEFGHIKLMNPQRSTVWY", "ACGT"


def texts(count: int, length: int, letters: str = DNA, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list(letters), length)) for _ in range(count)]


def table(folder: Path, letters: str = DNA, length: int = 48) -> Path:
    """Rows that are longer than the models have places for."""
    folder.mkdir()
    for seed, split in enumerate(("train", "validation", "test")):
        rows = {"sequence": texts(8, length, letters, seed), "label": np.arange(8) % 2}
        pd.DataFrame(rows).to_parquet(folder / f"{split}.parquet")
    return folder


def fasta(path: Path, letters: str = DNA) -> Path:
    path.write_text("".join(f">s{n}\n{text}\n" for n, text in enumerate(texts(2, 21, letters, 9))))
    return path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", STOCK)
def test_an_architecture_by_name_trains_and_answers(name: str, tmp_path: Path) -> None:
    data = {"path": str(table(tmp_path / "data"))}
    common = {"tokenizer": {"type": "KmerTokenizer", "k": 3}, "training": QUICK, "baselines": {"names": []}}
    model = {"type": name, "config": STOCK[name]}
    start = pretrain({"model": model, "data": data | {"label": None}, **common}, output=tmp_path / "pt")
    common.pop("tokenizer")
    run = finetune({"model": {"type": name, "from": str(start)}, "data": data, **common}, output=tmp_path / "ft")
    sequences = fasta(tmp_path / "a.fa")
    scores = pd.read_csv(predict(run, sequences, tmp_path / "scores.tsv", progress=False), sep="\t")
    assert len(scores) == 2 and scores["score"].between(0, 1).all()
    if name == "llama":
        check_generation(start)
        again = {"model": {"type": name, "from": str(start)}, "data": data, "probe": {"shots": [1]}, **common}
        check_probe(probe(again, output=tmp_path / "probe"))
    if name not in ("albert", "gpt2"):  # one masked and one causal model do
        return
    if name == "gpt2":  # its first token sees nothing but itself
        explain(run, sequences, tmp_path / "seen", plots=0, progress=False)
        assert {"mutations.tsv", "scores.tsv"} <= {path.name for path in (tmp_path / "seen").iterdir()}
        assert not (tmp_path / "seen" / "attention.tsv").exists()
    calls = tmp_path / "calls.vcf"
    first = sequences.read_text().splitlines()[1]
    calls.write_text(f"s0\t20\t.\t{first[19]}\t{'A' if first[19] != 'A' else 'C'}\n")
    explain(start, sequences, tmp_path / "out", methods=["variants"], variants=calls, progress=False)
    assert np.isfinite(pd.read_csv(tmp_path / "out" / "variants.tsv", sep="\t")["score"]).all()


def check_probe(run: Path) -> None:
    """The last layer of a causal model reads the last token that is no padding, and has no bias."""
    loaded = load_model(run, None)
    batch = loaded.encoder(["ACGTTGCA", "TTGGACCAGGAT"], return_tensors="pt", padding=True)
    states = loaded.model.base_model(**batch).last_hidden_state
    chosen = _at_last_token(states.detach().numpy(), batch["input_ids"], loaded.config.pad_token_id)
    assert loaded.model.score.bias is None
    torch.testing.assert_close(loaded.model.score(torch.tensor(chosen)), loaded.model(**batch).logits)
    assert "shots" in json.loads((run / "metrics.json").read_text())["per_seed"][0]


def check_generation(run: Path) -> None:
    """What a causal model writes is the likeliest k-mer after each prefix, read from the whole prefix every time."""
    loaded = load_model(run, None)
    prompt = loaded.encoder(["ACGTTGCA", "TTGGACCA"], return_tensors="pt")["input_ids"][:, :-1]  # without [SEP]
    asked = {"max_new_tokens": 5, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    slow = prompt
    for _ in range(5):
        slow = torch.cat([slow, loaded.model(slow).logits[:, -1:].argmax(-1)], 1)
    assert torch.equal(loaded.model.generate(prompt, attention_mask=torch.ones_like(prompt), **asked), slow)
    assert (loaded.config.bos_token_id, loaded.config.eos_token_id) == (2, 3)  # [CLS], [SEP]: where `generate` stops
    perplexity = json.loads((run / "metrics.json").read_text())["metrics"]["validation"]["perplexity"]["mean"]
    assert 1 < perplexity < 4 * loaded.config.vocab_size


def nucleotide_transformer(folder: Path) -> Path:
    """Its tokenizer: 6-mers side by side (here 3-mers), single letters for what is left; [CLS] alone is added."""
    words = ["<unk>", "<pad>", "<mask>", "<cls>", "<eos>", "<bos>"]
    words += [*map("".join, itertools.product("ATCG", repeat=3)), *"ATCGN"]
    special = {f"{name}_token": f"<{name}>" for name in ("unk", "pad", "mask", "cls")}
    config = {"tokenizer_class": "EsmTokenizer", "model_max_length": 32, "eos_token": None, **special}
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(words))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    sizes = SIZES | {"max_position_embeddings": 34, "position_embedding_type": "absolute", "token_dropout": False}
    EsmForMaskedLM(EsmConfig(vocab_size=len(words), pad_token_id=1, mask_token_id=2, **sizes)).save_pretrained(folder)
    return folder


def prot_bert(folder: Path) -> Path:
    """Its tokenizer: BERT's, whose words are single residues with spaces between."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"LAGVESIKRDTPNQFYMHCWXUBZO"]
    config = {"tokenizer_class": "BertTokenizer", "do_lower_case": False, "model_max_length": 32}
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(words))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    BertForMaskedLM(BertConfig(vocab_size=len(words), **SIZES, **PLACES)).save_pretrained(folder)
    return folder


def esm_c(folder: Path) -> Path:
    """Its tokenizer: one `tokenizer.json` of single residues; the table of the model has room for 64 ids."""
    esmc = pytest.importorskip("transformers.models.esmc")
    words = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO.-", "|", "<mask>"]
    backend = Tokenizer(models.BPE(vocab={word: n for n, word in enumerate(words)}, merges=[], unk_token="<unk>"))
    ends = [("<cls>", 0), ("<eos>", 2)]
    backend.post_processor = processors.TemplateProcessing(single="<cls> $A <eos>", special_tokens=ends)
    special = {f"{name}_token": f"<{name}>" for name in ("cls", "pad", "eos", "unk", "mask")}
    PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=32, **special).save_pretrained(folder)
    esmc.EsmcForMaskedLM(esmc.EsmcConfig(vocab_size=64, **SIZES, **PLACES)).save_pretrained(folder)
    return folder


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("make", "kind", "letters"),
    [(nucleotide_transformer, "esm", DNA), (prot_bert, "bert", PROTEIN), (esm_c, "esmc", PROTEIN)],
)
def test_a_repository_of_a_published_layout_is_embedded_probed_tuned_and_explained(
    make: Any, kind: str, letters: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    source, data = make(tmp_path / "source"), table(tmp_path / "data", letters, 24)
    recipe = {
        "model": {"type": kind, "from": str(source)},
        "data": {"path": str(data)},
        "training": QUICK,
        "baselines": {"names": []},
    }
    sequences = fasta(tmp_path / "a.fa", letters)
    vectors = pd.read_json(embed(source, sequences, tmp_path / "v.jsonl", progress=False), lines=True)["embedding"]
    assert len(vectors[0]) == 16 and vectors[0] != vectors[1]
    probe(recipe, output=tmp_path / "probe")
    run = finetune(recipe, output=tmp_path / "ft")
    explain(run, sequences, tmp_path / "out", methods=["attention", "mutations"], plots=0, progress=False)
    changes = pd.read_csv(tmp_path / "out" / "mutations.tsv", sep="\t")
    assert changes["difference"].abs().max() > 0  # the letters are read, not one unknown word


def test_prot_bert_reads_residues_with_and_without_spaces(tmp_path: Path) -> None:
    tokenizer = read_letter_by_letter(AutoTokenizer.from_pretrained(prot_bert(tmp_path / "source")))
    assert tokenizer("MKTAY")["input_ids"] == tokenizer("M K T A Y")["input_ids"]
    tokenizer.save_pretrained(tmp_path / "saved")
    again = read_letter_by_letter(AutoTokenizer.from_pretrained(tmp_path / "saved"))
    assert again("MKTAY")["input_ids"] == tokenizer("MKTAY")["input_ids"]


def test_weights_for_code_of_their_own_are_refused_and_not_drawn_anew(tmp_path: Path) -> None:
    """DNABERT-2 calls itself `bert`, but its layers are others, in code that it brings."""
    source, data = prot_bert(tmp_path / "source"), table(tmp_path / "data", PROTEIN, 24)
    config = json.loads((source / "config.json").read_text())
    config["auto_map"] = {"AutoModelForMaskedLM": "bert_layers.BertForMaskedLM"}
    (source / "config.json").write_text(json.dumps(config))
    from safetensors.torch import load_file, save_file

    weights = load_file(source / "model.safetensors")
    others = {name.replace("self.query", "self.Wqkv"): value for name, value in weights.items()}
    save_file(others, source / "model.safetensors", metadata={"format": "pt"})
    recipe = {"model": {"type": "bert", "from": str(source)}, "data": {"path": str(data)}, "training": QUICK}
    with pytest.raises(ValueError, match=r"lacks bert\.encoder\.layer\.0.*2 weights of the encoder are missing"):
        finetune(recipe, output=tmp_path / "ft")
    with pytest.raises(ValueError, match=r"code of its own, bert_layers\.BertForMaskedLM, which is not run here"):
        embed(source, fasta(tmp_path / "a.fa", PROTEIN), tmp_path / "v.jsonl", progress=False)
