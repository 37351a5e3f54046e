"""Write a Space for a run: a Gradio app with the model beside it, which works offline and on a CPU."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from seqformers.files import Output
from seqformers.hub.cards import render_space_card
from seqformers.hub.load import model_folder, packaged_model
from seqformers.hub.push import PushPlan, plan_folder

__all__ = ["PAGES", "write_space"]

_CLASSIFIER = "ForSequenceClassification"
_OF_THE_PACKAGE = re.compile(r"^from seqformers\.(?:\w+\.)*(\w+) import", re.MULTILINE)  # flat in a Space
_OF_DNA = ("kmer_bert", "kmer2vec", "seq_cnn", "coding_profile", "self_genomenet")
_DNA_EXAMPLE = ">example\n" + "ATGGCTAAGCTGACCGTTCAGGAACTGATCGCCAAGCGTGAAAGCCTGGGTTAATCGATCGGCTA" * 6
_PROTEIN_EXAMPLE = ">example\nMKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSGAEKAVQVKVKALPDAQFEVV"
_SECRETED_EXAMPLE = (
    ">secreted\nMKKTAIAIAVALAGFATVAQAAPKDNTWYTGAKLGWSQYHDTGFINNNGPTHENQLGAG\n>membrane\n"
    "MSNKEEHRDLLVAAGLILVLLAVGFVWLLRRKSDEGKKIAPWFLVGLLALAVLGIFSYYRKQQ"
)
_GENE_EXAMPLE = (
    ">example\nATGACTTTCGGATCTGCAGTTTACCAGGATTCAGCTGAAGCTCTGGTTTGACATCGAGCAAGTCCTGAAACGTTCAAAGGCATTCGATGTAAACTGC"
    "CTGAGTTTCAGCAGGATCATCCGAACTGGAAAGTCGCTAAATGGGATTTACGTGAACTGCTGATCAGCGTTTGCAACTTCCGAGAAACATGGCACTAG"
)
_MIRNA_EXAMPLE = ">hsa-let-7a-5p\nUGAGGUAGUAGGUUGUAUAGUU"
_UTR_EXAMPLE = (
    ">with_sites\nGCAUUCAGGCUUAACGAUCGGAUACAACCUACUACCUCAGGAUUCGAACUAGCUUUGGCAACCUGUACCUCAAAGCUGGAUCUUAGCAGGAUUGCA"
    "\n>without\nGGCAUCGAUUCGGAUCUUAGCGAAUUCGCGAUUCAGGCAUUAGGCAUCGAAUCGGCUUAAGCGGAUCUUAGCAU"
)
# Made-up genes with the codons of Escherichia coli, in no order: a contig that looks like a bacterium's.
_CODONS = (
    "GCGGCGGCCGCCGCACGCCGTAACAATGATGATGACCAGCAGGAAGAAGAGGGCGGCGGTCATATTATTATCATCCTGCTGCTGCTGCTGTTAAAAAAAAAAATG"
    "TTTTTCCCGAGCACCACCGTGGTGGTTTATTGGACG"
)


def _made_up_contig(genes: int = 9, codons: int = 120) -> str:
    text, number = "", 1
    for gene in range(genes):
        drawn = []
        for _ in range(codons):
            number = number * 16807 % 2147483647  # Lehmer's generator
            drawn.append(number % (len(_CODONS) // 3) * 3)
        letters = "ATG" + "".join(_CODONS[at : at + 3] for at in drawn) + "TAA"
        text += letters + "TTCAGGAGACTAC"[: 7 + gene % 5]
    return text


_CONTIG_EXAMPLE = f">made_up\n{_made_up_contig()}"
_OF_TARGETS = {"picture.py": "../../targets/picture.py", "results.py": "../../targets/results.py"}
_OF_PAIRS = {f"{name}.py": f"../../targets/{name}.py" for name in ("duplex", "pair_score", "pair_sites", "places")}
# model_type -> its page, the files that go with it (name in the Space -> place here), and one example for each input.
# Other models classify sequences. In a Space all files lie flat beside `app.py`, the page.
PAGES: dict[str, tuple[str, dict[str, str], tuple[str, ...]]] = {
    "targetnet": (
        "targets.py",
        {"finder.py": "targetnet_finder.py", "sites.py": "../../targets/sites.py", **_OF_TARGETS},
        (_MIRNA_EXAMPLE, _UTR_EXAMPLE),
    ),
    "pair_cnn": (
        "targets.py",
        {"finder.py": "pair_finder.py", "blocks.py": "../../inference/blocks.py", **_OF_PAIRS, **_OF_TARGETS},
        (_MIRNA_EXAMPLE, _UTR_EXAMPLE),
    ),
    "deepcpf1": (
        "guides.py",
        {"guide_sites.py": "../../guides/sites.py", "guide_track.py": "../../guides/track.py"},
        (_GENE_EXAMPLE,),
    ),
    "coding_profile": (
        "phages.py",
        {
            "phage_contig.py": "../../phages/contig.py",
            "phage_picture.py": "../../phages/picture.py",
            "phage_regions.py": "../../phages/regions.py",
        },
        (_CONTIG_EXAMPLE,),
    ),
    "protein_cnn": (
        "proteins.py",
        {"protein_picture.py": "../../proteins/picture.py", "protein_segments.py": "../../proteins/segments.py"},
        (_SECRETED_EXAMPLE,),
    ),
}
_PHAGE_CLASSES = {"bacterium", "archaeon", "plasmid", "phage", "virus"}


def write_space(
    directory: str | Path,
    run: str | Path,
    *,
    title: str | None = None,
    examples: Sequence[str] = (),
    window: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a Gradio Space for the model of `run`: FASTA in; a table, a picture and a download out.

    A sequence classifier or regressor scores sequences; those longer than a window are scored window by window and
    averaged. A pair CNN or a TargetNet takes miRNAs and 3'UTRs and finds target sites. A DeepCpf1 ranks the guides of
    a gene. A phage detector tells phages, other viruses, plasmids and hosts apart among contigs.

    Args:
        directory (`str` or `Path`): Folder to write; `seqformers push` sends it to the Hub as a Space.
        run (`str` or `Path`): A run folder, a converted model, a model of the Hub, or `phage`, `pair_cnn`,
            `targetnet` or `deepcpf1` for the models in the package.
        title (`str`, *optional*): Heading of the page; the run's name when absent.
        examples (`Sequence[str]`, *optional*): FASTA texts offered on the page; for target sites miRNAs and 3'UTRs
            in turn.
        window (`int`, *optional*): Letters of a window of a classifier; what it can take at once when absent.
        overwrite (`bool`): Replace an earlier Space once this one is whole; any other folder is left alone.

    Returns:
        `Path`: `directory`.

    Raises:
        ValueError: there is no page for this model, it is incomplete, or window or examples do not fit it.
        FileExistsError: `directory` is there already, or is no earlier Space.
    """
    run = model_folder(run)
    with Output(directory, "space", inputs=[run], folder=True, overwrite=overwrite) as output:
        plan = plan_folder(run)
        config = json.loads((run / "config.json").read_text(encoding="utf-8"))
        page, helpers, offered = _page_of(config)
        summary = f"Scores of `{config['architectures'][0]}`, computed here on the CPU. Not for clinical decisions."
        settings: dict[str, Any] = {"title": title or run.resolve().name, "summary": summary}
        if offered:
            if window is not None:
                raise ValueError(f"window is for classifiers; a {config['model_type']} cuts its input itself")
        else:
            settings["window"], offered = _window_and_example(run, config, [file.path for file in plan.files], window)
        settings["examples"] = _rows(examples or offered, len(offered))
        folder = output.start()
        _write(folder, plan, settings, {"app.py": page, "common.py": "common.py", **helpers})
        if config["model_type"] == "pair_cnn":
            _copy_scout(folder / "scout")
        return output.finish()


def _page_of(config: dict[str, Any]) -> tuple[str, dict[str, str], tuple[str, ...]]:
    """Page, what goes with it, and examples; a coding_profile of other classes is a classifier."""
    other = config["model_type"] == "coding_profile" and set(config.get("id2label", {}).values()) != _PHAGE_CLASSES
    other |= config["model_type"] == "protein_cnn" and config["architectures"] != ["ProteinCnnForAnnotation"]
    return PAGES.get("" if other else config["model_type"], ("classifier.py", {}, ()))


def _copy_scout(folder: Path) -> None:
    """The small network that says where the large one looks."""
    folder.mkdir()
    for path in (packaged_model("pair_cnn").parent / "pair_cnn_scout").iterdir():
        shutil.copyfile(path, folder / path.name)


def _write(folder: Path, plan: PushPlan, settings: dict[str, Any], code: dict[str, str]) -> None:
    """Write the model of `plan`, and beside it the page: `code` is name in the Space -> place here."""
    for file in plan.files:
        target = folder / "model" / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read())
    for name, source in code.items():
        text = (Path(__file__).parent / source).read_text(encoding="utf-8")
        (folder / name).write_text(_OF_THE_PACKAGE.sub(r"from \1 import", text), encoding="utf-8")
    needed = [f"{name}=={version(name)}" for name in ("transformers", "torch", "numpy", "pandas", "matplotlib")]
    texts = {
        "settings.json": json.dumps(settings, indent=2) + "\n",
        "requirements.txt": "\n".join(needed).replace("+cpu", "") + "\n",
        "README.md": render_space_card(settings["title"]),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def _rows(examples: Sequence[str], inputs: int) -> list[list[str]]:
    """Examples by the row the page offers: one text for each input."""
    if len(examples) % inputs:
        raise ValueError(f"this page has {inputs} inputs (miRNAs, then 3'UTRs); {len(examples)} examples do not fit")
    return [list(examples[start : start + inputs]) for start in range(0, len(examples), inputs)]


def _window_and_example(
    run: Path, config: dict[str, Any], paths: Sequence[str], window: int | None
) -> tuple[int, tuple[str, ...]]:
    """The window of a classifier, checked, and a sequence to try it with."""
    architecture = (config.get("architectures") or [""])[0]
    if not architecture.endswith(_CLASSIFIER):
        raise ValueError(
            f"{run} holds a {architecture or 'model without architecture'}; a Space needs a ...{_CLASSIFIER}, "
            "a pair CNN, a TargetNet or a DeepCpf1"
        )
    if "tokenizer_config.json" not in paths:
        raise ValueError(f"{run} has no tokenizer (tokenizer_config.json); a Space needs one")
    longest = _longest_window(config, run)
    if window is not None and (window < 1 or (longest is not None and window > longest)):
        raise ValueError(f"window must be between 1 and {longest} letters for this model, got {window}")
    return window or longest or 1000, (_DNA_EXAMPLE if config["model_type"] in _OF_DNA else _PROTEIN_EXAMPLE,)


def _longest_window(config: dict[str, Any], run: Path) -> int | None:
    """Letters that fit the model at once, [CLS] and [SEP] counted; None where there is no limit."""
    tokenizer = json.loads((run / "tokenizer_config.json").read_text(encoding="utf-8"))
    limits = [config.get("max_position_embeddings"), tokenizer.get("model_max_length")]
    known = [int(limit) for limit in limits if limit and limit < 1e9]
    if not known:
        return None
    return (min(known) - 3) * int(tokenizer.get("stride", 1)) + int(tokenizer.get("k", 1))
