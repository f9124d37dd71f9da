"""The hot path counted in instructions, which repeat exactly."""

import pytest

from pybuf.bench.ratios.instructions import instructions_per_pair


def test_pair_of_1500_bytes_takes_at_most_85_instructions():
    assert instructions_per_pair("poolcore", 1500) <= 85


def test_pair_of_a_one_class_pool_takes_at_most_42_instructions():
    assert instructions_per_pair("poolcore one-class", 1500) <= 42


def test_floor_that_ratios_are_formed_to_takes_58_instructions():
    assert instructions_per_pair("F3", 1500) == pytest.approx(58, abs=3)
