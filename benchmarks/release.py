"""Build and check a release: `make release`.

Writes `dist/`: sdist and wheel, checked and answering offline in an environment of their own, and `dist/hub/` with a
complete repository for each packaged model, the made-up demo data, and a Space for each model that has a page. Data of
others are not among them: their licences do not all allow it. `seqformers publish dist/hub --org ORG` sends them.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks._results import ROOT
from seqformers.datasets import build_dataset
from seqformers.datasets_scripts.phage.virome import write_virome
from seqformers.hub.load import PACKAGED, packaged_model
from seqformers.hub.publish import plan_all
from seqformers.hub.push import plan_folder
from seqformers.hub.spaces.write import PAGES, write_space

DIST = ROOT / "dist"


def main() -> None:
    """Build, check, assemble; the first thing that is wrong ends it."""
    shutil.rmtree(DIST, ignore_errors=True)
    _run(sys.executable, "-m", "build", "--outdir", str(DIST))
    packages = [str(path) for path in sorted(DIST.glob("seqformers-*"))]
    _run(sys.executable, "-m", "twine", "check", "--strict", *packages)
    answers_offline(next(DIST.glob("*.whl")))
    write_hub(DIST / "hub")
    for repository in plan_all(DIST / "hub", "org"):
        print(f"{repository.plan.size:>14,}  {repository.kind} {repository.repo_id.removeprefix('org/')}")
    for path in packages:
        print(f"{Path(path).stat().st_size:>14,}  {path}")


def answers_offline(wheel: Path) -> None:
    """Install a wheel with nothing else of this checkout; ask every packaged model, and run every offline command."""
    with tempfile.TemporaryDirectory() as place:
        _run(sys.executable, "-m", "venv", f"{place}/venv")
        python, pins = f"{place}/venv/bin/python", str(ROOT / "constraints.txt")
        _run(python, "-m", "pip", "install", "-q", "-c", pins, "torch")
        _run(python, "-m", "pip", "install", "-q", "-c", pins, str(wheel.resolve()))
        offline = ["env", "-C", place, "HF_HUB_OFFLINE=1", f"HF_HOME={place}/cache"]
        _run(*offline, f"{place}/venv/bin/seqformers", "doctor")
        for words in write_inputs(Path(place)):
            _run(*offline, f"{place}/venv/bin/seqformers", "--quiet", *words)


def write_inputs(place: Path) -> list[list[str]]:
    """Small made-up inputs in a folder, and the commands that a first user can give there without a network."""
    generator = np.random.default_rng(0)
    letters = ["".join(generator.choice(list("ACGT"), length)) for length in (3_000, 2_000, 800)]
    texts = {
        "contigs.fasta": "".join(f">contig{number}\n{text}\n" for number, text in enumerate(letters)),
        "mirnas.fa": ">let-7a\nUGAGGUAGUAGGUUGUAUAGUU\n",
        "utrs.fa": ">site\nGGAGCAAUCUCAACUGACUUAGUUAGUAAGCAUUCAAACUACCUCAUUUAAGC\n",
        "gene.fasta": f">gene\n{letters[2]}\n",
        "proteins.fasta": ">secreted\nMKKTAIAIAVALAGFATVAQAAPKDNTWYTGAKLGWSQYHDTGFINNNGPTHENQLGAG\n",
        "recipe.yaml": _RECIPE,
    }
    for name, text in texts.items():
        (place / name).write_text(text, encoding="utf-8")
    write_virome(place / "virome")
    return [
        words.split()
        for words in (
            "find-phages contigs.fasta --output phages.tsv --sites sites --plot pictures",
            "scan-targets --mirna mirnas.fa --mrna utrs.fa --output targets.tsv",
            "score-guides gene.fasta --output guides.tsv --track guides.png",
            "annotate-proteins proteins.fasta -o table.tsv --plot",
            "explain-guides gene.fasta --output effects.tsv",
            "build phage --config reads-150 --data-dir virome/genomes --output reads groups_file=virome/groups.tsv "
            "max_train_reads=64 max_validation_reads=32 max_test_reads=32 --plot reads.png",
            "finetune recipe.yaml --output runs/mine --plot curves.png",
            "evaluate runs/mine --output scores.json --plot scores.png",
            "predict runs/mine contigs.fasta --output predictions.tsv --plot along.png",
            "embed runs/mine contigs.fasta --output vectors.parquet --plot map.png",
            "explain runs/mine gene.fasta --output explained --method mutations --plots 1",
            "predict runs/mine contigs.fasta --shard 1/2 --output part-1.tsv",
            "predict runs/mine contigs.fasta --shard 2/2 --output part-2.tsv",
            "merge part-1.tsv part-2.tsv --output merged.tsv",
            "push runs/mine me/mine --dry-run",
            "space space --run phage",
        )
    ]


_RECIPE = """
task: finetune
name: release
model:
  type: kmer_bert
  from: null
  config: {hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 32}
tokenizer: {type: KmerTokenizer, k: 3, stride: 1}
data: {path: reads}
training: {per_device_train_batch_size: 32, num_train_epochs: 1, eval_strategy: epoch, save_strategy: epoch}
seeds: [0]
metrics: [macro_recall, auroc]
baselines: {names: [gc_only]}
"""


def write_hub(folder: Path) -> Path:
    """Write the repositories of a release.

    Args:
        folder (`Path`): A new one.
    """
    folder.mkdir(parents=True)
    for family in PACKAGED:
        place = folder / "models" / f"seqformers-{family.replace('_', '-')}"
        for file in plan_folder(packaged_model(family)).files:
            (place / file.path).parent.mkdir(parents=True, exist_ok=True)
            (place / file.path).write_bytes(file.read())
    with tempfile.TemporaryDirectory() as place:
        write_virome(Path(place))
        for config in ("pretrain", "reads-150"):
            build_dataset(
                "phage", config, output=folder / "datasets" / f"seqformers-made-up-virome-{config}",
                data_dir=Path(place) / "genomes", groups_file=f"{place}/groups.tsv",
            )  # fmt: skip
    for family in set(PACKAGED) & set(PAGES):
        write_space(folder / "spaces" / f"seqformers-{family.replace('_', '-')}", family)
    return folder


def _run(*words: str) -> None:
    print("$", " ".join(words), flush=True)
    subprocess.run(words, check=True, cwd=ROOT)


if __name__ == "__main__":
    main()
