"""The `seqformers` command: one verb a job, each a thin layer over a library function, a module a group of users."""

from seqformers.cli import answers, run, share, train
from seqformers.cli._app import app, main

__all__ = ["answers", "app", "main", "run", "share", "train"]
