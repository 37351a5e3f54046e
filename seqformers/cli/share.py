"""Publish, and look after the installation.

Library code is imported inside the commands, so `seqformers --help` answers at once.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from seqformers.cli._app import SHARE, app, say


@app.command(rich_help_panel=SHARE)
def convert(
    name: Annotated[
        str, typer.Argument(help="Which project's weights, for example targetnet; --list shows all.")
    ] = "",
    source: Annotated[Path | None, typer.Argument(help="Its weight file or folder.")] = None,
    output: Annotated[Path | None, typer.Argument(help="Folder to write: a complete Hub repository.")] = None,
    full: Annotated[
        Path | None,
        typer.Option(
            help="deepcpf1: DeepCpf1_weights.h5, adds the accessibility. plus: the LM under a P-ELMo encoder."
        ),
    ] = None,
    stride: Annotated[int | None, typer.Option(help="dnabert: bases between k-mers; 1 if absent.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUTPUT if it is there.")] = False,
    show: Annotated[bool, typer.Option("--list", help="List the converters and stop.")] = False,
) -> None:
    """Convert published weights of an original project into a Hub repository of this package.

    Example: `seqformers convert targetnet TargetNet.pt targetnet-published`

    Example: `seqformers convert deepcpf1 Seq_deepCpf1_weights.h5 deepcpf1-published --full DeepCpf1_weights.h5`

    Example: `seqformers convert dnabert 6-new-12w-0/ dnabert-6-published`
    """
    from seqformers import convert as room

    if show:
        for known, (_, what) in sorted(room.CONVERTERS.items()):
            typer.echo(f"{known}\t{what}")
        return
    if not name or source is None or output is None:
        raise ValueError("give NAME SOURCE OUTPUT, for example: seqformers convert targetnet TargetNet.pt OUT")
    folder = room.convert(name, source, output, full=full, stride=stride, overwrite=overwrite)
    say(
        f"wrote {folder}, a Hub repository",
        f"use it as a model's name, or seqformers push {folder} you/name --dry-run",
    )


@app.command(rich_help_panel=SHARE)
def push(
    run: Annotated[Path, typer.Argument(help="Folder of a run, of a converted model, or of a built data set.")],
    repo: Annotated[str, typer.Argument(help="Repository on the Hub: user/name, or name for your own account.")],
    kind: Annotated[str, typer.Option("--type", help="model, dataset or space; seen from the folder if absent.")] = "",
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    revision: Annotated[str | None, typer.Option(help="Branch to push to, made when missing.")] = None,
    create_pr: Annotated[bool, typer.Option("--create-pr", help="Open a pull request instead of pushing.")] = False,
    tag: Annotated[str | None, typer.Option(help="Tag of this version; the next of v1, v2, ... if absent.")] = None,
    message: Annotated[str | None, typer.Option("--message", "-m", help="Commit message.")] = None,
    include: Annotated[
        list[str] | None, typer.Option(help="Pattern of more files to send, as 'figures/*.png'; repeatable.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model of another family.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the folder, list files and sizes, stop.")] = False,
) -> None:
    """Push a finished folder to the Hub: card checked first, one commit, what changed only, tagged.

    What a run, a converted model, a data set or a Space consists of goes; everything else is listed as left out, and
    goes with --include. Files that may hold secrets and pickles never go.

    See what would go, then push:

        seqformers push runs/phage-150 me/phage-150 --dry-run

        seqformers push runs/phage-150 me/phage-150 --private
    """
    from seqformers.hub import push as hub

    kind = kind or hub.kind_of(run)
    if dry_run:
        plan = hub.plan_push(run, repo, repo_type=kind, include=include or ())
        for file in plan.files:
            typer.echo(f"{file.size:>14,}  {file.path}")
        for path, reason in plan.left_out.items():
            typer.echo(f"{'left out':>14}  {path} ({reason})")
        typer.echo(f"{plan.size:>14,}  bytes in {len(plan.files)} files would go to {repo} ({kind}); nothing was sent")
        return
    pushed = hub.push_to_hub(
        run,
        repo,
        repo_type=kind,
        include=include or (),
        private=private,
        revision=revision,
        create_pr=create_pr,
        tag=tag,
        message=message,
        overwrite=overwrite,
    )
    for path, reason in pushed.plan.left_out.items():
        typer.echo(f"left out {path} ({reason})", err=True)
    state = f"commit {pushed.commit[:8]}" if pushed.changed else "nothing had changed"
    tagged = f", tag {pushed.tag}" if pushed.tag else ""
    typer.echo(f"{pushed.pull_request or pushed.url}: {state}{tagged}", err=True)
    typer.echo(pushed.snippet)


@app.command(rich_help_panel=SHARE)
def publish(
    folder: Annotated[Path, typer.Argument(help="Holds models/NAME, datasets/NAME, spaces/NAME.")],
    org: Annotated[str, typer.Option(help="Organisation or user on the Hub.")],
    private: Annotated[bool, typer.Option("--private", help="Make new repositories private.")] = False,
    tag: Annotated[str | None, typer.Option(help="Tag of this version on all; v1, v2, ... of each if absent.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check all, list what would go, stop.")] = False,
) -> None:
    """Push all repositories of a release, each as `push` does; run it again after an interruption.

    `make release` writes `dist/hub`. See what would go, then publish:

        seqformers publish dist/hub --org my-lab --dry-run

        seqformers publish dist/hub --org my-lab --private
    """
    from seqformers.hub.publish import plan_all
    from seqformers.hub.publish import publish as push_all

    if dry_run:
        planned = plan_all(folder, org)
        for repository in planned:
            files = len(repository.plan.files)
            typer.echo(f"{repository.plan.size:>14,}  {repository.repo_id} ({repository.kind}, {files} files)")
        typer.echo(f"{sum(one.plan.size for one in planned):>14,}  bytes; nothing was sent")
        return
    push_all(folder, org, private=private, tag=tag, said=say)


@app.command(rich_help_panel=SHARE)
def space(
    output: Annotated[Path, typer.Argument(help="Folder to write.")],
    run: Annotated[
        str,
        typer.Option(help="Run folder or Hub repository; phage, targetnet, deepcpf1, protein: in the package."),
    ],
    title: Annotated[str | None, typer.Option(help="Heading of the page.")] = None,
    example: Annotated[list[Path] | None, typer.Option(help="FASTA file offered on the page; repeatable.")] = None,
    window: Annotated[int | None, typer.Option(help="Letters scored at once; the model's limit if absent.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier Space.")] = False,
) -> None:
    """Write a web page (a Gradio Space) for a model: FASTA in, table and picture out, offline on a CPU.

    Complete calls, then start a page or publish it:

        seqformers space space/guides --run deepcpf1

        seqformers space space/phages --run phage --example contigs.fasta

        python space/phages/app.py

        seqformers push space/phages me/phages
    """
    from seqformers.hub.spaces.write import write_space

    examples = [path.read_text(encoding="utf-8") for path in example or []]
    folder = write_space(output, run, title=title, examples=examples, window=window, overwrite=overwrite)
    say(
        f"wrote {folder}", f"pip install gradio && python {folder / 'app.py'}   # or seqformers push {folder} you/name"
    )


@app.command(rich_help_panel=SHARE)
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="For programs: a JSON list on standard output.")] = False,
    self_test: Annotated[bool, typer.Option(help="Ask each model of the package a known question (seconds).")] = True,
) -> None:
    """Look at the installation: versions, devices, precision, caches, extras, and the models of the package.

    Example, also for a bug report: `seqformers doctor`

    Ends with code 1 when something is broken; a missing extra is not.
    """
    from seqformers.doctor import diagnose

    found = diagnose(self_test=self_test)
    if as_json:
        typer.echo(json.dumps([finding.as_dict() for finding in found], indent=1))
    else:
        marks = {"ok": "ok", "missing": "--", "broken": "!!"}
        for number, finding in enumerate(found):
            if number == 0 or finding.section != found[number - 1].section:
                typer.echo(f"{finding.section}")
            typer.echo(f"  {marks[finding.state]}  {finding.name}: {finding.value}")
    broken = [finding.name for finding in found if finding.state == "broken"]
    if broken:
        say(f"broken: {', '.join(broken)}", "reinstall, or report it with the lines above")
        raise typer.Exit(1)
    say("nothing is broken", "seqformers shows the jobs; seqformers VERB --help an example to paste")
