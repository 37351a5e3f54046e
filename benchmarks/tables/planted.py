"""A motif planted in one class: is it the first thing that filters, attributions and motif search show of each family?

    python -m benchmarks.tables.planted --work runs/planted

Rows of 60 random bases, half of them with GATTACCA somewhere. Every network of the table of families, at its size
there, learns which; then `explain` looks at 60 rows of test. Of a profile (attention, gradients, mutations): the share
of rows with the motif whose best eight bases lie on it by half or more, and the rank of the motif in the search over
the profiles. Of filters: the rank of the motif among 61 words by how well the letters of any filter fit them.
TargetNet and DeepCpf1 learn the same from pairs and contexts of theirs. One seed; a network and a profile that are
there are not made again. The result is `results/planted.json` and `tables/planted.md`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks._results import ROOT, write_result
from benchmarks.tables.families_rows import FAMILIES, learn_words, recipe_of
from seqformers import DeepCpf1Config, DeepCpf1Model, TargetNetConfig, TargetNetModel, TargetNetProcessor
from seqformers.guides.effects import filter_counts
from seqformers.guides.scorer import GuideScorer
from seqformers.hub.load import Loaded, load_model
from seqformers.inference.windowing import reverse_complement
from seqformers.interpret.explain import explain
from seqformers.interpret.gradients import has_gradients
from seqformers.interpret.motifs import discover_motifs, level
from seqformers.interpret.site_filters import site_filter_motifs
from seqformers.training import finetune

PLANTED, LETTERS, ROWS, EXPLAINED, EPOCHS = "GATTACCA", 60, 2000, 60, 10
WORD = "GACCA"  # what TargetNet and DeepCpf1, whose filters cover five letters, have to find
PROFILES = {"attention": "attention", "gradients": "attribution", "mutations": "log_odds_ratio"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=list(FAMILIES))
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    data = given.work / "data-planted"
    if not data.exists():
        write_rows(data)
    for family in given.families:
        print(f"== {family}", flush=True)
        told = given.work / f"{family}.json"
        told.write_text(json.dumps(look_at(family, given.work)), encoding="utf-8")
    found = {
        name: json.loads(path.read_text()) for name in FAMILIES if (path := given.work / f"{name}.json").is_file()
    }
    found["targetnet"], found["deepcpf1"] = {"filters": targetnet_rank()}, {"filters": deepcpf1_rank()}
    result = {"families": found, "rows": ROWS, "epochs": EPOCHS, "explained": EXPLAINED}
    write_result("planted", result, data="made up", seeds=[0])
    (ROOT / "benchmarks" / "tables" / "planted.md").write_text(page(result), encoding="utf-8")


# -- families that read DNA -----------------------------------------------------------------------------------------


def planted_rows(count: int, seed: int) -> tuple[list[str], np.ndarray, list[int]]:
    """Texts, labels, and where the motif begins (-1 for the others)."""
    rng = np.random.default_rng(seed)
    texts, labels, places = [], np.arange(count) % 2, []
    for label in labels.tolist():
        text, at = "".join(rng.choice(list("ACGT"), LETTERS)), -1
        while PLANTED in text or reverse_complement(PLANTED) in text:
            text = "".join(rng.choice(list("ACGT"), LETTERS))
        if label:
            at = int(rng.integers(0, LETTERS - len(PLANTED) + 1))
            text = text[:at] + PLANTED + text[at + len(PLANTED) :]
        texts.append(text)
        places.append(at)
    return texts, labels, places


def write_rows(folder: Path) -> None:
    """The three splits as Parquet."""
    folder.mkdir()
    for seed, (split, count) in enumerate({"train": ROWS, "validation": ROWS // 4, "test": ROWS // 4}.items()):
        texts, labels, _ = planted_rows(count, seed)
        pd.DataFrame({"sequence": texts, "label": labels}).to_parquet(folder / f"{split}.parquet")


def look_at(family: str, work: Path) -> dict[str, Any]:
    """Train a family and say what each way of looking shows."""
    data, run = work / "data-planted", work / f"{family}-run"
    if family == "gpt2_bpe" and not (work / "words-planted").is_dir():
        learn_words(pd.read_parquet(data / "train.parquet")["sequence"], work / "words-planted")
    recipe = recipe_of("planted", family, "scratch", data) | {"baselines": {"names": []}, "seeds": [0]}
    recipe["training"] = recipe["training"] | {"num_train_epochs": EPOCHS}
    if not run.is_dir():
        finetune(recipe, output=run, resume=Path(f"{run}.partial").exists())
    metrics = json.loads((run / "metrics.json").read_text())["metrics"]["test"]
    texts, labels, places = planted_rows(ROWS // 4, 2)
    fasta = work / "test.fasta"
    fasta.write_text("".join(f">s{number}\n{text}\n" for number, text in enumerate(texts[:EXPLAINED])))
    found: dict[str, Any] = {"accuracy": metrics["accuracy"]["mean"]}
    loaded = load_model(run)
    for method, column in PROFILES.items():
        if (method == "gradients" and not has_gradients(loaded)) or (method == "attention" and not attends(loaded)):
            continue
        out = work / f"{family}-{method}"
        if not out.is_dir():
            explain(run, fasta, out, methods=[method], label="1", plots=0, progress=False)
        profiles = read_profiles(out / f"{method}.tsv", column)
        levelled = [level(profile) for profile in profiles]
        motifs = discover_motifs(texts[:EXPLAINED], levelled, [bool(label) for label in labels[:EXPLAINED]])
        found[method] = {
            "on_it": on_it(profiles, places[:EXPLAINED]),
            "rank": rank_of([motif.sequence for motif in motifs], PLANTED),
            "first": motifs[0].sequence if motifs else None,
        }
    if hasattr(loaded.model.base_model, "motif_activations"):
        found["filters"] = filters_of(run, work / f"{family}-filters", fasta)
    return found


def attends(loaded: Loaded) -> bool:
    """Whether the first token looks at the sequence."""
    return hasattr(loaded.config, "num_attention_heads") and loaded.config.model_type not in ("gpt2", "llama")


def read_profiles(table: Path, column: str) -> list[np.ndarray]:
    """One number a base of every record; of mutations the mean over the changes of a base."""
    rows = pd.read_csv(table, sep="\t")
    means = rows.groupby(["id", "position"], sort=False)[column].mean()
    return [means[name].to_numpy() for name in dict.fromkeys(rows["id"])]


def on_it(profiles: Sequence[np.ndarray], places: Sequence[int]) -> float:
    """Share of the rows with a motif whose best window of its length lies on it by half or more."""
    width, hits = len(PLANTED), []
    for profile, place in zip(profiles, places, strict=True):
        if place >= 0:
            best = int(np.convolve(np.nan_to_num(profile), np.ones(width), "valid").argmax())
            hits.append(abs(best - place) <= width // 2)
    return float(np.mean(hits))


def shares(text: str, word: str, least: int) -> bool:
    """Whether a text has `least` neighbouring letters of a word, on either strand."""
    parts = {
        strand[start : start + least]
        for strand in (word, reverse_complement(word))
        for start in range(len(word) - least + 1)
    }
    return any(part in text for part in parts)


def rank_of(texts: Sequence[str], word: str, least: int = 5) -> int | None:
    """Place, from 1 on, of the first text that is of the word."""
    return next((rank for rank, text in enumerate(texts, 1) if shares(text.upper(), word, least)), None)


def filters_of(run: Path, out: Path, fasta: Path) -> dict[str, Any]:
    """Which of 61 words the letters of any filter fit best: rank of the planted one, and the filter that fits it.

    A word fits a filter by the log-odds of its letters, at the best place, on the better strand; what lies outside
    the filter counts as even.
    """
    explain(run, fasta, out, methods=["filters"], plots=0, overwrite=True, progress=False)
    filters = read_meme(out / "filters.meme")
    rng = np.random.default_rng(0)
    words = [PLANTED, *("".join(rng.choice(list("ACGT"), len(PLANTED))) for _ in range(60))]
    scores = {word: [word_score(shares, word) for shares in filters] for word in words}
    ranked = sorted(words, key=lambda word: -max(scores[word]))
    fits = filters[int(np.argmax(scores[PLANTED]))]
    return {"rank": ranked.index(PLANTED) + 1, "first": "".join("ACGT"[base] for base in fits.argmax(1))}


def read_meme(path: Path) -> list[np.ndarray]:
    """Shares of the letters, `(width, 4)` a motif."""
    found: list[list[list[float]]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("letter-probability"):
            found.append([])
        elif found and line[:2] in ("0.", "1."):
            found[-1].append([float(value) for value in line.split()])
    return [np.array(rows) for rows in found]


def word_score(shares: np.ndarray, word: str) -> float:
    """Bits by which a filter's letters speak for a word.

    Examples:
        >>> exact = np.eye(4)[[2, 0, 3]] * 0.96 + 0.01
        >>> round(word_score(exact, "GAT"), 2), round(word_score(exact, "ATC"), 2)
        (5.87, 5.87)
    """
    odds = np.log2(shares / 0.25)
    odds = np.vstack([np.zeros((len(word) - 1, 4)), odds, np.zeros((len(word) - 1, 4))])
    letters = [["ACGT".index(letter) for letter in strand] for strand in (word, reverse_complement(word))]
    places = range(len(odds) - len(word) + 1)
    return float(max(odds[np.arange(at, at + len(word)), codes].sum() for codes in letters for at in places))


# -- pairs and guides -----------------------------------------------------------------------------------------------


def targetnet_rank(pairs: int = 400, epochs: int = 15, seed: int = 0) -> dict[str, Any]:
    """Targets of class 1 hold the word some letters before the seed match; filters by the information of the site."""
    rng = np.random.default_rng(seed)
    texts, labels = [], torch.arange(pairs) % 2
    for label in labels.tolist():
        mirna, target = ("".join(rng.choice(list("ACGT"), length)) for length in (22, 60))
        target = target[:40] + reverse_complement(mirna[1:8]) + target[47:]
        if label:
            at = int(rng.integers(22, 32))
            target = target[:at] + WORD + target[at + len(WORD) :]
        texts.append((mirna, target))
    torch.manual_seed(seed)
    model, processor = TargetNetModel(TargetNetConfig(dropout=0.0)), TargetNetProcessor()
    batches = [processor(*map(list, zip(*texts[start : start + 50], strict=True))) for start in range(0, pairs, 50)]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

    def answer(number: int, labels: torch.Tensor | None = None) -> Any:
        names = ("input_ids", "pair_index")
        return model(**{name: batches[number][name] for name in names}, num_pairs=50, labels=labels)

    for _ in range(epochs):
        for number in torch.randperm(len(batches)).tolist():
            optimizer.zero_grad()
            answer(number, labels[50 * number : 50 * number + 50].float()).loss.backward()
            optimizer.step()
    model.eval()
    loaded = Loaded(model, processor, model.config)
    motifs = [site for _, site in site_filter_motifs(loaded, texts) if site.sites]
    motifs.sort(key=lambda motif: -motif.information)
    drawn = [motif.consensus[::-1] for motif in motifs]  # a site is drawn 3' to 5'
    right = (torch.cat([answer(number).logits for number in range(len(batches))]) > 0) == labels.bool()
    return {"accuracy": float(right.float().mean()), "rank": rank_of(drawn, WORD, 4), "first": drawn[0]}


def deepcpf1_rank(contexts: int = 1000, epochs: int = 40, seed: int = 0) -> dict[str, Any]:
    """Contexts with the word are cut more often; filters by how much they vary, as `explain-guides` draws them."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, (contexts, 34)).astype(np.uint8)
    word = np.array(["ACGT".index(letter) for letter in WORD], np.uint8)
    for row in codes[1::2]:
        at = int(rng.integers(8, 34 - len(WORD) + 1))
        row[at : at + len(WORD)] = word
    labels = torch.tensor([10.0, 70.0]).repeat(contexts // 2)
    torch.manual_seed(seed)
    model = DeepCpf1Model(DeepCpf1Config(num_filters=16, hidden_sizes=[16], hidden_dropout_prob=0.0))
    ids = torch.from_numpy(codes).long()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(epochs):
        for part in torch.randperm(contexts).split(100):
            optimizer.zero_grad()
            loss = model(ids[part], labels=labels[part]).loss
            assert loss is not None
            loss.backward()
            optimizer.step()
    scorer = GuideScorer(model.eval(), device="cpu")
    drawn = ["".join("ACGT"[base] for base in counts.argmax(1)) for _, counts in filter_counts(scorer, codes)]
    right = (model(ids).logits > 40) == (labels > 40)
    return {"accuracy": float(right.float().mean()), "rank": rank_of(drawn, WORD, 4), "first": drawn[0]}


# -- the page -------------------------------------------------------------------------------------------------------


def page(result: dict[str, Any]) -> str:
    """A row a family."""
    looks = ("filters", *PROFILES)
    found = result["families"]
    ranks = {name: [row[look]["rank"] for look in looks if look in row] for name, row in found.items()}
    first = [name for name, values in ranks.items() if all(value == 1 for value in values)]
    lines = [
        "# A planted motif",
        "",
        f"Rows of {LETTERS} random bases, half of them with {PLANTED} somewhere; {result['rows']:,} of them to learn "
        f"from, {result['epochs']} passes, one seed, the networks of [the table of families](families.md). Rank of "
        "the motif in the search over the profiles of 60 rows of test, and in brackets the share of rows whose best "
        "eight bases lie on it by half or more; of filters the rank among 61 words by how well the letters of "
        "any filter fit them, and the best one. A blank: a family without attention, gradients or filters. "
        f"TargetNet and DeepCpf1 look for {WORD} in sites and contexts, by their filters; their "
        "accuracy is on the rows they learnt from.",
        "",
        f"First by every way of looking: {len(first)} of {len(found)} families.",
        "",
        f"| family | accuracy on test | {' | '.join(looks)} |",
        "|---" * (2 + len(looks)) + "|",
    ]
    for name, row in found.items():
        accuracy = row.get("accuracy", row.get("filters", {}).get("accuracy"))
        lines.append(f"| {name} | {accuracy:.3f} | {' | '.join(_cell(row.get(look)) for look in looks)} |")
    if any(row.get("filters", {}).get("rank", 1) != 1 for row in found.values()):
        lines += [
            "",
            "The filters of a first layer spell a whole motif where wide pooling follows, and parts of it where "
            "little or none does, which later layers put together (Koo and Eddy 2019, PLoS Comput. Biol. "
            "15:e1007560). The dilated network does not pool, so none of its filters has the motif, and the words "
            "that fit best are level with each other; its gradients and mutations, which look at the whole network, "
            "show it first.",
        ]
    missing = [name for name in FAMILIES if name not in found]
    if missing:
        lines += ["", f"Not run: {', '.join(missing)}."]
    return "\n".join([*lines, ""])


def _cell(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    rank = "not found" if found["rank"] is None else str(found["rank"])
    return f"{rank} ({100 * found['on_it']:.0f} %)" if "on_it" in found else f"{rank} (`{found['first']}`)"


if __name__ == "__main__":
    main()
