"""Write a Space for a run: a Gradio app with the model beside it, which works offline and on a CPU."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from seqformers.hub.download import fetch_repository
from seqformers.hub.packaged import PACKAGED, packaged_model
from seqformers.hub.push import plan_push

__all__ = ["write_space"]

_CLASSIFIER = "ForSequenceClassification"
_DNA_EXAMPLE = ">example\n" + "ATGGCTAAGCTGACCGTTCAGGAACTGATCGCCAAGCGTGAAAGCCTGGGTTAATCGATCGGCTA" * 6
_PROTEIN_EXAMPLE = ">example\nMKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSGAEKAVQVKVKALPDAQFEVV"
_GENE_EXAMPLE = (
    ">example\nATGACTTTCGGATCTGCAGTTTACCAGGATTCAGCTGAAGCTCTGGTTTGACATCGAGCAAGTCCTGAAACGTTCAAAGGCATTCGATGTAAACTGC"
    "CTGAGTTTCAGCAGGATCATCCGAACTGGAAAGTCGCTAAATGGGATTTACGTGAACTGCTGATCAGCGTTTGCAACTTCCGAGAAACATGGCACTAG"
)
_MIRNA_EXAMPLE = ">hsa-let-7a-5p\nUGAGGUAGUAGGUUGUAUAGUU"
_UTR_EXAMPLE = (
    ">with_sites\nGCAUUCAGGCUUAACGAUCGGAUACAACCUACUACCUCAGGAUUCGAACUAGCUUUGGCAACCUGUACCUCAAAGCUGGAUCUUAGCAGGAUUGCA"
    "\n>without\nGGCAUCGAUUCGGAUCUUAGCGAAUUCGCGAUUCAGGCAUUAGGCAUCGAAUCGGCUUAAGCGGAUCUUAGCAU"
)
# model_type -> its page, the files that go with it (name in the Space -> place here), and one example for each input.
# Other models classify sequences.
_PAGES: dict[str, tuple[str, dict[str, str], tuple[str, ...]]] = {
    "targetnet": (
        "space_targets.py",
        {"target_picture.py": "../../targets/picture.py"},
        (_MIRNA_EXAMPLE, _UTR_EXAMPLE),
    ),
    "deepcpf1": (
        "space_guides.py",
        {"guide_sites.py": "../../guides/sites.py", "guide_track.py": "../../guides/track.py"},
        (_GENE_EXAMPLE,),
    ),
}


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
    averaged. A TargetNet takes miRNAs and 3'UTRs and finds target sites. A DeepCpf1 ranks the guides of a gene.

    Args:
        directory (`str` or `Path`): Folder to write; `seqformers push` sends it to the Hub as a Space.
        run (`str` or `Path`): A run folder, a converted model, a model of the Hub, or `targetnet` or `deepcpf1` for
            the models in the package.
        title (`str`, *optional*): Heading of the page; the run's name when absent.
        examples (`Sequence[str]`, *optional*): FASTA texts offered on the page; for a TargetNet miRNAs and 3'UTRs in
            turn.
        window (`int`, *optional*): Letters of a window of a classifier; what it can take at once when absent.
        overwrite (`bool`): Replace `directory` if it is an earlier Space.

    Returns:
        `Path`: `directory`.

    Raises:
        ValueError: there is no page for this model, it is incomplete, or window or examples do not fit it.
        FileExistsError: `directory` is there already.
    """
    directory, run = Path(directory), _model_folder(run)
    if directory.exists() and any(directory.iterdir()):
        if not overwrite or not (directory / "app.py").is_file():
            raise FileExistsError(f"{directory} exists; pass --overwrite to replace an earlier Space")
        shutil.rmtree(directory)
    plan = plan_push(run, run.name)
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    app, helpers, offered = _PAGES.get(config["model_type"], ("space_app.py", {}, ()))
    settings: dict[str, Any] = {
        "title": title or run.resolve().name,
        "summary": f"Scores of `{config['architectures'][0]}`, computed here on the CPU. Not for clinical decisions.",
    }
    if offered:
        if window is not None:
            raise ValueError(f"window is for classifiers; a {config['model_type']} cuts its input itself")
    else:
        settings["window"], offered = _window_and_example(run, config, [file.path for file in plan.files], window)
    settings["examples"] = _rows(examples or offered, len(offered))
    for file in plan.files:
        target = directory / "model" / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read())
    here = Path(__file__).parent
    for name, source in {"space_common.py": "space_common.py", **helpers}.items():
        shutil.copyfile(here / source, directory / name)
    shutil.copyfile(here / app, directory / "app.py")
    (directory / "settings.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    needed = [f"{name}=={version(name)}" for name in ("transformers", "torch", "numpy", "pandas", "matplotlib")]
    (directory / "requirements.txt").write_text("\n".join(needed).replace("+cpu", "") + "\n", encoding="utf-8")
    (directory / "README.md").write_text(_card(settings["title"]), encoding="utf-8")
    return directory


def _model_folder(run: str | Path) -> Path:
    return packaged_model(str(run)) if run in PACKAGED and not Path(run).exists() else fetch_repository(run)


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
            "a TargetNet or a DeepCpf1"
        )
    if "tokenizer_config.json" not in paths:
        raise ValueError(f"{run} has no tokenizer (tokenizer_config.json); a Space needs one")
    longest = _longest_window(config, run)
    if window is not None and (window < 1 or (longest is not None and window > longest)):
        raise ValueError(f"window must be between 1 and {longest} letters for this model, got {window}")
    return window or longest or 1000, (_DNA_EXAMPLE if "kmer" in config["model_type"] else _PROTEIN_EXAMPLE,)


def _longest_window(config: dict[str, Any], run: Path) -> int | None:
    """Letters that fit the model at once, [CLS] and [SEP] counted; None where there is no limit."""
    tokenizer = json.loads((run / "tokenizer_config.json").read_text(encoding="utf-8"))
    limits = [config.get("max_position_embeddings"), tokenizer.get("model_max_length")]
    known = [int(limit) for limit in limits if limit and limit < 1e9]
    if not known:
        return None
    return (min(known) - 3) * int(tokenizer.get("stride", 1)) + int(tokenizer.get("k", 1))


def _card(title: str) -> str:
    header = {"title": title, "emoji": "🧬", "sdk": "gradio", "sdk_version": _gradio(), "app_file": "app.py"}
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in header.items()]
    return "\n".join(
        [
            "---",
            *lines,
            "tags: [seqformers, biology]",
            "---",
            "",
            f"# {title}",
            "",
            "Takes pasted or dropped FASTA and answers on the CPU; the model and its card are in `model/`.",
            "Start it at home with `pip install gradio -r requirements.txt` and `python app.py`.",
            "",
        ]
    )


def _gradio() -> str:
    from importlib.metadata import PackageNotFoundError

    try:
        return version("gradio")
    except PackageNotFoundError:  # writing a Space does not need it
        return "6.31.0"
