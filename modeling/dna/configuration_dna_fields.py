"""Checks that the configurations of DNA families share; each names the field and what it has to be."""

from __future__ import annotations

from math import inf, isfinite
from typing import Any

__all__ = ["check_class_weights", "check_counts", "check_probabilities", "check_sizes"]


def check_counts(config: Any, *names: str) -> None:
    """Raise `ValueError` for the first named field that is below 1."""
    for name in names:
        if getattr(config, name) < 1:
            raise ValueError(f"{name} must be at least 1, got {getattr(config, name)}")


def check_probabilities(config: Any, *names: str) -> None:
    """Raise `ValueError` for the first named field that is no number from 0 up to, not including, 1; None is left."""
    for name in names:
        value = getattr(config, name)
        if value is not None and not 0 <= value < 1:
            raise ValueError(f"{name} must be from 0 to below 1, got {value}")


def check_sizes(config: Any, *names: str) -> None:
    """Raise `ValueError` for the first named field that is no finite number of at least 0."""
    for name in names:
        if not 0 <= getattr(config, name) < inf:
            raise ValueError(f"{name} must be a number of at least 0, got {getattr(config, name)}")


def check_class_weights(config: Any) -> None:
    """Raise `ValueError` unless `class_weights` are one positive number a class of a single-label problem."""
    weights = config.class_weights
    if weights is None:
        return
    if config.problem_type not in (None, "single_label_classification"):
        raise ValueError(f"class_weights weigh the classes of a single label, not of {config.problem_type}")
    if len(weights) != config.num_labels or not all(isfinite(weight) and weight > 0 for weight in weights):
        raise ValueError(
            f"class_weights must be {config.num_labels} positive numbers, one a label (num_labels), got {weights}"
        )
