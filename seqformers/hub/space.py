"""Write a Space for a run: a Gradio app with the model beside it, which works offline and on a CPU."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from seqformers.hub.push import plan_push

__all__ = ["write_space"]

_CLASSIFIER = "ForSequenceClassification"
_DNA_EXAMPLE = ">example\n" + "ATGGCTAAGCTGACCGTTCAGGAACTGATCGCCAAGCGTGAAAGCCTGGGTTAATCGATCGGCTA" * 6
_PROTEIN_EXAMPLE = ">example\nMKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSGAEKAVQVKVKALPDAQFEVV"


def write_space(
    directory: str | Path,
    run: str | Path,
    *,
    title: str | None = None,
    examples: Sequence[str] = (),
    window: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a Gradio Space that classifies sequences with the model of `run`.

    The page takes pasted FASTA or a file and shows a table, a picture along the sequences and a download. Sequences
    longer than a window are scored window by window and averaged.

    Args:
        directory (`str` or `Path`): Folder to write; `seqformers push` sends it to the Hub as a Space.
        run (`str` or `Path`): A run folder with a sequence classifier and its tokenizer.
        title (`str`, *optional*): Heading of the page; the run's name when absent.
        examples (`Sequence[str]`, *optional*): FASTA texts offered on the page.
        window (`int`, *optional*): Letters of a window; what the model can take at once when absent.
        overwrite (`bool`): Replace `directory` if it is an earlier Space.

    Returns:
        `Path`: `directory`.

    Raises:
        ValueError: the run is no complete sequence classifier with a tokenizer, or the window is too long for it.
        FileExistsError: `directory` is there already.
    """
    directory, run = Path(directory), Path(run)
    if directory.exists() and any(directory.iterdir()):
        if not overwrite or not (directory / "app.py").is_file():
            raise FileExistsError(f"{directory} exists; pass --overwrite to replace an earlier Space")
        shutil.rmtree(directory)
    plan = plan_push(run, run.name)
    config = _checked_config(run, [file.path for file in plan.files])
    longest = _longest_window(config, run)
    if window is not None and (window < 1 or (longest is not None and window > longest)):
        raise ValueError(f"window must be between 1 and {longest} letters for this model, got {window}")
    title = title or run.resolve().name
    protein = "kmer" not in config["model_type"]
    settings = {
        "title": title,
        "summary": f"Scores of `{config['architectures'][0]}`, computed here on the CPU. Not for clinical decisions.",
        "window": window or longest or 1000,
        "examples": list(examples) or [_PROTEIN_EXAMPLE if protein else _DNA_EXAMPLE],
    }
    for file in plan.files:
        target = directory / "model" / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.source, target)
    shutil.copyfile(Path(__file__).with_name("space_app.py"), directory / "app.py")
    (directory / "settings.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    needed = [f"{name}=={version(name)}" for name in ("transformers", "torch", "numpy", "pandas", "matplotlib")]
    (directory / "requirements.txt").write_text("\n".join(needed).replace("+cpu", "") + "\n", encoding="utf-8")
    (directory / "README.md").write_text(_card(title), encoding="utf-8")
    return directory


def _checked_config(run: Path, paths: Sequence[str]) -> dict[str, Any]:
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    architecture = (config.get("architectures") or [""])[0]
    if not architecture.endswith(_CLASSIFIER):
        raise ValueError(
            f"{run} holds a {architecture or 'model without architecture'}; a Space needs a ...{_CLASSIFIER}"
        )
    if "tokenizer_config.json" not in paths:
        raise ValueError(f"{run} has no tokenizer (tokenizer_config.json); a Space needs one")
    return config


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
            "Classifies pasted or dropped FASTA on the CPU; the model and its card are in `model/`.",
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
