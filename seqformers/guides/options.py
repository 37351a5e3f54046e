"""What can be asked of `score-guides`, in one place: for the command, `score_guides` and `guide_table` alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from seqformers.guides.genes import GeneModels
from seqformers.guides.off_targets import OffTargetOptions
from seqformers.guides.oligos import Overhangs
from seqformers.guides.regions import Regions
from seqformers.guides.restriction import recognition_sites
from seqformers.guides.selection import RANKINGS, Selection
from seqformers.guides.sites import Pam

__all__ = ["ORDERS", "GuideOptions"]

ORDERS = ("rank", "position")


@dataclass(frozen=True, kw_only=True)
class GuideOptions:
    """How guides are found, scored, searched for elsewhere, chosen and ranked.

    Args:
        model (`str`, `Path` or `DeepCpf1Model`, *optional*): `best` (three networks, and trees that read the structure
            of the crRNA; the default), `fast` (one network), a folder or Hub id. The report says which answered.
        pam (`str`, defaults to `"TTTV"`): Four IUPAC letters, or several such PAMs separated by commas.
        accessible (`str` or `Path`, *optional*): BED or narrowPeak of accessible chromatin, for FASTA input; adds the
            column `accessible` (1: PAM and protospacer overlap a region).
        genome (path or paths, *optional*): FASTA files in which to count off-targets.
        mismatches (`int`, defaults to 4): 0 to 5.
        off_target_pam (`str`, *optional*): PAMs of off-targets; default: those of the guides.
        weighting (`str`, defaults to `"weighted"`): Of mismatches by place and letters, or `"uniform"`; see
            [`seqformers.guides.specificity`].
        index (`str` or `Path`, *optional*): Folder for indexes of genomes; default: beside each.
        rank (`str`, defaults to `"efficiency"`): `efficiency`, `specificity` or `both` (their product).
        gc (`tuple[float, float]`, *optional*): Least and highest share of G and C in the protospacer.
        no_poly_t (`bool`): Leave out guides with TTTT.
        avoid (sequence of `str`): Restriction enzymes whose sites the oligo must not hold, by name.
        exclude (`str` or `Path`, *optional*): BED of what the target must not overlap.
        only (`str` or `Path`, *optional*): BED of where the cut must lie.
        genes (`str` or `Path`, *optional*): GFF3 of gene models, drawn below the guides of `track`.
        in_exons (`bool`): Only guides that cut in an exon of `genes`.
        top (`int`, *optional*): At most so many guides a record, the best that lie apart.
        oligos (`str`, *optional*): Overhangs of the vector, `AGAT,AAAA`: adds `oligo_top` and `oligo_bottom`.
        order (`str`, defaults to `"rank"`): `"rank"` puts the best guide of a record first, `"position"` keeps the
            order along the sequence.
        on_error (`"raise"` or `"skip"`, defaults to `"raise"`): At a record or target that cannot be used: stop, or
            leave it out and count it.
        device (`str`, *optional*): Torch device.
        batch_size (`int`, defaults to 1024): Contexts the model sees at once; the table does not depend on it.

    Raises:
        ValueError: options that do not go together, or are not known.
    """

    model: Any = None
    pam: str = "TTTV"
    accessible: str | Path | None = None
    genome: str | Path | Sequence[str | Path] = ()
    mismatches: int = 4
    off_target_pam: str | None = None
    weighting: str = "weighted"
    index: str | Path | None = None
    rank: str = "efficiency"
    gc: tuple[float, float] | None = None
    no_poly_t: bool = False
    avoid: Sequence[str] = ()
    exclude: str | Path | None = None
    only: str | Path | None = None
    genes: str | Path | None = None
    in_exons: bool = False
    top: int | None = None
    oligos: str | None = None
    order: str = "rank"
    on_error: Literal["raise", "skip"] = "raise"
    device: str | None = None
    batch_size: int = 1024

    def __post_init__(self) -> None:
        """Refuse what cannot be done."""
        Pam(self.pam)
        for name, given, known in (("order", self.order, ORDERS), ("rank", self.rank, RANKINGS)):
            if given not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {given!r}")
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more, got {self.batch_size}")
        if self.rank != "efficiency" and not self.genomes:
            raise ValueError(f"--rank {self.rank} asks where else guides cut; name a genome with --genome")
        if self.in_exons and self.genes is None:
            raise ValueError("exons are those of a GFF3 file; name it with --genes")

    @property
    def genomes(self) -> tuple[Path, ...]:
        """The FASTA files of `genome`."""
        return tuple(map(Path, (self.genome,) if isinstance(self.genome, str | Path) else self.genome))

    @property
    def files(self) -> dict[str, str | Path]:
        """Option -> file that says where guides may lie."""
        named = {"accessible": self.accessible, "exclude": self.exclude, "only": self.only, "genes": self.genes}
        return {name: path for name, path in named.items() if path is not None}

    def search(self) -> OffTargetOptions | None:
        """What is searched for off-targets; None without a genome."""
        if not self.genomes:
            return None
        index = None if self.index is None else Path(self.index)
        pam = Pam(self.off_target_pam or self.pam)
        return OffTargetOptions(self.genomes, pam, self.mismatches, self.weighting, index)

    def selection(self, genes: GeneModels | None, overhangs: Overhangs | None) -> Selection:
        """The filters, their files read."""
        return Selection(
            gc=self.gc, no_poly_t=self.no_poly_t, avoid=recognition_sites(self.avoid) if self.avoid else {},
            before=overhangs.top if overhangs else "",
            exclude=None if self.exclude is None else Regions.from_bed(self.exclude),
            only=None if self.only is None else Regions.from_bed(self.only),
            exons=genes.exons() if self.in_exons and genes else None, top=self.top,
        )  # fmt: skip
