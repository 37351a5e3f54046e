"""Which words of a text a model attends to: attention received against tf-idf, and attention between words by head.

The questions are DNAVec's: whether the k-mers of highest tf-idf draw the most attention, whether some head lets
CpG-rich k-mers attend to each other, and whether the vectors of k-mers lie together by length.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr

from seqformers.datasets_scripts.common.remarks import Remarks
from seqformers.files import Output
from seqformers.hub.load import Loaded
from seqformers.inference.records import read_sequences
from seqformers.inference.windowing import Span, Windowing
from seqformers.interpret.attention import eager_attention
from seqformers.interpret.plots import plot_heads, plot_word_attention, plot_word_map
from seqformers.interpret.reading import cut_into_contexts, read_batches
from seqformers.interpret.words import WordVectors, word_vectors
from seqformers.pictures import save_picture

__all__ = ["WordAttention", "head_rows", "map_of_words", "word_rows", "write_word_attention"]

_TOP = 100
_FEWEST = 5  # times that a word comes, to count in a correlation
_PAIRS = ("CG", "GC")  # CpG, and the same two letters the other way round to compare with
_MAPPED = 3000


class WordAttention:
    """What is counted of a text, window by window; each window is a document of tf-idf.

    Args:
        words (`list[str]`): Token of every id.
        known (`np.ndarray` of bool, shape `(ids,)`): Which are words: no special and no unknown token.
        shape (`tuple[int, int]`): Layers and heads of the model.
    """

    def __init__(self, words: list[str], known: np.ndarray, shape: tuple[int, int]):
        self.words, self.known = words, known
        size = len(words)
        self.count, self.documents = np.zeros(size, np.int64), np.zeros(size, np.int64)
        self.shares = np.zeros(size)  # of a word among the tokens of a document, summed over documents
        self.received = np.zeros((shape[0], size))
        self.windows = 0
        self._holds = {pair: np.array([pair in word for word in words]) & known for pair in _PAIRS}
        # For each kind of pair and kind of asking word: attention to words that hold the pair, and what is even.
        self._given = {pair: np.zeros((2, *shape)) for pair in _PAIRS}
        self._even = {pair: np.zeros(2) for pair in _PAIRS}

    def add(self, ids: np.ndarray, starts: np.ndarray, ends: np.ndarray, attention: np.ndarray) -> None:
        """One window.

        Args:
            ids (`np.ndarray` of shape `(tokens,)`): Its tokens, without special ones.
            starts (`np.ndarray` of shape `(tokens,)`): First base of each.
            ends (`np.ndarray` of shape `(tokens,)`): Base behind the last one.
            attention (`np.ndarray` of shape `(layers, heads, tokens, tokens)`): From a token (third axis) to another.
        """
        if len(ids) < 2:
            return
        self.windows += 1
        np.add.at(self.count, ids, 1)
        np.add.at(self.shares, ids, 1 / len(ids))
        self.documents[np.unique(ids)] += 1
        # 1 is what an even spread would give each token, its own attention aside.
        apart = attention * ~np.eye(len(ids), dtype=bool)
        column = apart.mean(1).sum(1) / np.maximum(apart.mean(1).sum((1, 2)), 1e-30)[:, None] * len(ids)
        np.add.at(self.received.T, ids, column.T)
        self._add_pairs(ids, starts, ends, attention)

    def _add_pairs(self, ids: np.ndarray, starts: np.ndarray, ends: np.ndarray, attention: np.ndarray) -> None:
        """Attention between words that share no base: overlapping ones hold the same letters."""
        disjoint = (ends[:, None] <= starts[None]) | (ends[None] <= starts[:, None])
        there = attention * disjoint
        total, number = there.sum(3), disjoint.sum(1)
        asks = number > 0
        for pair, holds in self._holds.items():
            to = holds[ids]
            share = there[..., to].sum(3) / np.maximum(total, 1e-30)
            even = (disjoint & to).sum(1) / np.maximum(number, 1)
            for kind, which in enumerate((asks & to, asks & ~to)):
                self._given[pair][kind] += share[..., which].sum(2)
                self._even[pair][kind] += even[which].sum()

    def enrichment(self, pair: str, *, asked_by_holders: bool) -> np.ndarray:
        """Attention that goes to words holding `pair`, over what an even spread gives them, `(layers, heads)`."""
        kind = 0 if asked_by_holders else 1
        return self._given[pair][kind] / max(self._even[pair][kind], 1e-30)


def word_rows(found: WordAttention, layer: int = -1) -> pd.DataFrame:
    """A row a word that came: `word`, `letters`, `count`, `documents`, `tf_idf`, `attention` (1: an even spread).

    tf-idf is the mean over documents of a word's share of the tokens, times log(documents / those that hold it).
    """
    came = np.flatnonzero((found.count > 0) & found.known)
    inverse = np.log(found.windows / found.documents[came])
    rows = {
        "word": [found.words[number] for number in came],
        "letters": [len(found.words[number]) for number in came],
        "count": found.count[came],
        "documents": found.documents[came],
        "tf_idf": found.shares[came] / found.windows * inverse,
        "attention": found.received[layer, came] / found.count[came],
    }
    return pd.DataFrame(rows).sort_values("tf_idf", ascending=False, kind="stable", ignore_index=True)


def summary_rows(words: pd.DataFrame) -> pd.DataFrame:
    """For each length of words, and all together: rank correlation of tf-idf and attention, and what the top share."""
    often = words[words["count"] >= _FEWEST]
    rows = []
    for letters in [None, *sorted(often["letters"].unique().tolist())]:
        part = often if letters is None else often[often["letters"] == letters]
        top = min(_TOP, len(part) // 2)
        both = set(part.nlargest(top, "tf_idf")["word"]) & set(part.nlargest(top, "attention")["word"])
        varies = len(part) > 2 and part["tf_idf"].nunique() > 1 and part["attention"].nunique() > 1
        rows.append(
            {
                "letters": "all" if letters is None else str(letters),
                "words": len(part),
                "spearman": float(spearmanr(part["tf_idf"], part["attention"]).statistic) if varies else np.nan,
                "top": top,
                "in_both_tops": len(both),
                "expected_in_both": top**2 / len(part) if len(part) else np.nan,
            }
        )
    return pd.DataFrame(rows)


def head_rows(found: WordAttention) -> pd.DataFrame:
    """A row a head: attention of words with CG to words with CG over an even spread; of others to these; GC alike."""
    layers, heads = found.received.shape[0], found.enrichment("CG", asked_by_holders=True).shape[1]
    place = np.indices((layers, heads)).reshape(2, -1)
    rows: dict[str, Any] = {"layer": place[0], "head": place[1]}
    for pair in _PAIRS:
        low = pair.lower()
        rows[f"{low}_to_{low}"] = found.enrichment(pair, asked_by_holders=True).ravel()
        rows[f"others_to_{low}"] = found.enrichment(pair, asked_by_holders=False).ravel()
    return pd.DataFrame(rows)


def map_of_words(vectors: WordVectors, *, most: int = _MAPPED, seed: int = 0) -> pd.DataFrame:
    """Words in two dimensions by t-SNE of the 30 first principal components: `word`, `letters`, `x`, `y`.

    Of each length as many words are drawn, at most `most` together.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    letters = np.array([len(word) for word in vectors.words])
    rng = np.random.default_rng(seed)
    each = max(most // len(np.unique(letters)), 1)
    chosen = [np.flatnonzero(letters == length) for length in np.unique(letters)]
    picked = np.concatenate([np.sort(rng.permutation(part)[:each]) for part in chosen])
    matrix = vectors.matrix[picked]
    matrix = PCA(min(30, *matrix.shape), random_state=seed).fit_transform(matrix)
    places = TSNE(random_state=seed, perplexity=min(30, (len(picked) - 1) / 3), init="pca").fit_transform(matrix)
    words = [vectors.words[number] for number in picked]
    return pd.DataFrame({"word": words, "letters": letters[picked], "x": places[:, 0], "y": places[:, 1]})


def read_text(loaded: Loaded, spans: Iterable[Span], *, batch_size: int = 4) -> WordAttention:
    """Count over windows of sequences; memory grows with layers, heads and length squared times `batch_size`."""
    encoder, base = loaded.encoder, loaded.model.base_model
    table = encoder.get_vocab()
    words = [""] * (max(table.values()) + 1)
    for word, number in table.items():
        words[number] = word
    known = np.ones(len(words), dtype=bool)
    known[encoder.all_special_ids] = False
    config = loaded.config
    found = WordAttention(words, known, (config.num_hidden_layers, config.num_attention_heads))
    waiting = iter(spans)
    with torch.inference_mode(), eager_attention(base):
        while part := list(islice(waiting, batch_size)):
            contexts = [context for span in part for context in cut_into_contexts(span, loaded)]
            for _, inputs, own, places in read_batches(contexts, loaded, batch_size):
                attentions = torch.stack(base(**inputs, output_attentions=True).attentions).float().cpu().numpy()
                ids = inputs["input_ids"].cpu().numpy()
                for row in range(len(ids)):
                    mine = np.flatnonzero(own[row] & known[ids[row]])
                    inside = attentions[:, row][:, :, mine[:, None], mine]
                    starts, ends = places[row][mine].T
                    found.add(ids[row][mine], starts, ends, inside)
    return found


def write_word_attention(
    loaded: Loaded,
    fasta: str | Path,
    place: Output,
    windowing: Windowing,
    *,
    layer: int,
    batch_size: int,
    remarks: Remarks,
    progress: bool,
) -> None:
    """Write `words.tsv`, `summary.tsv`, `heads.tsv`, `map.tsv` and their pictures; what `explain --method words` does.

    Raises:
        ValueError: the model has no attention or no words, or there is no window of two tokens.
    """
    if not hasattr(loaded.config, "num_attention_heads"):
        raise ValueError(f"{loaded.name} is a {loaded.config.model_type} model, which has no attention to show")
    if not -loaded.config.num_hidden_layers <= layer < loaded.config.num_hidden_layers:
        last = loaded.config.num_hidden_layers - 1
        raise ValueError(f"layer {layer} does not exist: this model has layers 0 to {last}")
    vectors = word_vectors(loaded)
    cut = windowing.for_model(loaded)
    records = read_sequences(fasta, loaded.reading, remarks, progress=progress)
    found = read_text(loaded, (span for record in records for span in cut.cut(record.sequence)), batch_size=batch_size)
    if not found.windows:
        raise ValueError(f"{fasta} holds no sequence of two known tokens")
    folder = place.start()
    words, heads, places = word_rows(found, layer), head_rows(found), map_of_words(vectors)
    tables = {"words": words, "summary": summary_rows(words), "heads": heads, "map": places}
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.tsv", sep="\t", index=False, float_format="%.6g")
    save_picture(plot_word_attention(words.head(_TOP), title=f"{_TOP} words of highest tf-idf"), folder / "words.png")
    save_picture(plot_heads(heads, "cg_to_cg", title="words with CG attend to words with CG"), folder / "heads.png")
    save_picture(plot_word_map(places, title=Path(loaded.name).name), folder / "map.png")
