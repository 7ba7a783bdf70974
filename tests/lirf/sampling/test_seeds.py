"""Seeds: distinct, of their place alone, and used whole."""

import numpy as np

from lirf.sampling import seeds


def test_seeds_are_distinct_over_names_and_bases_and_independent_of_the_count():
    many = [
        seed
        for base in (0, 1)
        for name in ("r01", "r02", "evaluate")
        for seed in seeds.seeds(base, name, 500)
    ]
    assert len(set(many)) == len(many)
    assert all(0 <= seed < 2**63 for seed in many)
    assert seeds.seeds(0, "r01", 3) == many[:3]


def test_a_generator_depends_on_the_whole_seed():
    assert np.array_equal(seeds.generator(5).random(4), seeds.generator(5).random(4))
    assert not np.array_equal(seeds.generator(5).random(4), seeds.generator(5 + 2**32).random(4))
