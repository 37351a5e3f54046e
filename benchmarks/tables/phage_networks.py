"""Networks that could stand in the phage detector, each trained for the same CPU time on the same reads of one fold.

    python -m benchmarks.tables.phage_networks --work runs/phage --seconds 120

`--work` is that of `phage_detector`: reads are those of `genomes/fold-0` by the recipe's law, drawn in one order for
all networks, and measured are the contigs of fold 0, whose groups none of them has seen. A slower network sees fewer
reads: that is part of what is compared. The rate falls to 0 with the time. Intervals: a bootstrap over groups; of one
seed each.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from benchmarks._results import write_result
from benchmarks.tables.phage_data import CLASSES
from benchmarks.tables.phage_detector import _IDS, LENGTHS, with_intervals
from benchmarks.tables.phage_folds import BATCH, RECIPE, draw_again, read_records
from seqformers.datasets_scripts.genomes.arrays import GenomeArrays
from seqformers.datasets_scripts.genomes.reads import ReadSampler
from seqformers.modeling.dna.configuration_coding_profile import CodingProfileConfig
from seqformers.modeling.dna.configuration_self_genomenet import SelfGenomeNetConfig
from seqformers.modeling.dna.configuration_seq_cnn import SeqCnnConfig
from seqformers.modeling.dna.modeling_coding_profile import CodingProfileModel
from seqformers.modeling.dna.modeling_self_genomenet import SelfGenomeNetForPreTraining, SelfGenomeNetModel
from seqformers.modeling.dna.modeling_seq_cnn import SeqCnnModel
from seqformers.phages.contig import encode_windows, window_bounds

FOLD = 0
RATE, WARM_UP = 1e-3, 0.05


class SixFrames(nn.Module):
    """Codons of all six frames through one convolution, its largest and mean answers of a frame, the best frame's."""

    def __init__(self, width: int = 64):
        super().__init__()
        self.codons = nn.Embedding(65, 16)
        self.first = nn.Conv1d(16, width, 9, stride=3, padding=4)
        self.second = nn.Conv1d(width, width, 5, padding=2)
        self.size = 4 * width

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Vectors `(rows, size)`: over frames the largest and the mean."""
        base = torch.tensor([4, 4, 4, 4, 4, 0, 3, 1, 2])[input_ids]  # A C G T = 0 to 3
        rows, count = len(base), (base.shape[1] - 2) // 3
        frames = []
        for strand in (base, torch.where(base < 4, 3 - base, 4).flip(1)):
            for start in range(3):
                letters = strand[:, start : start + 3 * count].view(rows, count, 3)
                codon = letters[..., 0] * 16 + letters[..., 1] * 4 + letters[..., 2]
                frames.append(torch.where((letters < 4).all(-1), codon, 64))
        codons = torch.stack(frames, 1).flatten(0, 1)
        hidden = nn.functional.relu(self.first(self.codons(codons).transpose(1, 2)))
        hidden = nn.functional.relu(self.second(hidden))
        pooled = torch.cat([hidden.amax(2), hidden.mean(2)], 1).view(rows, 6, -1)
        return torch.cat([pooled.amax(1), pooled.mean(1)], 1)


class Pooled(nn.Module):
    """The vector of a row of one of the package's encoders."""

    def __init__(self, model: Any):
        super().__init__()
        self.model, self.size = model, int(model.config.hidden_size)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Vectors `(rows, size)`; ids of 0 are padding."""
        return self.model(input_ids=input_ids, attention_mask=(input_ids != 0).long()).pooler_output


class Classifier(nn.Module):
    """Vectors of one or more encoders side by side, and a linear layer."""

    def __init__(self, *encoders: Any):
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.layer = nn.Linear(sum(encoder.size for encoder in encoders), len(CLASSES))

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Logits `(rows, 5)`."""
        return self.layer(torch.cat([encoder(input_ids) for encoder in self.encoders], 1))


def profile() -> Any:
    """The shipped network's encoder."""
    return Pooled(CodingProfileModel(CodingProfileConfig()))


def seq_cnn() -> Any:
    """Filters tied to their reverse complements."""
    config = SeqCnnConfig(
        num_filters=[64, 64], filter_widths=[15, 9], pool_widths=[4, 4], batch_norm=True, strands="shared",
        pooling="max_mean",
    )  # fmt: skip
    return Pooled(SeqCnnModel(config))


def genome_net() -> Any:
    """Self-GenomeNet of the size in recipes/virbert/lists/arms.yaml."""
    return Pooled(
        SelfGenomeNetModel(SelfGenomeNetConfig(num_filters=128, filter_width=24, filter_stride=6, lstm_size=128))
    )


NETWORKS: dict[str, Callable[[], Classifier]] = {
    "coding_profile": lambda: Classifier(profile()),
    "seq_cnn": lambda: Classifier(seq_cnn()),
    "self_genomenet": lambda: Classifier(genome_net()),
    "self_genomenet, half of the time its own pretraining": lambda: Classifier(genome_net()),
    "six-frame codons": lambda: Classifier(SixFrames()),
    "coding_profile and self_genomenet": lambda: Classifier(profile(), genome_net()),
    "coding_profile and six-frame codons": lambda: Classifier(profile(), SixFrames()),
}
PRETRAINED = "self_genomenet, half of the time its own pretraining"


class Reads:
    """Batches of fresh reads."""

    def __init__(self, work: Path):
        self.sampler = ReadSampler(GenomeArrays.open(work / "genomes" / f"fold-{FOLD}", "train"), RECIPE, seed=0)
        self.drawn = 0

    def batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids, 0 behind the end, and classes."""
        reads = self.sampler.draw(range(self.drawn, self.drawn + BATCH))
        self.drawn += BATCH
        ids = torch.from_numpy(_IDS[reads.letters])
        ids[torch.arange(ids.shape[1]) >= torch.from_numpy(reads.lengths)[:, None]] = 0
        return ids, torch.from_numpy(reads.labels)


def train(
    model: nn.Module, loss_of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], reads: Reads, seconds: float
) -> None:
    """AdamW until so many seconds of the processor are over."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    begun = time.process_time()
    model.train()
    while (part := (time.process_time() - begun) / seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (part + 1e-3) / WARM_UP) * (1 - part)
        loss = loss_of(*reads.batch())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.eval()


def learn(name: str, work: Path, seconds: float) -> tuple[Classifier, int]:
    """A network, trained; and how many reads it was given with their classes."""
    torch.manual_seed(0)
    model = NETWORKS[name]()
    if name == PRETRAINED:
        seconds /= 2
        pretrained = SelfGenomeNetForPreTraining(model.encoders[0].model.config)

        def own_loss(ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            return pretrained(input_ids=ids, attention_mask=(ids != 0).long(), labels=labels).loss

        train(pretrained, own_loss, Reads(work), seconds)
        model.encoders[0].model = pretrained.base_model
    reads = Reads(work)
    train(model, lambda ids, labels: nn.functional.cross_entropy(model(ids), labels), reads, seconds)
    return model, reads.drawn


@torch.no_grad()
def score(model: nn.Module, sequences: pd.Series) -> np.ndarray:
    """Mean log-probabilities of contigs over windows, weighted by letters."""
    found = np.zeros((len(sequences), len(CLASSES)))
    for own in sequences.groupby(sequences.str.len()).groups.values():
        rows = sequences.index.get_indexer(own)
        coded = [encode_windows(text, window_bounds(len(text))) for text in sequences.loc[own]]
        ids = torch.from_numpy(np.concatenate([ids for ids, _ in coded])).long()
        logs = torch.cat([model(part).log_softmax(1) for part in ids.split(BATCH)]).double().numpy()
        letters = np.stack([facts[:, 0] for _, facts in coded])[..., None]
        found[rows] = (logs.reshape(len(rows), -1, len(CLASSES)) * letters).sum(1) / letters.sum(1)
    return found


def main() -> None:
    """Train, score, measure; write `results/phage_networks.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--seconds", type=float, default=120, help="Of CPU time, each network's training.")
    parser.add_argument("--minutes", type=float, default=12, help="After which no further training begins.")
    given = parser.parse_args()
    torch.set_num_threads(1)
    contigs = draw_again(given.work, read_records(given.work))
    contigs = contigs[contigs["fold"] == FOLD].reset_index(drop=True)
    truth, groups = contigs["class"].map(CLASSES.index).to_numpy(), contigs["group"].to_numpy()
    folder = given.work / f"networks-{given.seconds:.0f}"
    folder.mkdir(exist_ok=True)
    begun, result = time.monotonic(), {}
    for name in given.networks:
        path = folder / f"{name.replace(' ', '_').replace(',', '')}.npy"
        facts = path.with_suffix(".json")
        if not path.is_file():
            if time.monotonic() - begun > given.minutes * 60:
                break
            model, drawn = learn(name, given.work, given.seconds)
            spent = time.process_time()
            means = score(model, contigs["sequence"])
            size = sum(part.numel() for part in model.parameters())
            spent = (time.process_time() - spent) / (contigs["sequence"].str.len().sum() / 1e6)
            said = {"reads": drawn, "parameters": size, "scoring_seconds_per_megabase": round(spent, 2)}
            facts.write_text(json.dumps(said), encoding="utf-8")
            np.save(path, means)
        means = np.load(path)
        result[name] = json.loads(facts.read_text(encoding="utf-8")) | {"table": {
            str(length): with_intervals(means[rows], truth[rows], groups[rows])
            for length in LENGTHS for rows in [(contigs["length"] == length).to_numpy()]
        }}  # fmt: skip
        row = {length: values["auroc_hosts"] for length, values in result[name]["table"].items()}
        print(name, result[name]["reads"], row, flush=True)
    write_result("phage_networks", {"seconds": given.seconds, "networks": result}, seeds=[0],
                 data="genomes and virus_genomes, as phage_detector; contigs of fold 0")  # fmt: skip


if __name__ == "__main__":
    main()
