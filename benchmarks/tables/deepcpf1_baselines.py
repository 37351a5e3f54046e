"""Classical baselines of Cpf1 guide activity on the field's features: letters, GC, melting temperature, folding."""

from __future__ import annotations

from typing import Any

import numpy as np

from seqformers.guides.sites import PAM_LENGTH, PROTOSPACER, UPSTREAM

__all__ = ["KINDS", "fit_classical", "fit_trees", "letter_features", "structure_features", "thermodynamic_features"]

KINDS = ("l1", "l2", "l1l2", "boosted_trees", "cindel")

# Direct repeat of AsCpf1's crRNA; it is folded together with the guide.
_DIRECT_REPEAT = "AAUUUCUACUCUUGUAGAU"
_START = UPSTREAM + PAM_LENGTH


def letter_features(codes: np.ndarray) -> np.ndarray:
    """Mono- and dinucleotides by position and in total, and GC: `(n, 34 x 4 + 33 x 16 + 4 + 16 + 3)`.

    GC is the count in the protospacer and its distance above and below 9 letters.
    """
    one = np.eye(5, dtype=np.float32)[codes][..., :4]
    pair = np.where((codes[:, 1:] < 4) & (codes[:, :-1] < 4), codes[:, :-1] * 4 + codes[:, 1:], 16)
    two = np.eye(17, dtype=np.float32)[pair][..., :16]
    guide = codes[:, _START : _START + PROTOSPACER]
    gc = ((guide == 1) | (guide == 2)).sum(1, keepdims=True).astype(np.float32)
    parts = [one.reshape(len(codes), -1), two.reshape(len(codes), -1), one.sum(1), two.sum(1)]
    return np.hstack([*parts, gc, np.maximum(gc - 9, 0), np.maximum(9 - gc, 0)])


def thermodynamic_features(targets: list[str]) -> np.ndarray:
    """Melting temperatures and minimum folding energies: `(n, 7)`.

    Temperatures by primer3 (whole target, protospacer, its first 6, next 8 and last letters), energies by ViennaRNA
    (guide alone, guide behind the direct repeat).
    """
    import primer3
    import RNA

    rows = []
    for target in targets:
        guide = target[_START : _START + PROTOSPACER]
        rna = guide.replace("T", "U")
        heat = [primer3.calc_tm(part) for part in (target, guide, guide[:6], guide[6:14], guide[14:])]
        rows.append([*heat, RNA.fold(rna)[1], RNA.fold(_DIRECT_REPEAT + rna)[1]])
    return np.asarray(rows, dtype=np.float32)


def structure_features(codes: np.ndarray) -> np.ndarray:
    """Secondary structure of the crRNA by ViennaRNA, not among the field's features: `(n, 72)`.

    For the guide behind the direct repeat, and for the guide alone: minimum free energy, ensemble free energy, and the
    probability of every letter to be paired; for the first also the expected pairs between repeat and guide, within
    the repeat (its stem is what Cpf1 binds), and within the guide.
    """
    import RNA

    letters = np.frombuffer(b"ACGUN", dtype=np.uint8)[codes[:, _START : _START + PROTOSPACER]]
    repeat, rows = len(_DIRECT_REPEAT), []
    for guide in (row.tobytes().decode() for row in letters):
        row: list[float] = []
        for rna in (_DIRECT_REPEAT + guide, guide):
            fold = RNA.fold_compound(rna)
            lowest = fold.mfe()[1]
            fold.exp_params_rescale(lowest)
            row += [lowest, fold.pf()[1]]
            pairs = np.array(fold.bpp())[1:, 1:]  # the upper triangle
            row += [*(pairs.sum(0) + pairs.sum(1))]
            if rna is not guide:
                row += [pairs[:repeat, repeat:].sum(), pairs[:repeat, :repeat].sum(), pairs[repeat:, repeat:].sum()]
        rows.append(row)
    return np.asarray(rows, dtype=np.float32)


def fit_trees(
    features: np.ndarray, labels: np.ndarray, weights: np.ndarray, test: list[np.ndarray]
) -> list[np.ndarray]:
    """More and slower boosted trees than those of [`fit_classical`], on weighted rows; scores of every `test`."""
    from lightgbm import LGBMRegressor

    trees = LGBMRegressor(
        n_jobs=1, verbose=-1, random_state=0, n_estimators=1500, learning_rate=0.025, num_leaves=12,
        min_child_samples=20, colsample_bytree=0.3, subsample=0.7, subsample_freq=1,
    )  # fmt: skip
    trees.fit(features, labels, sample_weight=weights)
    return [np.asarray(trees.predict(x)) for x in test]


def fit_classical(kind: str, features: np.ndarray, labels: np.ndarray, test: list[np.ndarray]) -> list[np.ndarray]:
    """Fit one of [`KINDS`]; penalties by three-fold cross-validation of the training rows; scores of every `test`.

    `cindel` is a logistic regression for "among the most active fifth", as CINDEL (Kim et al. 2017) ranks guides.
    """
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    estimator, grid = _estimator(kind)
    scoring = "neg_mean_squared_error"
    if kind == "cindel":
        labels, scoring = labels >= np.quantile(labels, 0.8), "roc_auc"
    search = GridSearchCV(
        make_pipeline(StandardScaler(), estimator),
        {f"{type(estimator).__name__.lower()}__{name}": values for name, values in grid.items()},
        scoring=scoring,
        cv=3,
    )
    search.fit(features, labels)
    if kind == "cindel":
        return [search.predict_proba(x)[:, 1] for x in test]
    return [search.predict(x) for x in test]


def _estimator(kind: str) -> tuple[Any, dict[str, tuple[float, ...]]]:
    from lightgbm import LGBMRegressor
    from sklearn.linear_model import ElasticNet, Lasso, LogisticRegression, Ridge

    if kind == "l1":
        return Lasso(precompute=True, max_iter=2000), {"alpha": tuple(np.logspace(-2, 1, 13))}
    if kind == "l2":
        return Ridge(), {"alpha": tuple(np.logspace(-6, 6, 25))}
    if kind == "l1l2":
        return ElasticNet(precompute=True, max_iter=2000, l1_ratio=0.5), {"alpha": tuple(np.logspace(-2, 1, 13))}
    if kind == "boosted_trees":
        trees = LGBMRegressor(
            n_jobs=1, verbose=-1, random_state=0, colsample_bytree=0.3, learning_rate=0.05, min_child_samples=20
        )
        return trees, {"n_estimators": (400, 800), "num_leaves": (15,)}
    assert kind == "cindel"
    return LogisticRegression(max_iter=300), {"C": (0.0003, 0.003, 0.03)}
