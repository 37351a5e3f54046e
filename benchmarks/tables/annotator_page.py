"""What was measured of the packaged protein annotator: as a page, and as the card of its repository."""

from __future__ import annotations

import json
from typing import Any

from benchmarks._results import RESULTS
from benchmarks.tables.annotator_scores import MAIN, METRICS
from benchmarks.tables.annotator_training import LABELS
from seqformers.hub.cards import render_model_card

__all__ = ["annotator_card", "page"]

# What arms are called in the card.
_BASELINES = {
    "scratch-{}": "from scratch", "tuned-{}": "this task alone", "long-{}": "from scratch, three times the steps",
    "longest-{}": "from scratch, as many steps", "consensus": "first labels of unlabelled proteins",
    "consensus-{}": "first labels, then labelled rows", "second-{}": "packaged, then labelled rows",
}  # fmt: skip
_TITLES = {"structure": "Structure, CB513", "structure_ts115": "Structure, TS115"}


def page(outcome: dict[str, Any]) -> str:
    """The results as a page."""
    result = outcome["result"]
    lines = ["# The packaged protein annotator", "", f"`{outcome['command']}`, commit {outcome['commit']}.", ""]
    lines += ["Value ± standard deviation of a bootstrap over proteins; in brackets the packaged model's paired lead."]
    for task, found in result["tests"].items():
        title = _TITLES.get(task, task.capitalize())
        lines += ["", f"## {title} ({found['rows']:,} rows, {found['distinct']:,} distinct)", ""]
        lines += ["| arm | " + " | ".join(METRICS[task]) + " |", "|---" * (len(METRICS[task]) + 1) + "|"]
        for arm, entry in found["arms"].items():
            lines.append(f"| {arm} | " + " | ".join(_cell(entry, name) for name in METRICS[task]) + " |")
    lines += _seeds_page(result["seeds"])
    lines += ["", "## Whole proteins of fold 3", "", "| measured | value |", "|---|---|"]
    lines += [f"| {name.replace('_', ' ')} | {_number(value)} |" for name, value in result["whole_proteins"].items()]
    chosen = result["helix_cost"]
    lines += [
        "", f"A topology with helices has to be likelier by {chosen['cost']:g} (natural log) than the best without. "
        f"That was chosen on fold {chosen['fold']} with a network that never saw it: helical proteins "
        f"({chosen['proteins']['helical']:,}) with all segments right, others ({chosen['proteins']['globular']:,}) "
        "without a helix.", "",
        "| cost | helical right | others right |", "|---|---|---|",
        *(f"| {cost:g} | {one:.3f} | {other:.3f} |" for cost, one, other in
          zip(chosen["costs"], chosen["right"]["helical"], chosen["right"]["globular"], strict=True)),
    ]  # fmt: skip
    for name, labels in result["labels"].items():
        lines += _labels_page(name, labels)
    if result["not_run"]:
        lines += ["", "Not run (the commands of the trainings run them): " + ", ".join(result["not_run"]) + "."]
    lines += ["", "## Training", "", "| arm | steps | residues read | CPU seconds |", "|---|---|---|---|"]
    for arm, facts in {"masked residues": result["pretraining"], **result["training"]}.items():
        lines.append(f"| {arm} | {facts['steps']:,} | {facts['residues']:,} | {facts['cpu_seconds']:.0f} |")
    return "\n".join(lines) + "\n"


def _seeds_page(seeds: dict[str, Any]) -> list[str]:
    if not seeds:
        return []
    lines = ["", "## Seeds of the trainings", "", "| arm and task | metric | each seed | mean ± standard deviation |"]
    lines.append("|---" * 4 + "|")
    for name, found in seeds.items():
        each = ", ".join(f"{value:.3f}" for value in found["values"].values())
        lines.append(
            f"| {name} | {found['metric'].replace('_', ' ')} | {each} | {found['mean']:.3f} ± {found['sd']:.3f} |"
        )
    return lines


def _labels_page(name: str, found: dict[str, Any]) -> list[str]:
    """How labels of unlabelled proteins came about, and what a consensus is worth on validation proteins."""
    measured = found["validation"]
    left = found.get("proteins_left", found["proteins"])
    teachers = " and ".join(f"`{teacher}`" for teacher in found["teachers"])
    return [
        "", f"## Consensus over relatives: `{name}`", "",
        f"`{name}` (which `{LABELS[name]}` begins with) is taught labels of {left:,} unlabelled proteins: means of "
        f"the predictions of {teachers} over aligned relatives (for {found['with_relatives']:,} of "
        f"{found['proteins']:,}) and of true states of labelled training rows ({found['with_labelled_relatives']:,} "
        f"have such relatives). Proteins aligned to one of CB513 ({found['close_to_tests']:,}), of TS115 "
        f"({found.get('left_out_later', 0):,}) or of the validation rows ({found['close_to_validation']:,}) were left "
        "out; every third batch is of labelled training rows. On "
        f"{measured['proteins']:,} validation proteins with relatives the teacher alone has Q3 "
        f"{measured['teacher']:.3f}, the consensus {measured['consensus']:.3f} (own prediction {measured['own']:g}, "
        f"each relative 1, a labelled relative {measured['truth']:g} times the identity; without labelled relatives "
        f"{_without_truth(measured):.3f}). Searching, aligning and predicting took "
        f"{max(found['cpu_seconds'].values()):.0f} CPU seconds.",
    ]  # fmt: skip


def _without_truth(measured: dict[str, Any]) -> float:
    return max(row["q3"] for row in measured["every"] if not row["truth"])


def _cell(entry: dict[str, Any], name: str) -> str:
    if name not in entry["metrics"]:
        return "-"
    lead = entry["packaged_minus"].get(name)
    said = "" if lead is None else f" ({lead['value']:+.3f} ± {lead['sd']:.3f})"
    return f"{entry['metrics'][name]:.3f} ± {entry['sd'][name]:.3f}{said}"


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def _of_structures(arms: dict[str, Any], choice: dict[str, Any]) -> str:
    """Where the structures come from, for the card."""
    names = {
        "joint": "on the encoder that the three tasks share", "shared": "on that with blocks of their own",
        "scratch-structure": "alone and from nothing", "tuned-structure": "alone, from the masked residues",
        "long-structure": "alone and from nothing, with three times the steps",
        "longest-structure": "alone and from nothing, with as many steps as the longer teaching",
        "consensus": "taught by labels of unlabelled proteins, a consensus over their relatives, and labelled rows",
        "consensus-structure": "taught so, and then by labelled rows alone",
        "second": "taught in the same way for longer, by better teachers",
        "second-structure": "that, and then by labelled rows alone",
    }  # fmt: skip
    known = [arm for arm in names if arm in choice["q3"]]
    said = ", ".join(f"{names[arm]} {arms[arm]['metrics']['q3']:.3f} ({choice['q3'][arm]:.3f})" for arm in known)
    return (
        "Structures have an encoder of their own, trained on structures alone. Q3 on CB513, and in brackets on "
        f"{choice['proteins']} validation proteins, by which it is chosen (at first it was by CB513): {said}. The "
        f"packaged one is the network {names[choice['arm']]}."
    )


def _behind(arm: str, result: dict[str, Any]) -> list[dict[str, Any]]:
    """The trainings that an arm of structures needs: its own, and those of its labels and their teachers."""
    parts = [result["training"][arm]]
    parts += [result["training"][name] for name, after in LABELS.items() if after == arm]
    for name in (name for name, after in LABELS.items() if arm in (name, after)):
        for teacher in result["labels"][name]["teachers"]:
            parts += _behind(teacher.partition(".")[0], result)
    return parts


def annotator_card(model: Any) -> str:
    """The card of the packaged repository, its figures from `results/annotator.json`."""
    outcome = json.loads((RESULTS / "annotator.json").read_text())
    result = outcome["result"]
    tests = {"structure": "CB513", "signal": "signal peptides, test rows", "topology": "TMbed, fold 3, helical"}
    arms = {task: result["tests"][task]["arms"] for task in tests}
    training, before = result["training"], result["pretraining"]
    choice = result["structure_choice"]
    facts, parts = training["shared"], [before, training["joint"], training["shared"]]
    parts += _behind(choice["arm"], result)
    baselines: dict[str, dict[str, float]] = {}
    for task in tests:
        for arm, entry in arms[task].items():
            if arm not in ("packaged", choice["arm"]) and MAIN[task] in entry["metrics"]:
                name = _BASELINES.get(arm.replace(f"-{task}", "-{}"), arm)
                baselines.setdefault(name, {})[MAIN[task]] = round(entry["metrics"][MAIN[task]], 4)
    low = {task: arms[task]["packaged"]["interval"][MAIN[task]] for task in tests}
    whole = result["whole_proteins"]
    return render_model_card(
        "protein_cnn",
        {
            "name": "Protein annotator, packaged with seqformers",
            "license": "apache-2.0",
            "tags": ["protein", "signal-peptide", "transmembrane", "secondary-structure"],
            "usage": "from seqformers.proteins.annotator import ProteinAnnotator\n\n"
            'annotator = ProteinAnnotator(".")\n'
            '(answer,) = annotator.annotate(["MKKTAIAIAVALAGFATVAQAAPKDNTWYTGAKLGWSQYHDTGFINNNGPTHENQLGAG"])\n'
            'print(answer.topology, answer.structure, sep="\\n")',
            "example": '["MKKTAIAIAVALAGFATVAQAAPKDNTWYTGAKLGWSQYHDTGFINNNGPTHENQLGAG"]',
            "summary": "Signal peptide, membrane topology and secondary structure of a protein, from two small "
            "convolutional encoders: `seqformers annotate-proteins proteins.fasta -o table.tsv`.",
            "intended_use": "A quick first look at many proteins, offline, on a CPU: which ones are secreted, which "
            "cross the membrane and how often, which parts are helix, strand or coil.",
            "limits": [
                "Not of the level of large protein language models (ESM-C, ProtT5) or of methods that read "
                "alignments; "
                "SignalP 6, TMbed and NetSurfP 3 know more.",
                "Membrane helices are found in some proteins without any, and missed in others (see the notes).",
                "Helical membrane proteins only: strands of outer-membrane barrels are not looked for.",
                "Training and test rows of the signal peptides are a random split, so relatives stand in both.",
            ],
            "parameters": sum(weight.numel() for weight in model.parameters()),
            "data": [
                {"name": "Open reading frames of bacteria, archaea, phages, plasmids (pyrodigal), Swiss-Prot families",
                 "description": f"{before['sequences']:,} unlabelled proteins"},
                {"name": "NetSurfP-2.0 training proteins", "citation": "Klausen et al. 2019, Proteins",
                 "splits": {"train": facts["train"]["structure"]}},
                {"name": "SignalP 5 training rows", "citation": "Almagro Armenteros et al. 2019, Nat Biotechnol",
                 "splits": {"train": facts["train"]["signal"]}},
                {"name": "TMbed, folds 0 to 2", "citation": "Bernhofer & Rost 2022, BMC Bioinformatics",
                 "licence": "Apache-2.0", "splits": {"train": facts["train"]["topology"]}},
            ],
            "hyperparameters": {
                "masked-residue steps": before["steps"],
                "steps of the heads together": training["joint"]["steps"] + facts["steps"],
                "steps of the structures alone": sum(part["steps"] for part in parts[3:]),
                "cost of the first helix": result["helix_cost"]["cost"],
                "residues read in all": sum(part["residues"] for part in parts),
            },
            "command": "python -m benchmarks.tables.annotator_training annotate",
            "task_type": "token-classification",
            "metrics": {task: {MAIN[task]: round(arms[task]["packaged"]["metrics"][MAIN[task]], 4)} for task in tests},
            "tested_on": tests,
            "seeds": [0],
            "baselines": baselines,
            "baseline_split": "structure",
            "leakage": {f"{task}: training rows dropped as relatives of another task's test": count
                        for task, count in facts["dropped"].items()},
            "environment": {"hours": round(sum(part["cpu_seconds"] for part in parts) / 3600, 2),
                            "device": "one CPU thread"},
            "notes": [
                _of_structures(arms["structure"], choice),
                *(f"{tests[task]}: {MAIN[task].replace('_', ' ')}, 95 % of a bootstrap over proteins "
                  f"{low[task][0]:.3f} to {low[task][1]:.3f}." for task in tests),
                f"Whole proteins of fold 3: signal peptides MCC {whole['signal_mcc']:.3f}; "
                f"{whole['signal_ends_within_3']:.0%} of those found end within three residues of the annotation; "
                f"{whole['globular_with_a_helix']:.1%} of {whole['globular_proteins']:,} proteins without membrane "
                f"helices are given one, {whole['helical_without_a_helix']:.1%} of {whole['helical_proteins']:,} with "
                f"some are given none: MCC {whole['membrane_protein_mcc']:.3f}, by Kyte-Doolittle hydropathy "
                f"{whole['membrane_protein_mcc_kyte_doolittle']:.3f}.",
            ],
            "versions": outcome["versions"],
        },
    )  # fmt: skip
