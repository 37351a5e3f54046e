"""The main job from end to end, offline, on a small made-up virome: `make demo`.

FASTA -> genomes as arrays -> pretraining -> fine-tuning (pretrained and from scratch) -> predictions, each step by the
command a user would type. It ends with the results, where the run is, and what to type for one's own FASTA. The
network is `coding_profile`, of words of four letters and the codons of open frames: the genomes are made of genes, as
real ones are, and a minute is short for a transformer. `--record` keeps the scores as `results/demo.json`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks._results import write_result
from seqformers.datasets_scripts.phage.virome import write_virome
from seqformers.files import MARK, is_made_here, mark_folder

FOLDER = Path("demo")
CONSOLE = Console(width=110)
_SMALL = "{word_length: 4, num_gaps: 0, hidden_size: 128, feature_dropout_prob: 0.1, hidden_dropout_prob: 0.3}"
_SPLITS = "split_fractions=[0.7,0.1,0.2]"


def main() -> None:
    """Run the demo in the folder `demo/`, which is made anew."""
    begun = time.perf_counter()
    make_room(FOLDER)
    genomes = write_virome(FOLDER, families=24, members=2) / "genomes"
    CONSOLE.print(f"wrote a made-up virome of {len(list(genomes.glob('*/*.fasta')))} genomes to {genomes}")
    run("build", "genomes", genomes, "--output", FOLDER / "arrays", f"groups_file={FOLDER / 'groups.tsv'}", _SPLITS)
    run("pretrain", _recipe("pretrain"), "--output", FOLDER / "pretrained")
    run("finetune", _recipe("finetune"), "model.from=null", "baselines.names=[]", "--output", FOLDER / "scratch")
    run("finetune", _recipe("finetune"), f"model.from={FOLDER / 'pretrained'}", "--output", FOLDER / "run")
    contigs = FOLDER / "contigs.fasta"
    contigs.write_text("".join(path.read_text() for path in sorted(genomes.glob("*/*-1[01]-0.fasta"))))
    run("predict", FOLDER / "run", contigs, "--output", FOLDER / "predictions.tsv", "--both-strands")
    _show(time.perf_counter() - begun)
    mark_folder(FOLDER, "demo")
    if "--record" in sys.argv[1:]:
        _record()


def make_room(folder: Path) -> None:
    """Remove an earlier demo as it was left; one that was broken off, added to or changed is moved aside."""
    if not folder.exists():
        return
    if is_made_here(folder, "demo"):
        marked = (folder / MARK).stat().st_mtime_ns
        if all(path.stat().st_mtime_ns <= marked for path in folder.rglob("*")):
            shutil.rmtree(folder)
            return
    names = (folder.with_name(f"{folder.name}-before-{number}") for number in count(1))
    aside = next(path for path in names if not path.exists())
    folder.rename(aside)
    CONSOLE.print(f"{folder} was not as a demo leaves it, so it is {aside} now")


def run(*words: object) -> None:
    """Type one command of this package, and show it."""
    command = ["seqformers", *map(str, words)]
    CONSOLE.print(f"\n[bold]$ {' '.join(command)}[/bold]", highlight=False)
    subprocess.run([sys.executable, "-m", "seqformers.cli", *command[1:]], check=True)


def _recipe(task: str) -> Path:
    """Write the recipe of a step, so that a user can read it, change it and run it again."""
    model = f"model: {{type: coding_profile, config: {_SMALL}}}\ntokenizer: {{type: KmerTokenizer, k: 1}}\n"
    text = {
        "pretrain": f"task: pretrain\nname: demo-pretrained\n{model}"
        f"data: {{path: {FOLDER / 'arrays'}, reads: {{length: {{lower: 150, upper: 500, bias: 0.0}}, pairs: same, "
        "per_epoch: 20000, validation: 512}, splits: {test: null}}\n"
        "contrastive: {views: genome, temperature: 0.1}\n"
        "training: {per_device_train_batch_size: 256, learning_rate: 1e-3, warmup_steps: 0.1, logging_steps: 40}\n",
        "finetune": f"task: finetune\nname: demo-phage\n{model}"
        f"data: {{path: {FOLDER / 'arrays'}, reads: {{length: 150, per_epoch: 20000, validation: 800, test: 1500}}}}\n"
        "training: {per_device_train_batch_size: 64, learning_rate: 1e-3, warmup_steps: 0.1, num_train_epochs: 2,"
        " logging_steps: 100}\n"
        "seeds: [0, 1, 2]\nmetrics: [macro_recall, f1_positive, mcc, auroc]\n"
        "baselines: {names: [majority, gc_only, kmer_4_logistic, kmer_6_logistic]}\n",
    }[task]
    path = FOLDER / f"{task}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def _show(seconds: float) -> None:
    table = Table(title="Macro recall, reads of 150 nt of unseen families")
    for column in ("", "mean", "sd over seeds"):
        table.add_column(column)
    for name, title in (("scratch", "the same network from scratch"), ("run", "pretrained, fine-tuned")):
        found = json.loads((FOLDER / name / "metrics.json").read_text())
        score = found["metrics"]["test"]["macro_recall"]
        table.add_row(title, f"{score['mean']:.3f}", f"{score['sd']:.3f}" if score.get("sd") else "")
    for baseline, score in found["baselines"].items():
        table.add_row(f"shortcut: {baseline.replace('_', ' ')}", f"{score['macro_recall']:.3f}", "")
    CONSOLE.print(table)
    CONSOLE.print((FOLDER / "predictions.tsv").read_text(), highlight=False)
    CONSOLE.print(f"done in {seconds / 60:.1f} minutes; the run folder, a complete Hub repository: {FOLDER / 'run'}")
    CONSOLE.print("\nTry it on your own FASTA:", highlight=False)
    for line in (
        f".venv/bin/seqformers predict {FOLDER / 'run'} YOUR.fasta --output predictions.tsv --both-strands",
        f".venv/bin/seqformers embed {FOLDER / 'run'} YOUR.fasta --output vectors.parquet",
        "(this model knows made-up genomes only: put FASTA files into genomes/phage and genomes/non-phage, then)",
        ".venv/bin/seqformers build genomes genomes/ --output arrays",
        f".venv/bin/seqformers finetune {FOLDER / 'finetune.yaml'} data.path=arrays model.from=null --output mine",
    ):
        CONSOLE.print(f"  {line}", highlight=False, soft_wrap=True)


def _record() -> None:
    """Keep the scores: macro recall of networks and shortcuts on the test reads."""
    rows = {}
    for name in ("scratch", "run"):
        found = json.loads((FOLDER / name / "metrics.json").read_text())
        rows[name] = found["metrics"]["test"]["macro_recall"]
    shortcuts = {name: score["macro_recall"] for name, score in found["baselines"].items()}
    result = {"metric": "macro_recall", "networks": rows, "shortcuts": shortcuts}
    write_result("demo", result, data="a made-up virome (write_virome), test families unseen", seeds=[0, 1, 2])


if __name__ == "__main__":
    main()
