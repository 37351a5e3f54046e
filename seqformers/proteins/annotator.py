"""Annotate proteins with the packaged encoder: probabilities in double precision, pieces of long proteins, letters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from seqformers.hub.load import Loaded, fingerprint_weights, load_model
from seqformers.proteins.segments import decode_segments, segments_of
from seqformers.tokenization.tokenization_protein import ProteinTokenizer

__all__ = ["STRUCTURES", "ProteinAnnotation", "ProteinAnnotator"]

STRUCTURES = "HEC"
_PIECE = 8_192  # residues of a long protein that are read at once
_TOKENS = 16_384  # of a batch
_THRESHOLD = 0.5
# Letters that hardly occur in training are read as the residue that is meant, or that is nearest.
_NEAREST = str.maketrans("BJOUZ", "DLKCE")


@dataclass
class ProteinAnnotation:
    """What the model says of one protein; empty for a protein without letters.

    Args:
        signal_probability (`float`): That it begins with a signal peptide.
        topology (`str`): A letter a residue: `i` inside, `o` outside, `M` membrane helix, `S` signal peptide.
        structure (`str`): A letter a residue: `H` helix, `E` strand, `C` coil.
        topology_probabilities (`(length, 4)` float64): Inside, outside, membrane, signal peptide, before the grammar.
        structure_probabilities (`(length, 3)` float64): Helix, strand, coil.
    """

    signal_probability: float
    topology: str
    structure: str
    topology_probabilities: NDArray[np.float64]
    structure_probabilities: NDArray[np.float64]

    @property
    def signal_end(self) -> int | None:
        """Last residue of the signal peptide, counted from 1; None without one."""
        first = segments_of(self.topology[:1], "S")
        return segments_of(self.topology, "S")[0].end if first else None

    @property
    def num_membrane(self) -> int:
        """Membrane helices."""
        return len(segments_of(self.topology, "M"))

    @property
    def structure_confidence(self) -> float | None:
        """Mean over the residues of the probability of the letter given; None without residues."""
        return float(self.structure_probabilities.max(1).mean()) if self.structure else None


class ProteinAnnotator:
    """The packaged model, or one of its family, ready to annotate.

    Answers are of double precision, so no batch, thread or device shows in what is written. A token sees
    `config.reach` tokens to either side and no others; proteins longer than 8,192 residues are read in pieces that
    overlap by that, with the answer of the whole.

    Args:
        model (`str`, `Path` or `ProteinCnnForAnnotation`, *optional*): By default the model in the package.
        device (`str`, *optional*): Torch device; default: a GPU when there is one.

    Examples:
        >>> annotator = ProteinAnnotator()
        >>> (annotation,) = annotator.annotate(["MKKTAIAIAVALAGFATVAQAAPKDNTWYTGAKLGWSQYHDTGFINNNGPTHENQLGAG"])
        >>> len(annotation.topology), len(annotation.structure)
        (59, 59)
    """

    def __init__(self, model: Any = None, *, device: str | None = None):
        if isinstance(model, torch.nn.Module):
            self.loaded = Loaded(model.eval(), None, model.config)
        else:
            self.loaded = load_model(model or "protein_cnn", None, family="protein_cnn", device=device)
        if not type(self.loaded.model).__name__.endswith("ForAnnotation"):
            raise ValueError(
                f"{self.loaded.name} is a {type(self.loaded.model).__name__}, which annotates nothing; this takes a "
                "ProteinCnnForAnnotation"
            )
        self._ids = _letter_ids()

    @property
    def fingerprint(self) -> str:
        """What tells the model from others in the settings of an output."""
        return self.loaded.fingerprint if self.loaded.folder else fingerprint_weights(self.loaded.model)

    def annotate(self, sequences: Sequence[str]) -> list[ProteinAnnotation]:
        """Annotate proteins, in their order.

        Args:
            sequences (`Sequence[str]`): Letters of proteins in either case, without stops or gaps. B, J, O, U and Z
                are read as D, L, K, C and E, X as unknown.
        """
        signal = np.zeros(len(sequences))
        topology = [np.zeros((len(s), 4)) for s in sequences]
        structure = [np.zeros((len(s), 3)) for s in sequences]
        for part in self._batches([self._tokens(s) for s in sequences]):
            answers = self._forward([tokens for *_, tokens in part])
            for (protein, start, stop, offset, _), (probability, residues, states) in zip(part, answers, strict=True):
                if start == 0:
                    signal[protein] = probability
                topology[protein][start:stop] = residues[offset : offset + stop - start]
                structure[protein][start:stop] = states[offset : offset + stop - start]
        has_signal = (signal >= _THRESHOLD).tolist()
        logs, cost = [np.log(np.maximum(p, 1e-12)) for p in topology], self.loaded.config.helix_cost
        paths = decode_segments(logs, has_signal, helix_cost=cost)
        return [
            ProteinAnnotation(float(signal[i]), paths[i], _letters(structure[i]), topology[i], structure[i])
            for i in range(len(sequences))
        ]

    def _tokens(self, sequence: str) -> NDArray[np.int64]:
        letters = sequence.upper().translate(_NEAREST).encode("ascii", "replace")
        return self._ids[np.frombuffer(b"<" + letters + b">", np.uint8)]

    def _batches(self, ids: list[NDArray]) -> Iterator[list[tuple[int, int, int, int, NDArray]]]:
        """Pieces (protein, residues `[start, stop)`, where those begin among the tokens, tokens) of like length."""
        reach, pieces = self.loaded.config.reach, []
        for protein, tokens in enumerate(ids):
            length = len(tokens) - 2
            for start in range(0, length, _PIECE):
                stop = min(start + _PIECE, length)
                left, right = max(start + 1 - reach, 0), min(stop + 1 + reach, len(tokens))
                pieces.append((protein, start, stop, start + 1 - left, tokens[left:right]))
        pieces.sort(key=lambda piece: len(piece[-1]))
        batch: list[tuple[int, int, int, int, NDArray]] = []
        for piece in pieces:
            if batch and len(piece[-1]) * (len(batch) + 1) > _TOKENS:
                yield batch
                batch = []
            batch.append(piece)
        if batch:
            yield batch

    def _forward(self, rows: list[NDArray]) -> list[tuple[float, NDArray, NDArray]]:
        """Probability of a signal peptide, and probabilities (tokens, classes), of each row."""
        width = max(len(row) for row in rows)
        ids, mask = np.zeros((len(rows), width), np.int64), np.zeros((len(rows), width), np.int64)
        for place, row in enumerate(rows):
            ids[place, : len(row)], mask[place, : len(row)] = row, 1
        model = self.loaded.exact
        with torch.inference_mode():
            output = model(torch.from_numpy(ids).to(model.device), torch.from_numpy(mask).to(model.device))
        signal = output.signal_logits.sigmoid().cpu().numpy()
        topology, structure = (x.softmax(-1).cpu().numpy() for x in (output.topology_logits, output.structure_logits))
        if not (np.isfinite(topology).all() and np.isfinite(structure).all()):
            raise ValueError(f"{self.loaded.name} gives numbers that are none; its weights are damaged")
        return [(float(signal[i]), topology[i], structure[i]) for i in range(len(rows))]


def _letters(probabilities: NDArray) -> str:
    return "".join(STRUCTURES[state] for state in probabilities.argmax(1).tolist())


def _letter_ids() -> NDArray[np.int64]:
    """Token id of each byte: the residues of TAPE's vocabulary, X for any other; `<` and `>` for start and end."""
    known = ProteinTokenizer("tape").get_vocab()
    ids = np.full(256, known["X"], np.int64)
    for letter in "ACDEFGHIKLMNPQRSTVWY":
        ids[ord(letter)] = known[letter]
    ids[ord("<")], ids[ord(">")] = known["<cls>"], known["<sep>"]
    return ids
