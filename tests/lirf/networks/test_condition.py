"""A condition is changed as a whole, and the null condition is nothing."""

import torch

from lirf.networks.condition import NULL, Condition


def test_rows_are_those_of_every_tensor():
    label = torch.arange(12.0).view(4, 3)
    condition = Condition(label)
    for rows in (slice(1, 3), torch.tensor([2, 0, 2])):
        found = condition.rows(rows).augmentation
        assert found is not None
        assert torch.equal(found, label[rows])
    moved = condition.to(torch.device("meta")).augmentation
    assert moved is not None
    assert moved.is_meta


def test_nothing_stays_nothing():
    assert NULL.rows(slice(0, 2)) == NULL.to(torch.device("cpu")) == Condition()
