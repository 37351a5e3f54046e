"""The main job from end to end, offline, on a small made-up virome: `make demo`.

FASTA -> genomes as arrays -> pretraining -> fine-tuning (pretrained and from scratch) -> predictions, each step by the
command a user would type. It ends with the results, where the run is, and what to type for one's own FASTA.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from seqformers.datasets_scripts.phage.virome import write_virome

FOLDER = Path("demo")
CONSOLE = Console(width=110)
_SMALL = "{hidden_size: 128, num_hidden_layers: 2, num_attention_heads: 2, intermediate_size: 512, max_position_embeddings: 192, hidden_dropout_prob: 0.0, attention_probs_dropout_prob: 0.0, classifier_pooling: mean}"  # noqa: E501
_SPLITS = "split_fractions=[0.7,0.1,0.2]"


def main() -> None:
    """Run the demo in the folder `demo/`, which is made anew."""
    begun = time.perf_counter()
    shutil.rmtree(FOLDER, ignore_errors=True)
    genomes = write_virome(FOLDER) / "genomes"
    CONSOLE.print(f"wrote a made-up virome of {len(list(genomes.glob('*/*.fasta')))} genomes to {genomes}")
    run("build", "genomes", genomes, "--output", FOLDER / "arrays", f"groups_file={FOLDER / 'groups.tsv'}", _SPLITS)
    run("pretrain", _recipe("pretrain"), "--output", FOLDER / "pretrained")
    run("finetune", _recipe("finetune"), "model.from=null", "seeds=[0]", "--output", FOLDER / "scratch")
    run("finetune", _recipe("finetune"), f"model.from={FOLDER / 'pretrained'}", "--output", FOLDER / "run")
    contigs = FOLDER / "contigs.fasta"
    contigs.write_text("".join(path.read_text() for path in sorted(genomes.glob("*/*-1[01]-0.fasta"))))
    run("predict", FOLDER / "run", contigs, "--output", FOLDER / "predictions.tsv", "--both-strands")
    _show(time.perf_counter() - begun)


def run(*words: object) -> None:
    """Type one command of this package, and show it."""
    command = ["seqformers", *map(str, words)]
    CONSOLE.print(f"\n[bold]$ {' '.join(command)}[/bold]", highlight=False)
    subprocess.run([sys.executable, "-m", "seqformers.cli", *command[1:]], check=True)


def _recipe(task: str) -> Path:
    """Write the recipe of a step, so that a user can read it, change it and run it again."""
    model = f"model: {{type: kmer_bert, config: {_SMALL}}}\ntokenizer: {{type: KmerTokenizer, k: 4, stride: 2}}\n"
    reads = "validation: 800, test: 1500, reverse_complement: true"
    text = {
        "pretrain": f"task: pretrain\nname: demo-pretrained\n{model}"
        f"data: {{path: {FOLDER / 'arrays'}, reads: {{length: 150, per_epoch: 3200, balance: false, {reads}}}}}\n"
        "training: {per_device_train_batch_size: 32, learning_rate: 2e-3, warmup_steps: 0.1, num_train_epochs: 1,"
        " logging_steps: 50, save_steps: 100, eval_steps: 100}\n",
        "finetune": f"task: finetune\nname: demo-phage\n{model}"
        f"data: {{path: {FOLDER / 'arrays'}, reads: {{length: 150, per_epoch: 3000, {reads}}}}}\n"
        "training: {per_device_train_batch_size: 32, learning_rate: 1e-3, warmup_steps: 0.1, num_train_epochs: 3,"
        " eval_strategy: epoch, save_strategy: epoch, load_best_model_at_end: true}\n"
        "seeds: [0, 1, 2]\nmetrics: [macro_recall, f1_positive, mcc, auroc]\n"
        "baselines: {names: [majority, gc_only, kmer_4_logistic]}\n",
    }[task]
    path = FOLDER / f"{task}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def _show(seconds: float) -> None:
    table = Table(title="Reads of 150 nt, test families unseen in training (macro recall)")
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


if __name__ == "__main__":
    main()
