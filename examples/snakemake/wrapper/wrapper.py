"""Snakemake wrapper of the commands that answer: find-phages, annotate-proteins, scan-targets, score-guides, predict.

`params.command` names the command, `params.extra` adds options. Inputs and outputs without a name are the
command's arguments and its `--output`; those with one are the option of that name (`genome="genome.fa"`).
"""

import shlex

from snakemake.shell import shell

COMMANDS = ("find-phages", "annotate-proteins", "scan-targets", "score-guides", "predict")

snakemake = globals()["snakemake"]  # put there by Snakemake


def named(files) -> dict[str, str]:
    """Files by name, of those that have one."""
    return dict(files.items())


def unnamed(files) -> list[str]:
    """Files without a name, in their order."""
    return [path for path in files if path not in named(files).values()]


command = snakemake.params.get("command", "")
if command not in COMMANDS:
    raise ValueError(f"params.command must be one of {', '.join(COMMANDS)}, not {command!r}")
if len(unnamed(snakemake.output)) != 1:
    raise ValueError("give one output without a name, the table; the others are options, as track='guides.png'")
words = [command, *unnamed(snakemake.input), "--output", *unnamed(snakemake.output), "--overwrite"]
for option, path in {**named(snakemake.input), **named(snakemake.output)}.items():
    words += [f"--{option.replace('_', '-')}", path]
line = " ".join(map(shlex.quote, words))
extra, log = snakemake.params.get("extra", ""), snakemake.log_fmt_shell(stdout=True, stderr=True)
shell(f"OMP_NUM_THREADS={snakemake.threads} seqformers --quiet {line} {extra} {log}")
