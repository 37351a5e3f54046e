"""Find the targets of microRNAs in the browser: FASTA of miRNAs and of 3'UTRs in; table, picture, download out.

The model lies in the folder `model` beside this file, with its code; the network is not needed. Start it with
`python app.py`.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pandas as pd
import torch
from common import MODEL, SETTINGS, fasta_input, launch, read_fasta, results, saved
from matplotlib.figure import Figure
from target_picture import draw_target_sites
from target_sites import merge_windows, pad_ends
from transformers import AutoModel, AutoProcessor

BATCH = 256
MAX_WINDOWS = 2_000_000

processor = AutoProcessor.from_pretrained(MODEL, trust_remote_code=True)
model = AutoModel.from_pretrained(MODEL, trust_remote_code=True).eval()
engine = sys.modules[type(processor).encode_mirna.__globals__["find_sites"].__module__]  # selection and drawing


@torch.inference_mode()
def find(mirnas: dict[str, str], mrnas: dict[str, str]) -> pd.DataFrame:
    """All sites of all pairs, by pair and position.

    Raises:
        gr.Error: a record is no miRNA or no RNA, or there is too much to look at.
    """
    try:
        seeds = [processor.encode_mirna(sequence, name) for name, sequence in mirnas.items()]
        bare = [engine.encode_rna(sequence, name) for name, sequence in mrnas.items()]
    except ValueError as error:
        raise gr.Error(str(error)) from error
    targets = [pad_ends(codes, processor.step)[0] for codes in bare]
    windows = len(seeds) * sum(map(len, targets))
    if windows > MAX_WINDOWS:
        raise gr.Error(f"{windows:,} windows are too many for this page; the limit is {MAX_WINDOWS:,}.")
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


def best(sites: pd.DataFrame, mirnas: dict[str, str], mrnas: dict[str, str]) -> pd.DataFrame:
    """One row a pair, its best site's; the best pair first. A pair without a site has score 0."""
    rows = sites.loc[sites.groupby("pair").score.idxmax()].set_index("pair")
    rows = rows.reindex(range(len(mirnas) * len(mrnas)))
    table = pd.DataFrame(
        {
            "mirna_id": np.repeat(list(mirnas), len(mrnas)),
            "mrna_id": np.tile(list(mrnas), len(mirnas)),
            "score": rows.score.fillna(0.0).round(6),
            "num_sites": sites.groupby("pair").size().reindex(rows.index, fill_value=0),
            "best_start": rows.start.astype("Int64"),
            "best_end": rows.end.astype("Int64"),
            "site_type": rows.kind.fillna("none"),
            "alignment": rows.alignment.fillna(""),
        }
    )
    return table.sort_values("score", ascending=False, kind="stable")


def draw(row: pd.Series, sites: pd.DataFrame, mirna: str, mrna: str) -> Figure:
    """The sites of one pair along the mRNA, and its best one's pairing."""
    columns = ["start", "end", "score", "pairings", "kind", "alignment", "window"]
    mine = list(sites[columns].itertuples(index=False, name=None))
    first = max(mine, key=lambda site: site[2], default=None)
    scored = SimpleNamespace(score=row.score, num_sites=row.num_sites, best=first, sites=mine)
    rna = str.maketrans("T", "U")
    return draw_target_sites(
        scored, mirna.translate(rna), mrna.translate(rna), title=f"{row.mirna_id} on {row.mrna_id}"
    )


def run(
    mirna_text: str, mirna_file: str | None, mrna_text: str, mrna_file: str | None
) -> tuple[pd.DataFrame, Figure, str]:
    """What the button does."""
    mirnas, mrnas = read_fasta(mirna_text, mirna_file, "a miRNA"), read_fasta(mrna_text, mrna_file, "a 3'UTR")
    sites = find(mirnas, mrnas)
    table = best(sites, mirnas, mrnas)
    first = table.iloc[0]
    picture = draw(first, sites[sites.pair == first.name], mirnas[first.mirna_id], mrnas[first.mrna_id])
    return table, picture, saved(table)


with gr.Blocks(title=SETTINGS["title"]) as page:
    gr.Markdown(f"# {SETTINGS['title']}\n{SETTINGS['summary']}")
    mirna = fasta_input("Mature miRNAs, 5'→3', 10 to 41 nt", "mirna")
    mrna = fasta_input("3'UTRs or other targets, 5'→3'", "fasta")
    button = gr.Button("Find targets", variant="primary", elem_id="run")
    outputs = results()
    gr.Examples(SETTINGS["examples"], [mirna[0], mrna[0]], label="Examples")
    button.click(run, [*mirna, *mrna], outputs, api_name="run")

if __name__ == "__main__":
    launch(page)
