"""A small model's gradient, plain and compiled, with and without recomputing: fails where they differ."""

from __future__ import annotations

import torch

from pretrain.model import PAD, MaskedLanguageModel, ModelConfig


def gradients(backend: str | None, *, recompute: bool) -> list[torch.Tensor]:
    """By parameter."""
    torch._dynamo.reset()
    torch.manual_seed(3)
    shape = {"layers": 2, "width": 32, "heads": 4, "feed_forward": 48, "positions": 20}
    model = MaskedLanguageModel(ModelConfig(60, **shape, dropout=0.0, attention_dropout=0.0)).train()
    model.encoder.recompute = recompute
    model.head.scoring.chunk = 2
    if backend is not None:
        model.compile_parts(backend)
    ids = torch.randint(4, 60, (3, 18))
    ids[1, 11:] = PAD
    model(ids, ids != PAD, torch.tensor([1, 2, 9]), torch.tensor([7, 8, 9])).backward()
    return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]


if __name__ == "__main__":
    for recompute in (False, True):
        plain, compiled = (gradients(backend, recompute=recompute) for backend in (None, "aot_eager"))
        assert len(plain) > 30
        for ours, theirs in zip(compiled, plain, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
