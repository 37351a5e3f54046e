"""Report of a protein data set: sequence shared between splits, and what length and composition alone score."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets

from seqformers.datasets_scripts.common import leakage

__all__ = ["ProteinBuilder"]

_K = 10  # residues; ten in a row are hardly ever shared by chance
_ROWS = 5_000
_MOST_CLASSES = 50


class ProteinBuilder(datasets.ArrowBasedBuilder):
    """A builder of proteins, which can describe its build."""

    def report(self, files: Mapping[str, list[Path]]) -> dict[str, Any]:
        """Leakage between the splits, and what shortcuts score.

        Args:
            files (`Mapping[str, list[Path]]`): Parquet files of each split; pairs are judged by their first protein.

        Returns:
            `dict`: `read_leakage` (against train, where there is one) and, for up to 50 classes, `shortcuts`; from a
            sample of 5,000 rows a split.
        """
        features: Mapping[str, Any] = self.info.features
        column = "sequence" if "sequence" in features else "sequence_a"
        samples = {split: leakage.read_sample(paths, sequence=column, rows=_ROWS) for split, paths in files.items()}
        report: dict[str, Any] = {}
        if "train" not in samples:
            return report
        if len(samples) > 1:
            report["read_leakage"] = leakage.read_leakage(samples, k=_K, molecule="protein")
        names = getattr(features.get("label"), "names", None)
        if names and column == "sequence" and len(names) <= _MOST_CLASSES and "test" in samples:
            report["shortcuts"] = leakage.shortcuts(samples, names, molecule="protein")
        return report

    def report_markdown(self, report: Mapping[str, Any]) -> str:
        """The report as a section of the card."""
        return leakage.report_markdown(report)
