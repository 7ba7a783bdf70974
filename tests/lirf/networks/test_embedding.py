"""Times and conditions as vectors."""

import pytest
import torch

from lirf.networks.condition import NULL, Condition
from lirf.networks.embedding import Embedding, modulate, require_shape, split


def test_times_a_thousandth_apart_differ_and_a_label_adds_its_linear_map():
    torch.manual_seed(0)
    embedding = Embedding(16, labels=2)
    assert embedding.label is not None
    torch.nn.init.normal_(embedding.label)
    t = torch.linspace(0, 1, 1001)
    plain = embedding(t, NULL)
    assert (plain[1:] - plain[:-1]).norm(dim=1).min() > 1e-3
    told = embedding(t, Condition(torch.tensor([[1.0, 0.0]]).expand(1001, 2)))
    moved = told - plain
    torch.testing.assert_close(moved, embedding.label[:, 0].expand(1001, 16), atol=1e-5, rtol=0)


def test_modulation_is_of_normalised_values():
    h, shift, scale = torch.randn(3, 8) * 5 + 2, torch.full((8,), 3.0), torch.full((8,), 1.0)
    out = modulate(h, shift, scale)
    torch.testing.assert_close(out.mean(1), torch.full((3,), 3.0), atol=1e-4, rtol=0)
    torch.testing.assert_close(out.std(1, correction=0), torch.full((3,), 2.0), atol=1e-3, rtol=0)


def test_a_vector_is_cut_into_the_parts_of_each_block_and_a_pair():
    first, second, last = split(torch.arange(8.0), depth=2, parts=3)
    assert [one.item() for one in (*first, *second, *last)] == [*range(8)]
    assert (len(first), len(second), len(last)) == (3, 3, 2)


def test_another_shape_is_refused():
    require_shape(torch.zeros(4, 1, 2, 3), (1, 2, 3))
    with pytest.raises(ValueError, match="1 x 2 x 3: this network was built for 1 x 2 x 4"):
        require_shape(torch.zeros(4, 1, 2, 3), (1, 2, 4))
