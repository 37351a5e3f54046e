"""Letters at two bits: what is cut out is what went in, N and strands included."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqformers.datasets_scripts.common.counter_draws import keys_of, uniform
from seqformers.datasets_scripts.common.two_bit import TwoBitLetters, write_two_bit
from seqformers.datasets_scripts.common.windows import letters_of

COMPLEMENT = str.maketrans("ACGT", "TGCA")


def as_read(text):
    """A, C, G, T stay, everything else is N."""
    return "".join(letter if letter in "ACGT" else "N" for letter in text)


@given(
    records=st.lists(st.text("ACGTNRY", min_size=1, max_size=40), min_size=1, max_size=6),
    cuts=st.lists(st.tuples(st.integers(0, 5), st.floats(0, 1), st.floats(0, 1), st.booleans()), max_size=12),
)
def test_spans_are_those_of_the_text(tmp_path_factory, records, cuts):
    folder = tmp_path_factory.mktemp("letters")
    starts = write_two_bit(map(letters_of, records), folder)
    letters = TwoBitLetters.open(folder)
    letters.verify()
    letters = pickle.loads(pickle.dumps(letters))
    wanted, places, lengths, reverse = [], [], [], []
    for record, at, size, back in cuts:
        text = as_read(records[record % len(records)])
        begin = int(at * (len(text) - 1))
        span = text[begin : begin + 1 + int(size * (len(text) - begin - 1))]
        wanted.append(span.translate(COMPLEMENT)[::-1] if back else span)
        places.append(starts[record % len(records)] + begin)
        lengths.append(len(span))
        reverse.append(back)
    arrays = np.array(places, np.int64), np.array(lengths, np.int64)
    found = letters.take(*arrays, np.array(reverse, bool))
    longest = max(lengths, default=0)
    assert [row.tobytes().decode() for row in found] == [span.ljust(longest, "N") for span in wanted]
    assert letters.count_unknown(*arrays).tolist() == [span.count("N") for span in wanted]


def test_a_torn_or_changed_file_is_refused(tmp_path):
    write_two_bit([letters_of("ACGTNACGT" * 9)], tmp_path)
    path = tmp_path / "letters.2bit"
    whole = path.read_bytes()
    path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    with pytest.raises(ValueError, match=r"letters\.2bit has changed"):
        TwoBitLetters.open(tmp_path).verify()
    path.write_bytes(whole[:-1])
    with pytest.raises(ValueError, match="an incomplete copy"):
        TwoBitLetters.open(tmp_path)
    path.unlink()
    with pytest.raises(ValueError, match=r"has no letters\.2bit"):
        TwoBitLetters.open(tmp_path)


def test_draws_are_uniform_and_independent_of_their_neighbours():
    keys = keys_of(3, 0, np.arange(20_000))
    one, other = uniform(keys, 0), uniform(keys, 1)
    later = uniform(keys_of(3, 1, np.arange(20_000)), 0)
    for values in (one, other, later):
        counts = np.bincount((values * 16).astype(int), minlength=16)
        assert ((counts - 1250) ** 2 / 1250).sum() < 45  # chi-squared, 15 degrees of freedom: p = 1e-4
    for left, right in ((one, other), (one, later), (one[1:], one[:-1])):
        assert abs(np.corrcoef(left, right)[0, 1]) < 0.03
    assert uniform(keys[[5, 3]], 0).tolist() == one[[5, 3]].tolist()
