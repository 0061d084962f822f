"""What settings of pretraining choose by name; or by an import string of the user's. Nothing is imported here."""

from __future__ import annotations

from pipeline.plug_ins import Registry

MASKING = Registry(
    "masking strategy",
    {
        "token": "pretrain.data.masking_strategies:tokens",
        "whole-word": "pretrain.data.masking_strategies:whole_words",
        "span": "pretrain.data.masking_strategies:spans",
    },
    "xlmr.masking",
)
"""``(Candidates) -> [n, length] bool``: the positions to predict."""

MIXING = Registry(
    "mixing strategy",
    {"alpha": "pretrain.data.mixing:by_alpha", "weights": "pretrain.data.mixing:by_weights"},
    "xlmr.mixing",
)
"""``({language: sequences}) -> {language: weight}``; ours also take the settings ``pretrain.data``."""

LAYERS = Registry("layer", {"standard": "pretrain.model:standard_layer"}, "xlmr.layers")
"""``(ModelConfig) -> nn.Module`` with ``forward(hidden, attention_mask)``."""

TRACKERS = Registry(
    "tracker",
    {"mlflow": "pretrain.tracking.trackers:MlflowTracker", "wandb": "pretrain.tracking.trackers:WandbTracker"},
    "xlmr.trackers",
)
"""``(name, known run or None) -> Tracker``."""
