"""FASTA in, answers out: the verbs of a packaged model.

Library code is imported inside the commands, so `seqformers --help` answers at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from seqformers.cli._app import ANSWERS, OnError, Part, RayAddress, Resume, ShardEngine, app, say, shows_progress


@app.command("scan-targets", rich_help_panel=ANSWERS)
def scan_targets(
    mirna: Annotated[Path, typer.Option(help="FASTA of mature miRNAs, 5'->3', 10 to 41 nt; - is standard input.")],
    mrna: Annotated[Path, typer.Option(help="FASTA of 3'UTRs or other targets, 5'->3'.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Table: .tsv, .csv, .jsonl or .parquet.")],
    pairs: Annotated[
        Path | None, typer.Option(help="Table with columns mirna_id and mrna_id; else all pairs.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Folder or Hub name; pair_cnn (the default) or targetnet is in the package.")
    ] = None,
    sites: Annotated[bool, typer.Option("--sites", help="One row a site instead of one a pair.")] = False,
    windows: Annotated[
        bool, typer.Option("--windows", help="TargetNet's own 40-nt windows, as published, in place of sites.")
    ] = False,
    criterion: Annotated[
        str | None,
        typer.Option(
            help="TargetNet's candidates: targetnet, miraw-6-1:10, miraw-7-1:10, miraw-7-2:10, targetscan, pita, all."
        ),
    ] = None,
    step: Annotated[int | None, typer.Option(min=1, help="Distance of TargetNet's windows, nt; else 1.")] = None,
    exhaustive: Annotated[
        bool, typer.Option("--exhaustive", help="Read every window with the whole network; takes many times as long.")
    ] = False,
    energy: Annotated[
        bool, typer.Option("--energy/--no-energy", help="Duplex energies, where ViennaRNA is installed.")
    ] = True,
    min_score: Annotated[
        float, typer.Option(min=0, max=1, help="Leave out pairs (with --sites, sites) that score less, 0 to 1.")
    ] = 0.0,
    on_error: OnError = "raise",
    shard: Part = None,
    engine: ShardEngine = "local",
    ray_address: RayAddress = None,
    plot: Annotated[Path | None, typer.Option(help="Folder for pictures of the ten best pairs' sites.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Worker threads; else one a core.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; else a GPU if there is one.")] = None,
    precision: Annotated[
        Literal["auto", "fp32", "bf16"], typer.Option(help="bf16 is faster where the hardware has it, and less exact.")
    ] = "fp32",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output.")] = False,
    resume: Resume = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Score which mRNAs each microRNA acts on: a table with the best site and its alignment, one row a pair.

    A complete call, with the model that comes with the package:

        seqformers scan-targets --mirna mirnas.fa --mrna utrs.fa --output targets.tsv

    Columns: mirna_id, mrna_id, score (of all sites together), num_sites, best_start and best_end (the best one's seed
    match, 0-based, half-open, on the 5'->3' mRNA), site_type, alignment (miRNA 5'->3' / marks / mRNA 3'->5'),
    best_score, energy (kcal/mol, with the extra rna). --sites lists every canonical seed match, and other places that
    score 0.5 or more.

    Read scores (0 to 1) as ranks among the mRNAs of one miRNA, not as probabilities: many mRNAs hold a good site that
    does little.

    A small network finds the places that the whole one reads; --exhaustive has it read everything.

    --model targetnet, --windows and --criterion answer with a TargetNet. With --windows rows are windows of 40 nt as
    the original makes them: a site shows in several, and one in the first 24 or the last 4 nt of an mRNA in none.
    """
    from seqformers.targets.scan import scan_target_files

    report = scan_target_files(
        mirna, mrna, output, pairs=pairs, model=model, sites=sites, windows=windows, criterion=criterion, step=step,
        exhaustive=exhaustive, energy=energy, min_score=min_score, on_error=on_error, shard=shard,
        engine=engine, ray_address=ray_address, overwrite=overwrite, resume=resume, threads=threads, device=device,
        precision=precision, plot=plot,
        progress=shows_progress() and not quiet,
    )  # fmt: skip
    for line in report.lines():
        typer.echo(f"warning: {line}", err=True)
    before = f" ({report.resumed:,} of them before the interruption)" if report.resumed else ""
    done = "is finished, nothing was left to do" if report.finished else f"{report.pairs:,} pairs scored{before}"
    options = {"--sites lists every site": sites, "--plot FOLDER draws the best": bool(plot)}
    hints = ", ".join(f"with {what}" for what, given in options.items() if not given)
    say(f"{output}: {done}", f"the same {hints}" if hints else "")


@app.command("compare-changes", rich_help_panel=ANSWERS)
def compare_changes(
    table: Annotated[Path, typer.Argument(help="Pairs with a score and a log fold change: .tsv, .csv, .parquet, ...")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Table: .tsv, .csv, .jsonl or .parquet.")],
    score: Annotated[
        list[str] | None, typer.Option(help="Column of scores, high for targets; repeatable, one a model.")
    ] = None,
    change: Annotated[
        str, typer.Option(help="Column of log fold changes, negative where the mRNA fell.")
    ] = "log_fold_change",
    mirna: Annotated[str, typer.Option(help="Column of the miRNA; '' ranks all pairs together.")] = "mirna_id",
    threshold: Annotated[float, typer.Option(help="Score from which a pair is called a target in the test.")] = 0.5,
    plot: Annotated[Path | None, typer.Option(help="Picture to draw: .png, .svg or .pdf.")] = None,
    on_error: OnError = "raise",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the outputs.")] = False,
) -> None:
    """Compare target scores with expression after a miRNA was added: curves over depth, and a test of the shift.

    A complete call; the table has columns mirna_id, score and log_fold_change:

        echo mirna_id,score,log_fold_change > lfc.csv

        for i in $(seq 40); do echo "miR-1,0.$((99 - i)),-0.$((50 - i))" >> lfc.csv; done

        seqformers compare-changes lfc.csv --output curves.tsv --plot curves.png

    One row a column of scores and depth k: mirnas, mean_lfc of the k best-scored pairs of each miRNA, best_mean_lfc
    that any ranking could have, slfc (1 is best; Min et al. 2022); and, alike in all rows of a column, how many pairs
    are called and whether they fall more than the others (one-sided Kolmogorov-Smirnov: ks_statistic, ks_p_value,
    median_difference).
    """
    from seqformers.targets.expression import compare_changes as compare

    remarks = compare(
        table, output, scores=score or ["score"], change=change, mirna=mirna or None, threshold=threshold, plot=plot,
        on_error=on_error, overwrite=overwrite,
    )  # fmt: skip
    for line in remarks.lines():
        typer.echo(f"warning: {line}", err=True)
    say(f"{output}: written")


@app.command("annotate-proteins", rich_help_panel=ANSWERS)
def annotate_proteins(
    proteins: Annotated[
        Path, typer.Argument(help="FASTA file of proteins, plain or compressed; - is standard input.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Table: .tsv, .csv, .jsonl or .parquet.")],
    plot: Annotated[
        bool, typer.Option("--plot", help="Pictures of the first 20 proteins, in the folder OUTPUT-plots.")
    ] = False,
    gff: Annotated[Path | None, typer.Option(help="Also write the segments as GFF3.")] = None,
    model: Annotated[str | None, typer.Option(help="Folder or Hub name; else the packaged model.")] = None,
    on_error: OnError = "raise",
    shard: Part = None,
    engine: ShardEngine = "local",
    ray_address: RayAddress = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; else a GPU if there is one.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the outputs.")] = False,
    resume: Resume = False,
) -> None:
    """Annotate proteins: signal peptide, membrane topology and secondary structure, one row a protein.

    A complete call, offline, with the model that comes with the package:

        seqformers annotate-proteins proteins.fasta -o table.tsv --plot

    Columns: id, length, signal_peptide_probability, signal_peptide_end (its last residue, from 1), topology (a letter
    a residue: i inside, o outside, M membrane helix, S signal peptide), num_membrane, ss3 (H helix, E strand, C coil)
    and ss3_confidence (mean probability of those letters).

    A quick look with a small model: the large protein language models know more. Strands of outer-membrane barrels
    are not looked for.
    """
    from seqformers.proteins.annotate import annotate_proteins as run_annotate

    remarks = run_annotate(
        proteins, output, model=model, plot=plot, gff=gff, on_error=on_error, shard=shard, engine=engine,
        ray_address=ray_address, device=device, overwrite=overwrite, resume=resume, progress=shows_progress(),
    )  # fmt: skip
    for line in remarks.lines():
        typer.echo(f"warning: {line}", err=True)
    say(
        f"wrote {output}",
        "" if plot else "the same with --plot draws the proteins, with --gff FILE lists the segments",
    )


@app.command("find-phages", rich_help_panel=ANSWERS)
def find_phages(
    contigs: Annotated[Path, typer.Argument(help="FASTA of contigs, also .gz .bz2 .xz .zst; - is standard input.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Table: .tsv, .csv, .jsonl or .parquet.")],
    preset: Annotated[
        Literal["strict", "default", "relaxed"],
        typer.Option(help="Confidence that a class needs, else `uncertain`: strict 0.9, default 0.5, relaxed none."),
    ] = "default",
    min_length: Annotated[int, typer.Option(min=1, help="Shorter contigs are left out, by count.")] = 500,
    ends: Annotated[
        bool, typer.Option("--ends", help="A column for repeats of both ends (circular or whole).")
    ] = False,
    sites: Annotated[
        Path | None, typer.Option(help="Folder for window scores (bedGraph) and regions (BED, GFF3).")
    ] = None,
    fasta_out: Annotated[Path | None, typer.Option(help="Folder for the contigs by class, as FASTA.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Folder for pictures along the ten longest with phage.")] = None,
    model: Annotated[str | None, typer.Option(help="Another classifier of the five classes.")] = None,
    on_error: OnError = "raise",
    shard: Part = None,
    engine: ShardEngine = "local",
    ray_address: RayAddress = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; else a GPU if there is one.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the outputs.")] = False,
    resume: Resume = False,
) -> None:
    """Tell phages, other viruses, plasmids and host chromosomes apart, contig by contig, and show where phages lie.

    A complete call, with the model that comes with the package:

        seqformers find-phages contigs.fasta --output phages.tsv --sites sites --plot pictures

    Columns: id, length, gc, n_fraction, class (bacterium, archaeon, plasmid, phage, virus, uncertain), score_phage,
    score_virus, score_plasmid, score_host (bacterium and archaeon; the four are 1 together), confidence (calibrated
    probability of the class), reliable (500 nt or more, few unknown letters, like genomes that training saw and unlike
    random letters and most eukaryotes), num_windows, fdr (expected share of wrong ones among the rows of this class
    that are at least as confident, all classes being as frequent).

    Confidence takes all five classes for equally frequent; in a sample of nearly only bacteria, use --preset strict.
    """
    from seqformers.phages.find import find_phage_files

    report = find_phage_files(
        contigs, output, preset=preset, min_length=min_length, ends=ends, sites=sites, fasta_out=fasta_out, plot=plot,
        model=model, on_error=on_error, shard=shard, engine=engine, ray_address=ray_address, device=device,
        overwrite=overwrite, resume=resume, progress=shows_progress(),
    )  # fmt: skip
    for line in report.remarks.lines():
        typer.echo(f"warning: {line}", err=True)
    counts = ", ".join(f"{count:,} {name}" for name, count in report.classes.most_common())
    expected = f"; of the phages, {report.phage_fdr:.1%} expected false" if report.classes["phage"] else ""
    before = f" ({report.resumed:,} rows were there before)" if report.resumed else ""
    done = "is finished, nothing was left to do" if report.finished else f"{counts or 'no contigs'}{expected}{before}"
    if report.pictures == 0:
        typer.echo(f"{plot}: no contig is a phage or holds one, so there is no picture", err=True)
    say(f"{output}: {done}", "" if sites else "the same with --sites FOLDER shows proviruses inside contigs")


@app.command("score-guides", rich_help_panel=ANSWERS)
def score_guides(
    source: Annotated[
        Path,
        typer.Argument(metavar="INPUT", help="FASTA file (- is standard input), or table with columns id and target."),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help=".tsv, .csv, .jsonl or .parquet; default: standard output.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="best, fast (one network, far quicker), a folder or a Hub id; default: best.")
    ] = None,
    accessible: Annotated[
        Path | None, typer.Option("--accessible", help="BED or narrowPeak of accessible chromatin (FASTA input).")
    ] = None,
    pam: Annotated[str, typer.Option(help="Four IUPAC letters; several separated by commas.")] = "TTTV",
    genome: Annotated[
        list[Path] | None, typer.Option(help="FASTA in which to count off-targets; may be given several times.")
    ] = None,
    mismatches: Annotated[int, typer.Option(min=0, max=5, help="Letters in which an off-target may differ.")] = 4,
    off_target_pam: Annotated[str | None, typer.Option(help="PAMs of off-targets; default: --pam.")] = None,
    weighting: Annotated[
        str, typer.Option(help="Mismatches in the specificity: `weighted` by their place, or `uniform`.")
    ] = "weighted",
    off_target_table: Annotated[Path | None, typer.Option(help="Table of every hit in the genome.")] = None,
    index: Annotated[
        Path | None, typer.Option(help="Folder for the index of the genome; default: beside the genome.")
    ] = None,
    rank: Annotated[str, typer.Option(help="Rank by `efficiency`, `specificity` or `both`.")] = "efficiency",
    gc: Annotated[str | None, typer.Option(help="Least and highest share of G and C, as 0.3,0.7.")] = None,
    no_poly_t: Annotated[bool, typer.Option("--no-poly-t", help="Leave out guides with TTTT.")] = False,
    avoid: Annotated[
        list[str] | None, typer.Option(help="Restriction enzyme whose site no oligo may hold, as BsmBI; repeatable.")
    ] = None,
    exclude: Annotated[Path | None, typer.Option(help="BED of regions that targets must not touch.")] = None,
    only: Annotated[Path | None, typer.Option(help="BED of regions in which the cut must lie.")] = None,
    genes: Annotated[Path | None, typer.Option(help="GFF3 of gene models, drawn below the track.")] = None,
    in_exons: Annotated[bool, typer.Option("--in-exons", help="Only guides that cut in an exon of --genes.")] = False,
    top: Annotated[int | None, typer.Option(min=1, help="At most so many guides a record, spread over it.")] = None,
    oligos: Annotated[
        str | None, typer.Option(help="Overhangs of the vector, as AGAT,AAAA; adds the oligos to order.")
    ] = None,
    order: Annotated[str, typer.Option(help="Rows of a record by `rank` (best first) or by `position`.")] = "rank",
    on_error: OnError = "raise",
    track: Annotated[
        Path | None, typer.Option(help="Picture of the guides along each record, .png, .svg or .pdf.")
    ] = None,
    shard: Part = None,
    engine: ShardEngine = "local",
    ray_address: RayAddress = None,
    device: Annotated[str | None, typer.Option(help="Torch device; default: a GPU when there is one.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Contexts the model sees at once.")] = 1024,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUTPUT if it is there.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after an interrupted run.")] = False,
) -> None:
    """Score and rank Cpf1 (Cas12a) guides: predicted indel frequency in percent, and where else they cut.

    A complete call, offline, with the model in the package:

        seqformers score-guides gene.fasta --output guides.tsv --track guides.png

    Positions count from 0 on the forward strand; cut_start begins the five-letter overhang; ranks are per record.

    Guides to order, off-targets counted in a genome (its index is kept beside it):

        seqformers score-guides gene.fasta --genome genome.fa --rank both --top 5 --oligos AGAT,AAAA -o order.tsv

    A table of 34-letter targets (columns id, target and, if known, accessible 0/1) keeps its order:

        seqformers score-guides targets.tsv --output scored.tsv

    Accessibility (that column, or --accessible for FASTA) needs the published weights:

        seqformers convert deepcpf1 Seq_deepCpf1_weights.h5 published --full DeepCpf1_weights.h5
        seqformers score-guides gene.fasta --model published --accessible peaks.narrowPeak --output guides.tsv
    """
    from seqformers.guides.score import score_guides as run

    report = run(
        source, output, model=model, pam=pam, accessible=accessible, genome=genome or (), mismatches=mismatches,
        off_target_pam=off_target_pam, weighting=weighting, off_target_table=off_target_table, index=index, rank=rank,
        gc=None if gc is None else _limits(gc), no_poly_t=no_poly_t, avoid=avoid or (), exclude=exclude, only=only,
        genes=genes, in_exons=in_exons, top=top, oligos=oligos, order=order, on_error=on_error, track=track,
        shard=shard, engine=engine, ray_address=ray_address, device=device, batch_size=batch_size, overwrite=overwrite,
        resume=resume,
        progress=shows_progress(),
    )  # fmt: skip
    for line in report.lines():
        typer.echo(f"warning: {line}", err=True)
    for label, count in sorted(report.guides.items()):
        if label in ("context_cut", "poly_t", "protospacer_cut", "unknown_letters") and report.records:
            typer.echo(f"{label}: {count:,} guides, marked in the column warnings", err=True)
    done = "nothing was left to do" if report.finished else f"{report.rows:,} rows"
    more = {"": output, ", off-targets": off_target_table, ", picture": track}
    places = "".join(f"{what} -> {path}" for what, path in more.items() if path is not None)
    picture = "" if track or output is None else "the same with --track guides.png --overwrite draws them"
    say(f"{done}, model {report.model}{places}", picture)


def _limits(text: str) -> tuple[float, float]:
    """Two numbers separated by a comma."""
    parts = text.split(",")
    try:
        least, most = (float(part) for part in parts)
    except ValueError:
        raise ValueError(f"--gc takes the least and the highest share, as 0.3,0.7; got {text!r}") from None
    return least, most
