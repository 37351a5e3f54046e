"""A picture of the sites of one miRNA along one mRNA, and of its best site's alignment."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from seqformers.targets.engines import open_scanner
from seqformers.targets.pair_scanner import PairCnnScanner
from seqformers.targets.picture import draw_target_sites
from seqformers.targets.records import ScanReport, TargetRecords, pair_all
from seqformers.targets.scanner import TargetScanner

__all__ = ["plot_target_sites"]


def plot_target_sites(
    mirna: str, mrna: str, model: Any = None, *, title: str = "", threshold: float | None = None
) -> Figure:
    """Draw the score of every site at its place on the mRNA, and the best one's pairing.

    Args:
        mirna (`str`): Mature miRNA, 5'->3'.
        mrna (`str`): mRNA, 5'->3'.
        model (*optional*): As of [`scan_targets`], or an engine that is open; by default the pair CNN that comes with
            the package, which also shows what each pair of the best site's duplex adds to its score.
        title (`str`): Above the picture.
        threshold (`float`, *optional*): Where a dashed line stands.

    Returns:
        `matplotlib.figure.Figure`: save it with `figure.savefig("sites.png")`.

    Raises:
        ValueError: a sequence cannot be read.

    Examples:
        >>> figure = plot_target_sites("UGAGGUAGUAGGUUGUAUAGUU", "A" * 25 + "AACUACCUCA" + "G" * 20)
        >>> figure.savefig("sites.png")  # doctest: +SKIP
    """
    scanner = model if isinstance(model, PairCnnScanner | TargetScanner) else open_scanner(model)
    report = ScanReport()
    small = TargetRecords.from_mapping({"miRNA": mirna}, "miRNA", scanner.processor, report)
    large = TargetRecords.from_mapping({"mRNA": mrna}, "mRNA", scanner.processor, report, padding=scanner.padding)
    (scored,) = scanner.scan(small, large, pair_all(small, large), sites=True)
    duplex = None
    if isinstance(scanner, PairCnnScanner) and scored.num_sites:
        duplex = scanner.finder.explain(small.sequence("miRNA"), large.sequence("mRNA"), scored.best)
    sequences = small.sequence("miRNA"), large.sequence("mRNA")
    return draw_target_sites(scored, *sequences, title=title, threshold=threshold, duplex=duplex)
