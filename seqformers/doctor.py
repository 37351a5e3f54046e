"""Look at an installation: versions, devices, precision, caches, extras, and whether the packaged models answer.

What a bug report needs and what a first user wants to know, from one function; nothing is downloaded or changed.
"""

from __future__ import annotations

import base64
import hashlib
import os
import platform
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

__all__ = ["Finding", "diagnose"]

_LIBRARIES = (
    "seqformers", "torch", "transformers", "tokenizers", "datasets", "accelerate", "huggingface-hub", "safetensors",
    "numpy",
)  # fmt: skip
# Extra of the package -> what it is for, as `pip install seqformers[...]` names it.
_EXTRAS = {
    "convert": "read Keras weights: convert deepcpf1",
    "guides": "score-guides --avoid (restriction sites by name)",
    "interpret": "explain: gradients, logos",
    "motifs": "explain --known-motifs",
    "openvino": "predict and embed with OpenVINO",
    "ray": "--engine ray",
    "rna": "duplex energies in scan-targets",
    "space": "start the web pages of `seqformers space`",
    "tables": "read Excel tables",
    "tune": "tune",
}
_SECRETED = "MKKTAIAIAVALAGFATVAQAAPKDNTWYTGAKLGWSQYHDTGFINNNGPTHENQLGAGAFGGYQVNPYVGFEMGYDWLGRMPYKGSVENGAYKAQ"
_LET7, _SITE = "UGAGGUAGUAGGUUGUAUAGUU", "GGAGCAAUCUCAACUGACUUAGUUAGUAAGCAUUCAAACUACCUCAUUUAAGC"

_CONTEXTS = ("CTGATTTACTGGCAGCAGGTAGCACTGGACCTGA", "CTGATTTATTTTTTTTTTTTTTTTTTTTTTCTGA")  # of two guides


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Args:
        section (`str`): versions, devices, caches, extras or models.
        name (`str`): What was looked at.
        value (`str`): What was found.
        state (`str`): `ok`; `missing`, for something optional that is not there; or `broken`.
    """

    section: str
    name: str
    value: str
    state: str = "ok"

    def as_dict(self) -> dict[str, str]:
        """Its four fields."""
        return asdict(self)


def diagnose(*, self_test: bool = True) -> list[Finding]:
    """What is installed, what it can use, and whether every packaged model gives the answer it should.

    Args:
        self_test (`bool`): Load each packaged model and ask it about a known site, a known guide, and so on.

    Examples:
        >>> findings = diagnose(self_test=False)
        >>> sorted({finding.section for finding in findings})
        ['caches', 'devices', 'extras', 'versions']
    """
    found = [*_versions(), *_devices(), *_caches(), *_extras()]
    return found + ([_checked(family, test) for family, test in _SELF_TESTS.items()] if self_test else [])


def _versions() -> list[Finding]:
    system = Finding("versions", "python", f"{platform.python_version()}, {platform.system()} {platform.machine()}")
    found = [system]
    for name in _LIBRARIES:
        try:
            found.append(Finding("versions", name, version(name)))
        except PackageNotFoundError:
            found.append(Finding("versions", name, "not installed", "broken"))
    return found


def _devices() -> list[Finding]:
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    fast_bf16 = bool(getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", bool)())
    found = [
        Finding("devices", "cpu", f"{cores} cores for this process, {torch.get_num_threads()} torch threads"),
        Finding("devices", "cpu bf16", "in hardware" if fast_bf16 else "emulated: slower than fp32"),
    ]
    for index in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(index)
        precision = "bf16" if torch.cuda.is_bf16_supported() else "no bf16"
        found.append(
            Finding("devices", f"cuda:{index}", f"{card.name}, {card.total_memory / 2**30:.0f} GiB, {precision}")
        )
    if not torch.cuda.is_available():
        found.append(Finding("devices", "cuda", "no GPU that torch can use; everything runs on the CPU", "missing"))
    if torch.backends.mps.is_available():
        found.append(Finding("devices", "mps", "Apple GPU"))
    return found


def _caches() -> list[Finding]:
    from datasets import config as datasets_config
    from huggingface_hub import constants

    places = {"hub": Path(constants.HF_HUB_CACHE), "datasets": Path(datasets_config.HF_DATASETS_CACHE)}
    found = [_room(name, place) for name, place in places.items()]
    offline = "offline (HF_HUB_OFFLINE is set): only what is in the cache can be loaded by name"
    return [
        *found,
        Finding("caches", "network", offline if constants.HF_HUB_OFFLINE else "the Hub is asked when named"),
    ]


def _room(name: str, place: Path) -> Finding:
    """Whether a cache can be written, and how much room its disk has."""
    there = next(folder for folder in (place, *place.parents) if folder.exists())
    free = f"{place}, {shutil.disk_usage(there).free / 1e9:.0f} GB free"
    if os.access(there, os.W_OK):
        return Finding("caches", name, free)
    return Finding("caches", name, f"{free}, not writable: set HF_HOME to a folder of your own", "broken")


def _extras() -> list[Finding]:
    """Extras in the order of the alphabet; an extra that this version does not declare is left out."""
    wanted: dict[str, list[str]] = {}
    for requirement in distribution("seqformers").requires or []:
        name = re.match(r"[A-Za-z0-9._-]+", requirement)
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", requirement)
        if name and extra and str(extra[1]) in _EXTRAS:
            wanted.setdefault(str(extra[1]), []).append(str(name[0]))
    found = []
    for job, packages in sorted(wanted.items()):
        missing = [package for package in packages if not _is_installed(package)]
        state = f"not installed ({', '.join(missing)}): pip install 'seqformers[{job}]'" if missing else "installed"
        found.append(Finding("extras", job, f"{_EXTRAS[job]}: {state}", "missing" if missing else "ok"))
    return found


def _is_installed(package: str) -> bool:
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False


def _checked(family: str, test: Callable[[], str]) -> Finding:
    """A model's finding: its files are those released, and its answer to a known question is right."""
    from seqformers.guides.best import best_folder
    from seqformers.hub.load import packaged_model

    start = time.perf_counter()
    try:
        torn = _torn_files(best_folder() if family == "deepcpf1_best" else packaged_model(family))
        if torn:
            return Finding(
                "models", family, f"{', '.join(torn)} is not as released: install the package anew", "broken"
            )
        answer = test()
    except Exception as error:  # whatever it is, the report goes on and names it
        return Finding("models", family, f"{type(error).__name__}: {error}", "broken")
    return Finding("models", family, f"{answer} ({time.perf_counter() - start:.1f} s)")


def _torn_files(folder: Path) -> list[str]:
    """Files below a folder that are not what the installed package's list says; none where it keeps no sums."""
    torn = []
    for file in distribution("seqformers").files or []:
        place = Path(str(file.locate()))
        if file.hash is None or folder not in place.parents:
            continue
        digest = hashlib.new(file.hash.mode, place.read_bytes()).digest() if place.is_file() else b""
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != file.hash.value:
            torn.append(place.name)
    return torn


def _expect(claim: str, holds: Any) -> str:
    if not holds:
        raise ArithmeticError(f"expected that {claim}")
    return claim


def _ask_targetnet() -> str:
    from seqformers.targets.scan import scan_targets

    table = scan_targets({"let-7a": _LET7}, {"site": _SITE, "reversed": _SITE[::-1]}, model="targetnet")
    score = dict(zip(table["mrna_id"], table["score"], strict=True))
    return _expect("a let-7 site scores above its reverse", score["site"] > score["reversed"])


def _ask_pair_cnn() -> str:
    from seqformers.targets.scan import scan_targets

    table = scan_targets({"let-7a": _LET7}, {"site": _SITE, "reversed": _SITE[::-1]}, energy=False)
    score = dict(zip(table["mrna_id"], table["score"], strict=True))
    return _expect("a let-7 site scores above its reverse", score["site"] > score["reversed"])


def _ask_deepcpf1() -> str:
    import torch

    from seqformers.hub.load import load_model

    loaded = load_model("deepcpf1", family="deepcpf1")
    with torch.no_grad():
        scores = loaded.model(**loaded.encoder(list(_CONTEXTS), return_tensors="pt")).logits.flatten()
    return _expect("a mixed guide scores above a run of T", scores[0] > scores[1])


def _ask_best_guides() -> str:
    import numpy as np

    from seqformers.guides.best import BestScorer

    codes = np.array([["ACGT".index(letter) for letter in context] for context in _CONTEXTS], np.uint8)
    mixed, run = BestScorer(device="cpu").members(codes).T
    return _expect("networks and trees both score a mixed guide above a run of T", (mixed > run).all())


def _ask_protein_cnn() -> str:
    from seqformers.proteins.annotate import annotation_table

    table = annotation_table([("OmpA", _SECRETED), ("reversed", _SECRETED[::-1])])
    chance = table["signal_peptide_probability"].tolist()
    return _expect("a signal peptide is found at the start of OmpA, and not of its reverse", chance[0] > chance[1])


def _ask_coding_profile() -> str:
    from seqformers.phages.find import find_phages

    read = "ATGGCTAAAGGTGAATTCCTGGATCGTAACGCAATTGAAGCTCTGCGTAAA" * 20
    row = find_phages({"made up": read}).iloc[0]
    total = row["score_phage"] + row["score_virus"] + row["score_plasmid"] + row["score_host"]
    holds = abs(total - 1) < 1e-3 and not row["reliable"]
    return _expect("scores of a contig sum to 1, and a repeat of 51 nt is not reliable", holds)


def _ask_genome_encoder() -> str:
    import torch

    from seqformers.hub.load import load_model

    loaded = load_model("genome_encoder", device="cpu")
    repeats = ("ATGGCTAAAGGTGAATTCCTGGATCGTAACGCAATTGAAGCTCTGCGTAAA", "ATGAATTTATCAAAAGATATTTATAATGGTCCAACTTTT")
    batch = loaded.encoder([text * times for text in repeats for times in (8, 12)], padding=True, return_tensors="pt")
    with torch.inference_mode():
        alike = torch.corrcoef(loaded.model(**batch).pooler_output)
    holds = min(alike[0, 1], alike[2, 3]) > max(alike[0, 2], alike[1, 3])
    return _expect("two stretches of one genome are nearer than those of two", bool(holds))


_SELF_TESTS = {
    "coding_profile": _ask_coding_profile,
    "deepcpf1": _ask_deepcpf1,
    "deepcpf1_best": _ask_best_guides,
    "genome_encoder": _ask_genome_encoder,
    "pair_cnn": _ask_pair_cnn,
    "protein_cnn": _ask_protein_cnn,
    "targetnet": _ask_targetnet,
}
