"""Networks over the profile of a stretch of DNA: how often its words, codons and pairs of residues come.

The profile is counted, not learnt: (1) words of six letters, a word and its reverse complement as one; (2) the
coding track: at every third base the frame, of all six, whose stretch between two stops is the longest; of this track
the codons, the pairs of residues up to four codons apart, and how long and how scattered the open frames are. Codons
tell phages from their hosts where words do not (Fang et al., PPR-Meta, 2019; Wijesekara et al., Jaeger, 2024 read six
frames for that reason). A sequence and its reverse complement differ only by where the frames begin.

Rows of unlike length give the answers that they give alone, and letters other than A, C, G and T are in no word.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils.generic import can_return_tuple

from .configuration_coding_profile import CodingProfileConfig
from .modeling_dna_heads import DnaForRows

__all__ = ["CodingProfileForSequenceClassification", "CodingProfileModel", "CodingProfilePreTrainedModel"]

# Base of each id of KmerTokenizer(k=1), A C G T = 0 to 3: [PAD] [UNK] [CLS] [SEP] [MASK] A T C G. 4: unknown; 5: none.
_BASES = (5, 4, 5, 5, 4, 0, 3, 1, 2)
_NONE = 5
_UNKNOWN_CODON, _CODONS = 64, 65
# The standard code's residues by codon in the order A C G T; every bacterial code but those with fewer stops has it.
_CODE = "KNKNTTTTRSRSIIMIQHQHPPPPRRRRLLLLEDEDAAAAGGGGVVVV*Y*YSSSS*CWCLFLF"
_RESIDUES = "ACDEFGHIKLMNPQRSTVWY*X"
_STOP = _RESIDUES.index("*")
_OPEN_FRAME_EDGES = (25, 40, 60, 90, 130, 180, 250, 350)  # codons
_LONG_FRAMES = (40, 80)
_FARTHEST = 6.0  # standard deviations that a number of the profile may lie from its mean


def _exporting() -> bool:
    return bool(getattr(torch.compiler, "is_exporting", bool)())  # torch 2.6 does not say it


def _merged_words(length: int) -> list[int]:
    """Number of each word of `length` letters, the same for a word and its reverse complement."""
    numbers: dict[int, int] = {}
    merged = []
    for word in range(4**length):
        backwards, rest = 0, word
        for _ in range(length):
            backwards, rest = backwards * 4 + 3 - rest % 4, rest // 4
        merged.append(numbers.setdefault(min(word, backwards), len(numbers)))
    return merged


def _count(index: torch.Tensor, size: int) -> torch.Tensor:
    """How often each number below `size` comes in each row, `(batch, size)` float; `size` itself is not counted."""
    if _exporting():
        zeros = torch.zeros(index.shape[0], size + 1, device=index.device)
        return zeros.scatter_add(1, index, torch.ones_like(index, dtype=zeros.dtype))[:, :size]
    rows = torch.arange(len(index), device=index.device)[:, None] * (size + 1)
    counts = torch.bincount((index + rows).reshape(-1), minlength=len(index) * (size + 1))
    return counts.view(len(index), size + 1)[:, :size].float()


def _running_maximum(values: torch.Tensor) -> torch.Tensor:
    """Largest value so far along the last dimension; in a graph of a fixed length by doubling: ONNX has no cummax."""
    if not _exporting() or not isinstance(values.shape[-1], int):
        return values.cummax(-1)[0]
    reach = 1
    while reach < values.shape[-1]:
        earlier = nn.functional.pad(values[..., :-reach], (reach, 0), value=-(2**30))
        values, reach = torch.maximum(values, earlier), reach * 2
    return values


class CodingProfileCounter(nn.Module):
    """Profiles of rows of ids; it has tables, and no weights."""

    def __init__(self, config: CodingProfileConfig):
        super().__init__()
        self.config = config
        self.register_buffer("words", torch.zeros(4**config.word_length, dtype=torch.long))
        self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        """Fill the table, which a model that is built without memory lacks."""
        init.copy_(self.words, torch.tensor(_merged_words(self.config.word_length)))

    @torch.no_grad()
    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        """Profiles of rows.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, length)`): Ids of `KmerTokenizer(k=1)`.
            attention_mask (`torch.Tensor`, *optional*): 0 where nothing is.

        Returns:
            `torch.FloatTensor` of shape `(batch, config.profile_size)`: square roots of shares; words are centred and
            scaled within the row, since how many of them a row shows at all depends on its length.
        """
        bases, lengths = self._bases(input_ids, attention_mask)
        codons = self._codons(bases)
        words = self._words(bases, lengths)
        words = (words - words.mean(1, keepdim=True)) / (words.std(1, keepdim=True) + 1e-6)
        return torch.cat([words, *self._coding(codons, lengths), lengths.clamp(min=1).log()[:, None]], 1)

    def _bases(self, input_ids: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Bases of each row from its first one on, `(batch, length)` 0 to 5, and how many there are."""
        table = torch.tensor(_BASES, device=input_ids.device)
        bases = table[input_ids.clamp(max=len(_BASES) - 1)]
        if mask is not None:
            bases = torch.where(mask != 0, bases, _NONE)
        content = bases < _NONE
        lengths = content.sum(1)
        # Whatever stands before the first base goes to the end, so that frames begin with the sequence.
        first = content.to(torch.uint8).argmax(1)
        if _exporting() or bool((first > 0).any()):
            place = torch.arange(bases.shape[1], device=bases.device)
            bases = bases.gather(1, (place + first[:, None]) % bases.shape[1])
        short = _OPEN_FRAME_EDGES[0] * 3
        if not _exporting() and bases.shape[1] < short:
            bases = nn.functional.pad(bases, (0, short - bases.shape[1]), value=_NONE)
        return bases, lengths

    def _codons(self, bases: torch.Tensor) -> torch.Tensor:
        """Codon at each base and the two behind it, `(batch, length - 2)`; 64 where one is unknown."""
        known = bases < 4
        codons = bases[:, :-2] * 16 + bases[:, 1:-1] * 4 + bases[:, 2:]
        return torch.where(known[:, :-2] & known[:, 1:-1] & known[:, 2:], codons, _UNKNOWN_CODON)

    def _words(self, bases: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Square roots of the shares of words, `(batch, words)`."""
        length, places = self.config.word_length, bases.shape[1] - self.config.word_length + 1
        code, known = torch.zeros_like(bases[:, :places]), torch.ones_like(bases[:, :places], dtype=torch.bool)
        for start in range(length):
            letter = bases[:, start : start + places]
            code, known = code * 4 + letter, known & (letter < 4)
        size = self.config.num_words
        index = torch.where(known, self.words[torch.where(known, code, 0)], size)
        return (_count(index, size) / lengths.clamp(min=1)[:, None]).sqrt()

    def _coding(self, codons: torch.Tensor, lengths: torch.Tensor) -> list[torch.Tensor]:
        """What the coding track shows: codons, pairs of residues, open frames."""
        device = codons.device
        count = codons.shape[1] // 3
        reverse = torch.tensor(
            [(3 - c % 4) * 16 + (3 - c // 4 % 4) * 4 + 3 - c // 16 for c in range(64)] + [64], device=device
        )
        residue_of = torch.tensor([_RESIDUES.index(residue) for residue in _CODE + "X"], device=device)
        forward = codons[:, : count * 3].reshape(-1, count, 3).transpose(1, 2)
        frames = torch.cat([forward, reverse[forward]], 1)  # (batch, 6, count)
        place = torch.arange(count, device=device)
        real = place < ((lengths - 2).clamp(min=0) // 3)[:, None]
        stops = (residue_of[frames] == _STOP) | ~real[:, None]
        before = _running_maximum(torch.where(stops, place, -1))
        after = -_running_maximum(torch.where(stops, -place, -count).flip(2)).flip(2)
        open_codons = torch.where(stops, 0, after - before - 1)
        longest, frame = open_codons.max(1)
        codon = frames.gather(1, frame[:, None]).squeeze(1)
        coding = real & (longest >= self.config.min_open_frame)
        share = coding.sum(1).clamp(min=1)[:, None]
        profile = [(_count(torch.where(coding, codon, _CODONS), _CODONS) / share).sqrt()]
        residue, ahead = residue_of[codon], frame < 3
        for gap in range(1, self.config.num_gaps + 1):
            one, other = residue[:, :-gap], residue[:, gap:]
            same = coding[:, gap:] & coding[:, :-gap] & (frame[:, gap:] == frame[:, :-gap])
            same = same & (longest[:, gap:] == longest[:, :-gap])
            kinds = len(_RESIDUES)
            pair = torch.where(ahead[:, gap:], one * kinds + other, other * kinds + one)
            profile.append((_count(torch.where(same, pair, kinds**2), kinds**2) / share).sqrt())
        return [*profile, *self._open_frames(open_codons, longest, frame, real)]

    def _open_frames(
        self, open_codons: torch.Tensor, longest: torch.Tensor, frame: torch.Tensor, real: torch.Tensor
    ) -> list[torch.Tensor]:
        """Shares of open frames by length; changes of frame and of strand; frames that are open at once."""
        number = real.sum(1).clamp(min=1)[:, None].float()
        edges = torch.tensor(_OPEN_FRAME_EDGES, device=longest.device)
        bins = len(_OPEN_FRAME_EDGES) + 1
        by_length = _count(torch.where(real, torch.bucketize(longest, edges), bins), bins) / number
        both = real[:, 1:]
        moves = ((frame[:, 1:] != frame[:, :-1]) & both).sum(1, keepdim=True) / number
        turns = (((frame < 3)[:, 1:] != (frame < 3)[:, :-1]) & both).sum(1, keepdim=True) / number
        at_once = [((open_codons >= least) & real[:, None]).sum((1, 2))[:, None] / number for least in _LONG_FRAMES]
        return [by_length, moves, turns, *at_once]


class CodingProfileNorm(nn.BatchNorm1d):
    """Batch normalisation; of a row alone, which has no spread, by what earlier batches showed."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Standardise `(batch, numbers)`."""
        if self.training and len(x) == 1:
            return nn.functional.batch_norm(x, self.running_mean, self.running_var, eps=self.eps)
        return super().forward(x)


class CodingProfilePreTrainedModel(PreTrainedModel):
    """Initialisation and loading shared by the family; see `transformers.PreTrainedModel`."""

    config: CodingProfileConfig
    config_class = CodingProfileConfig
    base_model_prefix = "coding_profile"
    main_input_name = "input_ids"

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Uniform within 1/sqrt(inputs), biases 0; profiles are taken for standard until some were seen."""
        if isinstance(module, nn.Linear):
            init.kaiming_uniform_(module.weight, a=5**0.5)
            init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm1d):
            init.zeros_(module.running_mean)
            init.ones_(module.running_var)
            init.zeros_(module.num_batches_tracked)
        elif isinstance(module, CodingProfileCounter):
            module.reset()


class CodingProfileModel(CodingProfilePreTrainedModel):
    """Profiles of rows, standardised, and the hidden layer over them.

    Example:
    ```python
    >>> import torch
    >>> from seqformers import CodingProfileConfig, CodingProfileModel, KmerTokenizer

    >>> model = CodingProfileModel(CodingProfileConfig(word_length=3, hidden_size=8)).eval()
    >>> batch = KmerTokenizer(k=1)(["ATGGCGAAACGT" * 20], return_tensors="pt")
    >>> model(batch.input_ids).pooler_output.shape
    torch.Size([1, 8])

    ```
    """

    def __init__(self, config: CodingProfileConfig):
        super().__init__(config)
        self.counter = CodingProfileCounter(config)
        self.norm = CodingProfileNorm(config.profile_size, affine=False, momentum=0.02)
        self.feature_dropout = nn.Dropout(config.feature_dropout_prob)
        self.dense = nn.Linear(config.profile_size, config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPooling:
        """Vectors of rows.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, length)`): Ids of `KmerTokenizer(k=1)`, of any length; what
                frames a sequence ([CLS], [SEP], [PAD]) does not count.
            attention_mask (`torch.Tensor`, *optional*): 0 for padding.
            **kwargs: `output_hidden_states` gives the standardised profile too.

        Returns:
            `BaseModelOutputWithPooling`: `pooler_output` of shape `(batch, hidden_size)`, and the same as
            `last_hidden_state` of shape `(batch, 1, hidden_size)`: a profile has no positions.

        Raises:
            ValueError: there are no ids, or embeddings in their place: words cannot be counted in those.
        """
        if kwargs.get("output_attentions"):
            raise ValueError("coding_profile is a network without attention; leave output_attentions out")
        if input_ids is None:
            raise ValueError("coding_profile counts words, so it needs input_ids (and takes no inputs_embeds)")
        assert self.norm.running_mean is not None
        profile = self.norm(self.counter(input_ids, attention_mask).to(self.norm.running_mean.dtype))
        profile = profile.clamp(-_FARTHEST, _FARTHEST)
        hidden = self.dropout(nn.functional.relu(self.dense(self.feature_dropout(profile))))
        wanted = kwargs.get("output_hidden_states")
        wanted = self.config.output_hidden_states if wanted is None else wanted
        return BaseModelOutputWithPooling(
            last_hidden_state=hidden[:, None],
            pooler_output=hidden,
            hidden_states=(profile[:, None], hidden[:, None]) if wanted else None,
        )


class CodingProfileForSequenceClassification(DnaForRows, CodingProfilePreTrainedModel):
    """Classifier of stretches of DNA.

    Example:
    ```python
    >>> import torch
    >>> from seqformers import CodingProfileConfig, CodingProfileForSequenceClassification, KmerTokenizer

    >>> config = CodingProfileConfig(word_length=3, hidden_size=8, num_labels=5)
    >>> model = CodingProfileForSequenceClassification(config).eval()
    >>> model(**KmerTokenizer(k=1)(["ACGT" * 100, "GATTACA" * 40], padding=True, return_tensors="pt")).logits.shape
    torch.Size([2, 5])

    ```
    """

    base_class = CodingProfileModel

    def _build_head(self, config: CodingProfileConfig) -> None:
        self.dropout = nn.Dropout(config.classifier_dropout or 0.0)  # the hidden layer has had its own
        super()._build_head(config)
