"""Sequences in, tables out."""

from __future__ import annotations

from seqformers.inference.scan_targets import scan_targets

__all__ = ["scan_targets"]
