"""Train the packaged protein annotator: masked residues first, then its three heads together, or each from nothing.

    python -m benchmarks.tables.annotator_training pretrain --data DATA --work work/annotator --minutes 20
    python -m benchmarks.tables.annotator_training annotate --data DATA --work work/annotator --minutes 25
    python -m benchmarks.tables.annotator_training annotate --data DATA --work work/annotator --arm shared \
        --steps 700
    python -m benchmarks.tables.annotator_training annotate --data DATA --work work/annotator --arm scratch-structure \
        --steps 1195
    python -m benchmarks.tables.annotator_training annotate --data DATA --work work/annotator --arm tuned-structure \
        --steps 1195
    python -m benchmarks.tables.annotator_training teach --data DATA --work work/annotator --steps 1400
    python -m benchmarks.tables.annotator_training annotate --data DATA --work work/annotator \
        --arm consensus-structure --steps 1000
    python -m benchmarks.tables.annotator_training teach --data DATA --work work/annotator --labels second \
        --steps 8000

A run ends by the clock or after so many steps; what was seen is written beside the weights. A killed run goes on from
its last checkpoint. `shared` goes on from `joint` (the three heads on one encoder) with blocks of its own for the
structures and for the topologies; the arms `scratch-*` are that encoder for one task, from nothing, with as many
batches of the task as `joint`, and `tuned-*` the same from the weights of the masked residues. `teach` is a training
on the labels of unlabelled proteins that `annotator_consensus` wrote, and `consensus-structure` goes on from it, or
`second-structure` from the second labels; `long-structure` and `longest-structure` are from nothing, with more steps
on labelled rows. `validation-topology` never sees fold 2, on which the decoder's cost of a helix is chosen.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from benchmarks._results import commit
from benchmarks.tables.annotator_data import IGNORED, Labelled, encode, load_labelled, load_unlabelled
from benchmarks.tables.annotator_grammar import GrammarLoss
from seqformers.modeling.protein.configuration_protein_cnn import ProteinCnnConfig
from seqformers.modeling.protein.modeling_protein_cnn import ProteinCnnForAnnotation, ProteinCnnForMaskedLM

__all__ = ["ARMS", "main"]

LENGTH, ROWS = 256, 32
BATCHES = {"structure": (ROWS, LENGTH), "topology": (ROWS // 2, 2 * LENGTH), "signal": (96, 72)}  # rows, tokens
PRETRAINING_RATE = 2e-3
MASK, PAD, FIRST_RESIDUE, LAST_RESIDUE = 1, 0, 5, 29
# Share of the batches of each task; what a topology batch consists of.
SHARES = {"structure": 0.42, "topology": 0.33, "signal": 0.15, "masked": 0.10}
KINDS = {"alpha": 0.5, "globular_signal": 0.2, "globular": 0.25, "beta": 0.05}
# Blocks of their own that two heads have.
OWN_BLOCKS = {"topology_dilations": [8, 16, 32], "structure_dilations": [1, 2, 4, 8]}
VALIDATION_FOLD = 2


@dataclass(frozen=True)
class Arm:
    """What one network is trained on, and where it starts: folder of weights, or None for nothing."""

    tasks: tuple[str, ...]
    start: str | None = None
    shares: dict[str, float] = field(default_factory=lambda: SHARES)
    own_blocks: bool = True
    rate: float = 1.5e-3
    left_out: int | None = None  # fold of the topologies


_ALL = ("structure", "topology", "signal")
ARMS: dict[str, Arm] = {
    "joint": Arm(_ALL, "pretrained", own_blocks=False),
    "shared": Arm(_ALL, "joint.0", {"structure": 0.55, "topology": 0.38, "signal": 0.07}, rate=1e-3),
    **{f"scratch-{task}": Arm((task,), own_blocks=False) for task in _ALL},
    **{f"tuned-{task}": Arm((task,), "pretrained", own_blocks=False) for task in _ALL},
    "consensus-structure": Arm(("structure",), "consensus.0", own_blocks=False, rate=1e-3),
    "second-structure": Arm(("structure",), "second.0", own_blocks=False, rate=1e-3),
    "long-structure": Arm(("structure",), own_blocks=False),
    "longest-structure": Arm(("structure",), own_blocks=False),
    "validation-topology": Arm(("topology",), "pretrained", left_out=VALIDATION_FOLD),
}
# Labels of unlabelled proteins, a name of the network too that was taught these, and the arm that begins with it.
LABELS = {"consensus": "consensus-structure", "second": "second-structure"}
_CHECKPOINT_SECONDS = 120


class Corpus:
    """Crops of unlabelled proteins, masked."""

    def __init__(self, sequences: list[str]):
        self.ids = [encode(sequence).astype(np.uint8) for sequence in sequences]
        self.chance = np.array([min(len(ids), 2 * LENGTH) for ids in self.ids], dtype=np.float64)
        self.chance /= self.chance.sum()
        self.ends = np.cumsum(self.chance)

    def batch(self, rng: np.random.Generator, rows: int = ROWS) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Masked ids, attention mask and labels (rows, LENGTH)."""
        ids = np.full((rows, LENGTH), PAD, np.int64)
        for row, pick in enumerate(np.searchsorted(self.ends, rng.random(rows)).clip(max=len(self.ids) - 1)):
            whole = self.ids[pick]
            start = rng.integers(0, max(len(whole) - LENGTH, 0) + 1)
            piece = whole[start : start + LENGTH]
            ids[row, : len(piece)] = piece
        chosen = (rng.random(ids.shape) < 0.15) & (ids >= FIRST_RESIDUE)
        labels = np.where(chosen, ids, IGNORED)
        action = rng.random(ids.shape)
        other = rng.integers(FIRST_RESIDUE, LAST_RESIDUE + 1, ids.shape)
        masked = np.where(chosen & (action < 0.8), MASK, np.where(chosen & (action >= 0.9), other, ids))
        return torch.from_numpy(masked), torch.from_numpy(ids != PAD).long(), torch.from_numpy(labels)


class LabelledDraws:
    """Batches of one labelled task; each row is a crop with its labels."""

    def __init__(self, task: str, rows: list[Labelled]):
        self.task, self.rows = task, rows
        self.ids = [encode(row.sequence) for row in rows]
        kinds = np.array(["globular_signal" if row.kind == "globular" and row.signal else row.kind for row in rows])
        chance = np.ones(len(rows))
        if task == "topology":
            for kind, share in KINDS.items():
                chance[kinds == kind] = share / max((kinds == kind).sum(), 1)
        elif task == "structure":
            chance = np.array([min(len(ids), 2 * LENGTH) for ids in self.ids], dtype=np.float64)
        self.ends = np.cumsum(chance / chance.sum())

    def batch(self, rng: np.random.Generator) -> dict[str, torch.Tensor]:
        """Inputs and labels of one step."""
        rows, length = BATCHES[self.task]
        ids = np.full((rows, length), PAD, np.int64)
        labels = {name: np.full((rows, length), IGNORED, np.int64) for name in ("topology", "structure")}
        signal = np.full(rows, -1, np.int64)
        for place, pick in enumerate(np.searchsorted(self.ends, rng.random(rows)).clip(max=len(self.ids) - 1)):
            row, whole = self.rows[pick], self.ids[pick]
            start = int(rng.integers(0, max(len(whole) - length, 0) + 1))
            if row.kind == "globular" or rng.random() < 0.15:
                start = 0  # the start of a protein is where its signal peptide is
            piece = whole[start : start + length]
            ids[place, : len(piece)] = piece
            if row.signal is not None and start == 0:
                signal[place] = row.signal
            for name, values in (("topology", row.topology), ("structure", row.structure)):
                if values is not None:
                    padded = np.r_[IGNORED, values, IGNORED][start : start + length]
                    labels[name][place, : len(padded)] = padded
        batch = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(ids != PAD).long()}
        return batch | {
            "signal_labels": torch.from_numpy(signal),
            "topology_labels": torch.from_numpy(labels["topology"]),
            "structure_labels": torch.from_numpy(labels["structure"]),
        }


class SoftDraws:
    """Crops of proteins whose residues have probabilities of the states, of `annotator_consensus`."""

    def __init__(self, path: Path):
        with np.load(path) as saved:
            sequences, self.chances = saved["sequences"].tolist(), saved["labels"]
        self.ids = [encode(sequence).astype(np.uint8) for sequence in sequences]
        lengths = np.array([len(ids) for ids in self.ids])
        self.first = np.cumsum(lengths - 2) - (lengths - 2)  # of each protein among the probabilities
        chance = np.minimum(lengths, 2 * LENGTH).astype(np.float64)
        self.ends = np.cumsum(chance / chance.sum())

    def batch(self, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids (rows, LENGTH) and probabilities (rows, LENGTH, 3), all zero where there are no residues."""
        ids = np.full((ROWS, LENGTH), PAD, np.int64)
        chances = np.zeros((ROWS, LENGTH, 3), np.float32)
        for row, pick in enumerate(np.searchsorted(self.ends, rng.random(ROWS)).clip(max=len(self.ids) - 1)):
            whole = self.ids[pick]
            start = int(rng.integers(0, max(len(whole) - LENGTH, 0) + 1))
            piece = whole[start : start + LENGTH]
            ids[row, : len(piece)] = piece
            before = int(start == 0)  # the start token stands before the residues
            begin = self.first[pick] + start + before - 1
            count = len(piece) - before - int(start + len(piece) == len(whole))
            chances[row, before : before + count] = self.chances[begin : begin + count] / 255
        return torch.from_numpy(ids), torch.from_numpy(chances)


class Run:
    """One training by the clock: schedule, checkpoint, facts."""

    def __init__(self, folder: Path, modules: nn.Module, rate: float, limit: tuple[float, int], seed: int):
        self.folder, self.modules = folder, modules
        self.seconds, self.steps = limit[0] * 60 or math.inf, limit[1] or math.inf
        self.optimizer = torch.optim.AdamW(modules.parameters(), lr=rate, weight_decay=0.02, betas=(0.9, 0.98))
        self.rate, self.seed = rate, seed
        self.facts: dict[str, Any] = {
            "steps": 0,
            "residues": 0,
            "seconds": 0.0,
            "cpu_seconds": 0.0,
            "losses": {},
            "batches": {},
        }
        self.ema: dict[str, torch.Tensor] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "checkpoint.pt"
        if self.path.is_file():
            saved = torch.load(self.path, weights_only=False)
            modules.load_state_dict(saved["modules"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.facts, self.ema = saved["facts"], saved["ema"]
        self.rng = np.random.default_rng([seed, self.facts["steps"]])
        torch.manual_seed(seed + self.facts["steps"])

    def train(self, step: Callable[[np.random.Generator], tuple[str, torch.Tensor, int]]) -> None:
        """Call `step` (name of the loss, loss, residues) until the time is up."""
        begin, cpu, saved = time.time(), time.process_time(), time.time()
        before, cpu_before = self.facts["seconds"], self.facts["cpu_seconds"]
        averages: dict[str, float] = self.facts["losses"]
        while (done := self._done(before + time.time() - begin)) < 1:
            warm = min(1.0, (self.facts["steps"] + 1) / 100)
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
            with torch.autocast("cpu", torch.bfloat16):
                name, loss, residues = step(self.rng)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.modules.parameters(), 1.0)
            self.optimizer.step()
            self._average()
            value = float(loss.detach())
            averages[name] = 0.98 * averages.get(name, value) + 0.02 * value
            self.facts["steps"] += 1
            self.facts["batches"][name] = self.facts["batches"].get(name, 0) + 1
            self.facts["residues"] += residues
            self.facts["seconds"] = before + time.time() - begin
            self.facts["cpu_seconds"] = cpu_before + time.process_time() - cpu
            if self.facts["steps"] % 50 == 0:
                said = " ".join(f"{key} {value:.3f}" for key, value in averages.items())
                print(
                    f"{done:.2f} step {self.facts['steps']} {self.facts['residues'] / 1e6:.1f} M: {said}", flush=True
                )
            if time.time() - saved > _CHECKPOINT_SECONDS:
                self.save()
                saved = time.time()
        self.save()

    def _done(self, seconds: float) -> float:
        return max(seconds / self.seconds, self.facts["steps"] / self.steps)

    def _average(self, decay: float = 0.995) -> None:
        state = self.modules.state_dict()
        if self.ema is None:
            self.ema = {name: value.detach().clone() for name, value in state.items()}
        for name, value in state.items():
            if value.is_floating_point():
                self.ema[name].lerp_(value.detach(), 1 - decay)

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        part = self.path.with_suffix(".part")
        saved = {"modules": self.modules.state_dict(), "optimizer": self.optimizer.state_dict()}
        torch.save(saved | {"facts": self.facts, "ema": self.ema}, part)
        part.replace(self.path)

    def finish(self) -> None:
        """Use the averaged weights."""
        assert self.ema is not None
        self.modules.load_state_dict(self.ema)


def pretrain(data: Path, work: Path, limit: tuple[float, int], seed: int) -> None:
    """Masked residues."""
    sequences = load_unlabelled(data, work / "frames.parquet")
    order = np.random.default_rng(0).permutation(len(sequences))
    held, used = [sequences[i] for i in order[:500]], [sequences[i] for i in order[500:]]
    corpus, torch_seed = Corpus(used), seed
    torch.manual_seed(torch_seed)
    model = ProteinCnnForMaskedLM(ProteinCnnConfig(hidden_dropout_prob=0.0)).train()
    run = Run(work / "pretrained", model, PRETRAINING_RATE, limit, seed)

    def step(rng: np.random.Generator) -> tuple[str, torch.Tensor, int]:
        ids, mask, labels = corpus.batch(rng)
        return "masked", masked_loss(model, ids, mask, labels), int(mask.sum())

    run.train(step)
    run.finish()
    model.eval().save_pretrained(work / "pretrained")
    facts = run.facts | {"sequences": len(used), "residues_of_corpus": sum(map(len, used)), "commit": commit()}
    facts |= {"parameters": sum(p.numel() for p in model.parameters()), "minutes": limit[0], "seed": seed}
    facts |= _held_out(model, held)
    (work / "pretrained" / "facts.json").write_text(json.dumps(facts, indent=1))
    print(json.dumps(facts, indent=1), flush=True)


def masked_loss(model: ProteinCnnForMaskedLM, ids: torch.Tensor, mask: torch.Tensor, labels: torch.Tensor):
    """Cross-entropy of the masked residues; the decoder is applied to these alone."""
    hidden = model.protein_cnn(attention_mask=mask, inputs_embeds=embedded(model, ids)).last_hidden_state
    chosen = labels != IGNORED
    logits = model.lm_decoder(model.lm_norm(nn.functional.gelu(model.lm_dense(hidden[chosen]))))
    return nn.functional.cross_entropy(logits.float(), labels[chosen])


def embedded(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """Vectors of the tokens in bfloat16, so that the whole stream between the blocks is."""
    return model.protein_cnn.embeddings(ids).bfloat16()


@torch.inference_mode()
def _held_out(model: ProteinCnnForMaskedLM, held: list[str]) -> dict[str, float]:
    corpus, rng, right, count, loss = Corpus(held), np.random.default_rng(1), 0, 0, 0.0
    letters = np.zeros(LAST_RESIDUE + 1)
    for _ in range(20):
        ids, mask, labels = corpus.batch(rng)
        logits, chosen = model(ids, mask).logits, labels != IGNORED
        right += int((logits.argmax(-1) == labels)[chosen].sum())
        loss += float(nn.functional.cross_entropy(logits[chosen], labels[chosen], reduction="sum"))
        count += int(chosen.sum())
        letters += np.bincount(labels[chosen].numpy(), minlength=LAST_RESIDUE + 1)
    return {
        "masked_accuracy": right / count,
        "masked_perplexity": math.exp(loss / count),
        "most_common_residue": float(letters.max() / letters.sum()),
    }


def annotate(data: Path, work: Path, limit: tuple[float, int], seed: int, name: str) -> None:
    """The heads, from weights that are there or from nothing."""
    arm = ARMS[name]
    train, _, facts = load_labelled(data)
    train["topology"] = [row for row in train["topology"] if row.fold != arm.left_out]
    torch.manual_seed(seed)
    model = ProteinCnnForAnnotation(ProteinCnnConfig(**(OWN_BLOCKS if arm.own_blocks else {}))).train()
    start_from(model, work / arm.start if arm.start else None)
    language = ProteinCnnForMaskedLM(model.config).train()
    if arm.start == "pretrained":
        language = ProteinCnnForMaskedLM.from_pretrained(work / arm.start, hidden_dropout_prob=0.1).train()
    language.protein_cnn = model.protein_cnn  # one encoder for all losses
    grammar = GrammarLoss()
    draws = {task: LabelledDraws(task, train[task]) for task in arm.tasks}
    shares = {task: arm.shares[task] for task in arm.tasks}
    corpus = None
    if len(arm.tasks) > 1 and "masked" in arm.shares:
        corpus = Corpus(load_unlabelled(data, work / "frames.parquet"))
        shares["masked"] = arm.shares["masked"]
    names, ends = list(shares), np.cumsum(list(shares.values())) / sum(shares.values())
    run = Run(work / f"{name}.{seed}", nn.ModuleList([model, language, grammar]), arm.rate, limit, seed)

    def step(rng: np.random.Generator) -> tuple[str, torch.Tensor, int]:
        task = names[int(np.searchsorted(ends, rng.random()))]
        if task == "masked":
            assert corpus is not None
            ids, mask, labels = corpus.batch(rng)
            return task, 0.5 * masked_loss(language, ids, mask, labels), int(mask.sum())
        batch = draws[task].batch(rng)
        output = model(inputs_embeds=embedded(model, batch.pop("input_ids")), **batch)
        loss = output.loss
        if task == "topology" and arm.own_blocks:
            loss = loss + grammar(output.topology_logits, batch["topology_labels"], batch["attention_mask"])
        return task, loss, int(batch["attention_mask"].sum())

    run.train(step)
    run.finish()
    model.eval().save_pretrained(work / f"{name}.{seed}")
    facts |= run.facts | {"arm": name, "seed": seed, "minutes": limit[0], "shares": shares, "commit": commit()}
    facts["parameters"] = sum(p.numel() for p in model.parameters())
    facts["grammar"] = {"scale": float(grammar.scale.exp()), "chances": grammar.chances.sigmoid().tolist()}
    (work / f"{name}.{seed}" / "facts.json").write_text(json.dumps(facts, indent=1))
    print(json.dumps(facts, indent=1), flush=True)


def teach(data: Path, work: Path, limit: tuple[float, int], seed: int, name: str) -> None:
    """The head of structures on probabilities of unlabelled proteins, every third batch of labelled ones."""
    train, _, facts = load_labelled(data)
    torch.manual_seed(seed)
    model = ProteinCnnForAnnotation(ProteinCnnConfig()).train()
    soft, labelled = SoftDraws(work / f"{name}.npz"), LabelledDraws("structure", train["structure"])
    run = Run(work / f"{name}.{seed}", model, ARMS["scratch-structure"].rate, limit, seed)

    def step(rng: np.random.Generator) -> tuple[str, torch.Tensor, int]:
        if rng.random() < 1 / 3:
            batch = labelled.batch(rng)
            loss = model(inputs_embeds=embedded(model, batch.pop("input_ids")), **batch).loss
            return "structure", loss, int(batch["attention_mask"].sum())
        ids, chances = soft.batch(rng)
        mask = (ids != PAD).long()
        logits = model(inputs_embeds=embedded(model, ids), attention_mask=mask).structure_logits
        losses = -(logits.float().log_softmax(-1) * chances).sum(-1)
        return "consensus", losses.sum() / (chances.sum(-1) > 0).sum(), int(mask.sum())

    run.train(step)
    run.finish()
    model.eval().save_pretrained(work / f"{name}.{seed}")
    facts |= run.facts | {"seed": seed, "minutes": limit[0], "commit": commit(), "proteins": len(soft.ids)}
    (work / f"{name}.{seed}" / "facts.json").write_text(json.dumps(facts, indent=1))
    print(json.dumps(facts, indent=1), flush=True)


def start_from(model: ProteinCnnForAnnotation, folder: Path | None) -> None:
    """Load the encoder (and the heads, where the folder has them); blocks that are new begin as if they were not."""
    if folder is None:
        return
    known = load_file(folder / "model.safetensors")
    wanted = model.state_dict()
    model.load_state_dict({name: known.get(name, value) for name, value in wanted.items()})
    for block in [*model.topology_blocks, *model.structure_blocks]:
        if not any("_blocks." in name for name in known):
            nn.init.zeros_(block.widen.weight)
            nn.init.zeros_(block.widen.bias)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["pretrain", "annotate", "teach"])
    parser.add_argument("--data", type=Path, required=True, help="folder of the public data")
    parser.add_argument("--work", type=Path, default=Path("work/annotator"))
    parser.add_argument("--minutes", type=float, default=0, help="end by the clock")
    parser.add_argument("--steps", type=int, default=0, help="end by the steps")
    parser.add_argument("--arm", default="joint", choices=list(ARMS))
    parser.add_argument("--labels", default="consensus", help="name of the labels that `teach` learns from")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if not (options.minutes or options.steps):
        parser.error("give --minutes or --steps")
    torch.set_num_threads(1)
    limit = (options.minutes, options.steps)
    options.work.mkdir(parents=True, exist_ok=True)
    if options.what == "pretrain":
        pretrain(options.data, options.work, limit, options.seed)
    elif options.what == "teach":
        teach(options.data, options.work, limit, options.seed, options.labels)
    else:
        annotate(options.data, options.work, limit, options.seed, options.arm)


if __name__ == "__main__":
    main()
