"""Tokens of a latent: their places, and the way there and back."""

import torch

from lirf.networks import transformer
from lirf.networks.transformer import VelocityTransformer


def test_tokens_know_their_place():
    built = VelocityTransformer((2, 3, 3), patch=1, width=16, depth=2, heads=2)
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in built.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.1)
    x, t = torch.randn(1, 2, 3, 3), torch.tensor([0.5])
    moved = built(x.transpose(2, 3), t).transpose(2, 3)
    assert not torch.allclose(built(x, t), moved, atol=1e-3)


def test_unpatchify_inverts_patchify_and_a_token_is_a_patch():
    x = torch.arange(2 * 3 * 4 * 6, dtype=torch.float32).view(2, 3, 4, 6)
    tokens = transformer.patchify(x, 2)
    assert tokens.shape == (2, 6, 12)
    assert torch.equal(tokens[1, 4].view(3, 2, 2), x[1, :, 2:4, 2:4])
    assert torch.equal(transformer.unpatchify(tokens, (3, 4, 6), 2), x)


def test_positions_are_distinct():
    positions = transformer.sine_cosine_positions((4, 5), 16)
    assert positions.shape == (20, 16)
    assert torch.pdist(positions).min() > 1e-3
