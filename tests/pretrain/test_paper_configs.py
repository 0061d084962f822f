"""The configurations of the papers' models: sizes to the last parameter, and as much training as the papers say."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pipeline.dag import Dag
from pretrain.cost.workload import Workload, of_config
from pretrain.model import MaskedLanguageModel, ModelConfig, count_parameters
from pretrain.presets import SHAPES

CONFIGS = Path(__file__).parents[2] / "configs"


def count_of(work: Workload) -> tuple[int, int]:
    """Parameters of the encoder and of all, on the meta device."""
    shape = work.shape
    with torch.device("meta"):
        model = MaskedLanguageModel(
            ModelConfig(
                shape.vocab_size, shape.num_hidden_layers, shape.hidden_size, shape.num_attention_heads,
                shape.intermediate_size, work.max_position_embeddings, shape.norm,
            )
        )  # fmt: skip
    return count_parameters(model.encoder), count_parameters(model)


@pytest.mark.parametrize(
    ("name", "encoder", "whole", "batch", "steps", "tensor_parallel"),
    [
        ("base", 277_452_288, 278_294_418, 8192, 1_500_000, 1),
        ("large", 558_839_808, 560_141_458, 8192, 1_500_000, 1),
        ("xl", 3_475_927_040, 3_482_739_200, 2048, 500_000, 2),
        ("xxl", 10_695_950_336, 10_712_990_720, 2048, 500_000, 8),
    ],
)
def test_a_papers_model(name: str, encoder: int, whole: int, batch: int, steps: int, tensor_parallel: int) -> None:
    work = of_config(CONFIGS / f"xlmr-{name}.yaml")
    assert count_of(work) == (encoder, whole)
    assert work.parameters == whole
    assert work.shape == SHAPES[name]
    assert work.train.global_batch * work.length * work.train.steps == batch * 512 * steps
    assert (work.train.global_batch, work.length, work.max_position_embeddings) == (batch, 512, 514)
    assert work.train.tensor_parallel == tensor_parallel
    assert work.train.betas == (0.9, 0.98)
    assert (work.dropout, work.attention_dropout, work.mask_rate) == (0.1, 0.1, 0.15)


@pytest.mark.parametrize("name", ["base", "large", "xl", "xxl"])
def test_a_papers_corpus(name: str) -> None:
    files = (f"xlmr-{name}.yaml", "corpus-cc100.yaml")
    config, release = (Dag.default().load_config(CONFIGS / file).model_dump() for file in files)
    assert config["corpus"] == release["corpus"]
    languages = config["tokenizer"]["sample"]["languages"]
    assert languages == config["tokenizer"]["encode"]["languages"]
    assert len(set(languages)) == 100
    assert set(languages) < set(release["corpus"]["mine"]["languages"])
