"""A small model's gradient, plain and compiled, with and without recomputing: fails where they differ.

Dropout in attention is as in one process, and as on a rank of a tensor-parallel group. No kernels are made: one of the
compiler's own would draw other masks than PyTorch.
"""

from __future__ import annotations

import torch

from pretrain.model import PAD, Attention, MaskedLanguageModel, ModelConfig
from pretrain.parallel import OwnDropout


def gradients(backend: str | None, *, activation_checkpointing: bool, own_dropout: bool) -> list[torch.Tensor]:
    """By parameter."""
    torch._dynamo.reset()
    torch.manual_seed(3)
    shape = {
        "num_hidden_layers": 2,
        "hidden_size": 32,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "max_position_embeddings": 20,
    }
    model = MaskedLanguageModel(ModelConfig(60, **shape, dropout=0.3, attention_dropout=0.3)).train()
    for module in model.modules():
        if own_dropout and isinstance(module, Attention):
            module.scaled_dot_product = OwnDropout(0.3)
    model.encoder.activation_checkpointing = activation_checkpointing
    model.head.scoring.chunk = 2
    if backend is not None:
        model.compile_parts(backend)
    ids = torch.randint(4, 60, (3, 18))
    ids[1, 11:] = PAD
    model(ids, ids != PAD, torch.tensor([1, 2, 9]), torch.tensor([7, 8, 9])).backward()
    return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]


if __name__ == "__main__":
    for activation_checkpointing in (False, True):
        for own_dropout in (False, True):
            how = {"activation_checkpointing": activation_checkpointing, "own_dropout": own_dropout}
            plain, compiled = (gradients(backend, **how) for backend in (None, "aot_eager"))
            assert len(plain) > 30
            for ours, theirs in zip(compiled, plain, strict=True):
                torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
