"""Build and check a release: `make release`.

Writes `dist/`: sdist and wheel, checked and answering offline in an environment of their own, and `dist/hub/` with a
complete repository for each packaged model, the made-up demo data, and a Space for each model that has a page. Data of
others are not among them: their licences do not all allow it. `seqformers publish dist/hub --org ORG` sends them.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks._results import ROOT
from seqformers.datasets import build_dataset
from seqformers.datasets_scripts.phage.virome import write_virome
from seqformers.hub.load import PACKAGED, packaged_model
from seqformers.hub.publish import plan_all
from seqformers.hub.push import plan_folder
from seqformers.hub.spaces.write import PAGES, write_space

DIST = ROOT / "dist"


def main() -> None:
    """Build, check, assemble; the first thing that is wrong ends it."""
    shutil.rmtree(DIST, ignore_errors=True)
    _run(sys.executable, "-m", "build", "--outdir", str(DIST))
    packages = [str(path) for path in sorted(DIST.glob("seqformers-*"))]
    _run(sys.executable, "-m", "twine", "check", "--strict", *packages)
    answers_offline(next(DIST.glob("*.whl")))
    write_hub(DIST / "hub")
    for repository in plan_all(DIST / "hub", "org"):
        print(f"{repository.plan.size:>14,}  {repository.kind} {repository.repo_id.removeprefix('org/')}")
    for path in packages:
        print(f"{Path(path).stat().st_size:>14,}  {path}")


def answers_offline(wheel: Path) -> None:
    """Install a wheel with nothing else of this checkout, and ask every packaged model a known question."""
    with tempfile.TemporaryDirectory() as place:
        _run(sys.executable, "-m", "venv", f"{place}/venv")
        python, pins = f"{place}/venv/bin/python", str(ROOT / "constraints.txt")
        _run(python, "-m", "pip", "install", "-q", "-c", pins, "torch")
        _run(python, "-m", "pip", "install", "-q", "-c", pins, str(wheel.resolve()))
        offline = ["env", "-C", place, "HF_HUB_OFFLINE=1", f"HF_HOME={place}/cache"]
        _run(*offline, f"{place}/venv/bin/seqformers", "doctor")


def write_hub(folder: Path) -> Path:
    """Write the repositories of a release.

    Args:
        folder (`Path`): A new one.
    """
    folder.mkdir(parents=True)
    for family in PACKAGED:
        place = folder / "models" / f"seqformers-{family.replace('_', '-')}"
        for file in plan_folder(packaged_model(family)).files:
            (place / file.path).parent.mkdir(parents=True, exist_ok=True)
            (place / file.path).write_bytes(file.read())
    with tempfile.TemporaryDirectory() as place:
        write_virome(Path(place))
        for config in ("pretrain", "reads-150"):
            build_dataset(
                "phage", config, output=folder / "datasets" / f"seqformers-made-up-virome-{config}",
                data_dir=Path(place) / "genomes", groups_file=f"{place}/groups.tsv",
            )  # fmt: skip
    for family in set(PACKAGED) & set(PAGES):
        write_space(folder / "spaces" / f"seqformers-{family.replace('_', '-')}", family)
    return folder


def _run(*words: str) -> None:
    print("$", " ".join(words), flush=True)
    subprocess.run(words, check=True, cwd=ROOT)


if __name__ == "__main__":
    main()
