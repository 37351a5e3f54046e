"""Sites by a TargetNet, which lies in the folder `model`."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pandas as pd
import torch
from common import MODEL
from results import ScoredPair
from sites import merge_windows, pad_ends
from transformers import AutoModel, AutoProcessor

BATCH = 256

processor = AutoProcessor.from_pretrained(MODEL, trust_remote_code=True)
model = AutoModel.from_pretrained(MODEL, trust_remote_code=True).eval()
engine = sys.modules[type(processor).encode_mirna.__globals__["find_sites"].__module__]  # selection and drawing
COLUMNS = ["start", "end", "score", "pairings", "kind", "alignment", "window"]  # of a site


def find(mirnas: dict[str, str], mrnas: dict[str, str]) -> list[ScoredPair]:
    """All pairs with all their sites.

    Raises:
        ValueError: a record is no miRNA or no RNA.
    """
    seeds = [processor.encode_mirna(sequence, name) for name, sequence in mirnas.items()]
    sites = all_sites(seeds, [engine.encode_rna(sequence, name) for name, sequence in mrnas.items()])
    of_pairs = dict(list(sites.groupby("pair")))
    found = []
    for number, (mirna, mrna) in enumerate((mirna, mrna) for mirna in mirnas for mrna in mrnas):
        pair = ScoredPair(mirna, mrna, sites=[])
        if number in of_pairs:
            pair.sites = list(of_pairs[number][COLUMNS].itertuples(index=False, name=None))
            pair.best = max(pair.sites, key=lambda site: site[2])
            pair.score, pair.num_sites = pair.best[2], len(pair.sites)
        found.append(pair)
    return found


def explain(pair: Any, mirna: str, mrna: str) -> None:
    """A TargetNet's picture shows the alignment of the best site alone."""


@torch.inference_mode()
def all_sites(seeds: list[np.ndarray], bare: list[np.ndarray]) -> pd.DataFrame:
    """All sites of all pairs, by pair and position."""
    targets = [pad_ends(codes, processor.step)[0] for codes in bare]
    pairs = [(mirna, mrna) for mirna in range(len(seeds)) for mrna in range(len(targets))]
    tables, matches = [], []
    for job in engine.plan_site_jobs(targets, pairs, step=processor.step):
        sites = job.find(seeds, **processor.options())
        ids = torch.from_numpy(sites.input_ids)
        logits = [model(ids[start : start + BATCH]).logits for start in range(0, len(ids), BATCH)]
        table = pd.DataFrame({"pair": sites.pair, "window": sites.start, "pairings": sites.pairings})
        table["score"] = torch.cat([*logits, torch.empty(0)]).double().sigmoid().numpy()
        matches.append(sites.seed_matches)
        aligned = processor.encode_alignment and len(sites)
        table["alignment"] = engine.draw_alignments(sites.input_ids, sites.pairings) if aligned else ""
        tables.append(table)
    found = pd.concat(tables, ignore_index=True)
    columns = (found[name].to_numpy() for name in ("pair", "window", "score"))
    windows, types, place = merge_windows(*columns, np.concatenate(matches))
    found = found.iloc[windows].reset_index(drop=True)
    found["kind"], found["start"], found["end"] = engine.SITE_TYPES[types], place[:, 0], place[:, 1]
    lengths = np.array([len(codes) for codes in bare])[found.pair % len(bare)]
    before = pad_ends(bare[0], processor.step)[1]
    found["window"] -= before
    found["start"], found["end"] = (found.start - before).clip(lower=0), np.minimum(found.end - before, lengths)
    return found
