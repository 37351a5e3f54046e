"""Stages of the speedrun, each kept when it is done; see `run.sh` for the one command."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from transformers import TrainerCallback

from benchmarks._results import about
from benchmarks.speed.pretraining import shape
from seqformers import KmerTokenizer
from seqformers.datasets import build_dataset
from seqformers.datasets_scripts.genomes.arrays import GenomeArrays
from seqformers.datasets_scripts.genomes.reads import ReadOptions, Reads, ReadSampler
from seqformers.files import write_json
from seqformers.metrics.registry import compute_metrics
from seqformers.training.recipe import load_recipe
from seqformers.training.running import train

STRIDES = (1, 3)
CLASSES = {"non-phage": ["virus"], "phage": ["phage"]}
_SHARD = 14 << 20


@dataclass(frozen=True)
class Settings:
    """Sizes of a run."""

    shape: str = "medium"
    law: tuple[int, int] = (36, 510)
    batch: int = 256
    minutes: float = 11.0  # of training, each stride
    most_steps: int = 1_000_000
    probes: int = 8
    probe_reads: int = 2000
    tune_reads: int = 200_000
    test_reads: int = 4000
    lengths: tuple[int, ...] = (150, 1000)
    seeds: tuple[int, ...] = (0, 1, 2)
    speed: tuple[tuple[str, ...], ...] = (
        ("--shape", "medium", "--reads", "256", "--repeats", "5"),
        ("--shape", "base", "--reads", "128", "--repeats", "5"),
        ("--shape", "medium", "--curves"),
    )


TOY = Settings(
    shape="tiny", law=(36, 60), batch=8, minutes=0.02, most_steps=8, probes=2, probe_reads=40, tune_reads=64,
    test_reads=40, lengths=(60,), seeds=(0,),
    speed=(("--shape", "tiny", "--reads", "4", "--batches", "1", "--repeats", "1"),),
)  # fmt: skip


class OutOfTimeError(Exception):
    """This call has to end; the next one goes on."""


class Deadline(TrainerCallback):
    """Ends training when the call has to end, as Ctrl-C does: a checkpoint is saved.

    Args:
        deadline (`float`): Of `time.monotonic`.
    """

    def __init__(self, deadline: float):
        self.deadline = deadline

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Look at the clock."""
        if time.monotonic() > self.deadline and state.global_step < state.max_steps:
            self.deadline = float("inf")
            os.kill(os.getpid(), signal.SIGINT)


class Curve(TrainerCallback):
    """Probes the encoder now and then; the minutes are those of training alone.

    Args:
        path (`Path`): JSON lines: step, minutes, macro recall of the probe.
        every (`int`): Steps between probes.
        probe (`Callable`): Model to macro recall.
    """

    def __init__(self, path: Path, every: int, probe: Callable[[Any], float]):
        self.path, self.every, self.probe = path, every, probe
        self.rows = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
        self.seconds, self._began = 0.0, 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """A resumed run goes back to its checkpoint, and so does the curve."""
        self.rows = [row for row in self.rows if row["step"] <= state.global_step]
        self.seconds = 60 * self.rows[-1]["minutes"] if self.rows else 0.0
        if not self.rows:
            self._look(0, model)
        self._began = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Probe, and keep the time of a checkpoint too."""
        if state.global_step % self.every == 0 or state.global_step == state.max_steps:
            self._stop_clock()
            self._look(state.global_step, model)
            self._began = time.monotonic()

    def on_save(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """A run that is stopped between two probes goes on from here."""
        if self.rows[-1]["step"] != state.global_step:
            self._stop_clock()
            self._look(state.global_step, model)
            self._began = time.monotonic()

    def _stop_clock(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds += time.monotonic() - self._began

    def _look(self, step: int, model: Any) -> None:
        self.rows.append({"step": step, "minutes": self.seconds / 60, "macro_recall": self.probe(model)})
        self.path.write_text("".join(json.dumps(row) + "\n" for row in self.rows), encoding="utf-8")
        print(f"step {step}, {self.seconds / 60:.2f} min, probe {self.rows[-1]['macro_recall']:.4f}", file=sys.stderr)


class Probe:
    """Macro recall of a ridge on frozen mean-pooled features, phage against other viruses, on fixed reads."""

    def __init__(self, genomes: Path, stride: int, settings: Settings):
        self.tokenizer = KmerTokenizer(k=6, stride=stride)
        options = ReadOptions(length=settings.lengths[0], gc_match=True, classes=CLASSES)
        self.reads: list[Reads] = [
            ReadSampler(GenomeArrays.open(genomes, split), options, seed=0).draw(range(settings.probe_reads))
            for split in ("train", "test")
        ]

    @torch.no_grad()
    def __call__(self, model: Any) -> float:
        """Features of both splits, a classifier, its macro recall on test."""
        encoder, training = model.bert, model.training
        encoder.eval()
        features = [
            np.concatenate([self._pooled(encoder, part) for part in self._parts(reads)]) for reads in self.reads
        ]
        encoder.train(training)
        classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))
        classifier.fit(features[0], self.reads[0].labels)
        outputs = classifier.decision_function(features[1])
        return compute_metrics(
            "classification", outputs[:, None] * [-0.5, 0.5], self.reads[1].labels, ["macro_recall"]
        )["macro_recall"]

    def _parts(self, reads: Reads) -> list[list[str]]:
        texts = reads.strings()
        return [texts[first : first + 256] for first in range(0, len(texts), 256)]

    def _pooled(self, encoder: Any, texts: list[str]) -> np.ndarray:
        batch = self.tokenizer(texts, return_tensors="pt").to(encoder.device)
        with torch.autocast(encoder.device.type, torch.bfloat16):
            hidden = encoder(**batch).last_hidden_state
        return hidden.float().mean(1).cpu().numpy()


class Speedrun:
    """All stages in order.

    Args:
        settings (`Settings`): Sizes.
        work (`Path`): State, genomes and run folders.
        out (`Path`): Results.
        deadline (`float`): Of `time.monotonic`, when a call ends.
    """

    def __init__(self, settings: Settings, work: Path, out: Path, deadline: float):
        self.settings, self.work, self.out, self.deadline = settings, work, out, deadline
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.genomes = work / "genomes"
        self._file = work / "state.json"
        self.state: dict[str, Any] = json.loads(self._file.read_text()) if self._file.is_file() else {}

    def run(self) -> bool:
        """Go through the stages; True when all are done, False when time was up."""
        stages: dict[str, Callable[[], Any]] = {"tests": self.tests, "speed": self.speed}
        stages |= {f"pretrain stride {stride}": lambda stride=stride: self.pretrain(stride) for stride in STRIDES}
        stages |= {
            f"{start}, stride {stride}, {length} nt": lambda *what, a=(start, stride, length): self.finetune(*a)
            for stride in STRIDES
            for length in self.settings.lengths
            for start in ("pretrained", "from scratch")
        }
        stages["export"] = self.export
        try:
            for name, stage in stages.items():
                if name not in self.state:
                    self._check_time()
                    print(f"-- {name}", file=sys.stderr)
                    began = time.monotonic()
                    self._keep(name, {"result": stage(), "seconds": round(time.monotonic() - began, 1)})
        except OutOfTimeError:
            return False
        finally:
            self._write_results()
        return True

    def _check_time(self, seconds: float = 5.0) -> None:
        if time.monotonic() + seconds > self.deadline:
            raise OutOfTimeError

    def _keep(self, name: str, value: Any) -> None:
        self.state[name] = value
        write_json(self._file, self.state)

    def _write_results(self) -> None:
        device = torch.cuda.get_device_name() if self.device == "cuda" else "CPU"
        curves = {
            str(stride): [json.loads(line) for line in path.read_text().splitlines()]
            for stride in STRIDES
            if (path := self.work / f"curve-{stride}.jsonl").is_file()
        }
        head = about(data="public genomes of phages, viruses, hosts", seeds=list(self.settings.seeds))
        write_json(self.out / "speedrun.json", head | {"device": device, "stages": self.state, "curves": curves})

    # -- stages ------------------------------------------------------------------------------------------------------

    def tests(self) -> str:
        """The tests marked gpu, in a process of their own."""
        words = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-m",
            "gpu",
            "tests/training/test_gpu.py",
        ]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        return (done.stdout + done.stderr).strip().splitlines()[-1]

    def speed(self) -> list[Any]:
        """Tables of training steps."""
        tables = []
        for number, words in enumerate(self.settings.speed):
            path = self.work / f"speed-{number}.json"
            if not path.is_file():
                self._check_time(60 if self.device == "cuda" else 5)
                command = [sys.executable, "-m", "benchmarks.speed.pretraining", "--device", self.device, *words]
                subprocess.run([*command, "--output", str(path)], check=True, stdout=subprocess.DEVNULL)
            tables.append(json.loads(path.read_text()))
        return tables

    def pretrain(self, stride: int) -> dict[str, Any]:
        """A masked language model for so many minutes, probed on the way."""
        settings, output = self.settings, self.work / f"virbert-{stride}"
        steps = self._steps(stride)
        every = max(1, steps // settings.probes)
        recipe = load_recipe(
            {
                "task": "pretrain",
                "name": f"virBERT, 6-mers, stride {stride}",
                "model": {
                    "type": "kmer_bert",
                    "config": {**shape(settings.shape), "attention_probs_dropout_prob": 0.0},
                },
                "tokenizer": {"type": "KmerTokenizer", "k": 6, "stride": stride},
                "data": {"path": str(self.genomes), "reads": {**self._law(), "per_epoch": steps * settings.batch}},
                "training": {
                    "per_device_train_batch_size": settings.batch,
                    "max_steps": steps,
                    "learning_rate": 7e-4,
                    "eval_steps": every,
                    "save_steps": every,
                    "logging_steps": max(1, every // 10),
                },
            }
        )
        curve = Curve(self.work / f"curve-{stride}.jsonl", every, Probe(self.genomes, stride, settings))
        self._train(recipe, output, [curve])
        metrics = json.loads((output / "metrics.json").read_text())["metrics"]
        return {"steps": steps, "minutes": curve.seconds / 60, "metrics": metrics}

    def _law(self) -> dict[str, Any]:
        lower, upper = self.settings.law
        return {
            "length": {"lower": lower, "upper": upper, "bias": 0.5},
            "balance": False,
            "validation": 512,
            "test": 512,
        }

    def _steps(self, stride: int) -> int:
        """Steps that fit into the minutes, by the measured speed of stride 1; settled in the first call."""
        name = f"steps of stride {stride}"
        if name not in self.state:
            rows = self.state["speed"]["result"][0]["result"]["rows"]
            lower, upper = self.settings.law
            nucleotides = self.settings.batch * (upper + (lower + upper) / 2) / 2
            # The trainer adds logging, evaluation and checkpoints; fewer tokens a nucleotide are faster.
            steps = 60 * self.settings.minutes * rows["ours"]["nt_per_second"] / nucleotides * (0.85, 2.0)[stride > 1]
            self._keep(name, max(4, min(int(steps), self.settings.most_steps)))
        return self.state[name]

    def finetune(self, start: str, stride: int, length: int) -> dict[str, Any]:
        """Phage or not on fresh reads: macro recall on other groups, the shortcuts beside it."""
        settings = self.settings
        output = self.work / f"{start.replace(' ', '-')}-{stride}-{length}"
        model: dict[str, Any] = {"type": "kmer_bert", "config": {"classifier_pooling": "mean", "max_chunks": 2}}
        tokenizer: dict[str, Any] = {"type": "KmerTokenizer", "k": 6, "stride": stride}
        if start == "pretrained":
            model["from"] = str(self.work / f"virbert-{stride}")
        else:
            model["config"] |= shape(settings.shape)
        reads = {
            "length": length, "per_epoch": settings.tune_reads, "gc_match": True, "classes": CLASSES,
            "validation": settings.test_reads // 2, "test": settings.test_reads,
        }  # fmt: skip
        recipe = load_recipe(
            {
                "task": "finetune",
                "model": model,
                "tokenizer": tokenizer,
                "data": {"path": str(self.genomes), "reads": reads},
                "training": {"per_device_train_batch_size": 64 if length < 500 else 32, "num_train_epochs": 1,
                             "learning_rate": 5e-5 if start == "pretrained" else 2e-4, "save_steps": 1000,
                             "save_strategy": "steps", "eval_strategy": "steps", "eval_steps": 1000},
                "seeds": list(settings.seeds),
                "metrics": ["macro_recall", "auroc", "mcc"],
                "portable": False,
            }
        )  # fmt: skip
        self._train(recipe, output, [])
        found = json.loads((output / "metrics.json").read_text())
        return {key: found[key] for key in ("metrics", "baselines") if key in found}

    def _train(self, recipe: Any, output: Path, callbacks: list[Any]) -> None:
        self._check_time(20 if self.device == "cuda" else 5)
        try:
            resume = output.exists() or output.with_name(output.name + ".partial").exists()
            train(recipe, output, resume=resume, callbacks=[*callbacks, Deadline(self.deadline)])
        except KeyboardInterrupt:
            raise OutOfTimeError from None

    def export(self) -> dict[str, Any]:
        """The encoder of the better stride in fp16, in shards that travel."""
        scores = {
            stride: self.state[f"pretrained, stride {stride}, {self.settings.lengths[0]} nt"]["result"]["metrics"]
            for stride in STRIDES
        }
        best = max(STRIDES, key=lambda stride: scores[stride]["validation"]["macro_recall"]["mean"])
        from seqformers import KmerBertForMaskedLM

        model = KmerBertForMaskedLM.from_pretrained(self.work / f"virbert-{best}")
        shards = half_shards(model)
        for number, shard in enumerate(shards):
            save_file(shard, self.out / f"speedrun-weights-{number}.safetensors")
        (self.out / "speedrun-config.json").write_text(model.config.to_json_string(), encoding="utf-8")
        return {"stride": best, "shards": len(shards)}


def half_shards(model: Any) -> list[dict[str, torch.Tensor]]:
    """The weights of a masked language model in fp16, in parts that travel; without what is tied to the embeddings."""
    shards: list[dict[str, torch.Tensor]] = [{}]
    size = 0
    for name, tensor in model.half().state_dict().items():
        if name.startswith("cls.predictions.decoder"):
            continue
        if size + tensor.nbytes > _SHARD and shards[-1]:
            shards.append({})
            size = 0
        shards[-1][name] = tensor.contiguous()
        size += tensor.nbytes
    return shards


def toy_genomes(folder: Path) -> None:
    """Made-up genomes of the five classes, where there are none."""
    if GenomeArrays.is_built(folder):
        return
    rng = np.random.default_rng(0)
    for label, gc in (("phage", 0.45), ("virus", 0.5), ("host", 0.52)):
        for number in range(12):
            path = folder.with_name("toy") / label / f"{label}{number}.fa"
            path.parent.mkdir(parents=True, exist_ok=True)
            weights = [(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2]
            path.write_text(f">c\n{''.join(rng.choice(list('ACGT'), 900, p=weights))}\n")
    build_dataset("genomes", output=folder, data_dir=folder.with_name("toy"), groups="none")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("build/gpu"))
    parser.add_argument("--limit", type=float, default=520, help="seconds after which this call ends")
    parser.add_argument("--toy", action="store_true", help="everything in small, on a CPU")
    arguments = parser.parse_args()
    deadline = time.monotonic() + arguments.limit
    for folder in (arguments.work, arguments.out):
        folder.mkdir(parents=True, exist_ok=True)
    if arguments.toy:
        toy_genomes(arguments.work / "genomes")
    elif not torch.cuda.is_available():
        raise SystemExit("no GPU is here; --toy goes through all stages on a CPU")
    elif not GenomeArrays.is_built(arguments.work / "genomes"):
        raise SystemExit(
            "no genomes in build/gpu/genomes; make them with python -m benchmarks.gpu.genomes DATA build/gpu/genomes"
        )
    done = Speedrun(TOY if arguments.toy else Settings(), arguments.work, arguments.out, deadline).run()
    print("nothing is left: see speedrun.json" if done else "time is up; call again to go on")


if __name__ == "__main__":
    main()
