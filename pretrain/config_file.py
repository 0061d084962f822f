"""``config.json`` as Hugging Face has it: the architecture that it describes, and the one that we write.

Every key that the architecture depends on must be there, be of its type, and say what these models can do.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

from pipeline.errors import XlmrError
from pipeline.json_file import read_json_as
from pretrain.choices import LAYERS
from pretrain.conversion import refuse_pickles
from pretrain.model import INITIAL_DEVIATION, PAD, ModelConfig

CONFIG = "config.json"

NORMS: dict[str, Literal["post", "pre"]] = {"xlm-roberta": "post", "xlm-roberta-xl": "pre"}
"""``model_type`` -> where LayerNorm stands."""

ARCHITECTURES = {"post": "XLMRobertaForMaskedLM", "pre": "XLMRobertaXLForMaskedLM"}

Size = Annotated[int, Field(ge=1, lt=2**31)]
Rows = Annotated[int, Field(ge=5, lt=2**31)]
"""Of the table of tokens: the special ones are five."""
Layers = Annotated[int, Field(ge=1, le=1000)]
Positions = Annotated[int, Field(ge=PAD + 3, lt=2**31)]
Dropout = Annotated[float, Field(ge=0, lt=1)]
Epsilon = Annotated[float, Field(gt=0, lt=1)]


class Architecture(BaseModel):
    """An architecture under our names, as ``checkpoint.json`` holds it; a key that it does not know is an error."""

    model_config = {"extra": "forbid"}

    vocab_size: Rows
    num_hidden_layers: Layers
    hidden_size: Size
    num_attention_heads: Size
    intermediate_size: Size
    max_position_embeddings: Positions
    norm: Literal["post", "pre"]
    dropout: Dropout
    attention_dropout: Dropout
    layer_norm_eps: Epsilon = 1e-5  # checkpoints that do not name it were written when all models had this
    layer: Annotated[str, LAYERS] = "standard"

    @model_validator(mode="after")
    def _heads_divide_hidden_size(self) -> Self:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads {self.num_attention_heads}"
            )
        return self

    def model(self) -> ModelConfig:
        """The same for ``MaskedLanguageModel``."""
        return ModelConfig(**self.model_dump())


class HuggingFaceConfig(BaseModel):
    """The keys of config.json that the architecture depends on; others are left alone."""

    model_type: Literal["xlm-roberta", "xlm-roberta-xl"]
    vocab_size: Rows
    num_hidden_layers: Layers
    hidden_size: Size
    num_attention_heads: Size
    intermediate_size: Size
    max_position_embeddings: Positions
    hidden_dropout_prob: Dropout
    attention_probs_dropout_prob: Dropout
    layer_norm_eps: Epsilon
    hidden_act: Literal["gelu"]
    position_embedding_type: Literal["absolute"] = "absolute"
    is_decoder: Literal[False] = False
    pad_token_id: Literal[1] = 1
    tie_word_embeddings: bool = True

    @model_validator(mode="after")
    def _heads_divide_hidden_size(self) -> Self:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads {self.num_attention_heads}"
            )
        return self

    def model(self) -> ModelConfig:
        """The architecture."""
        return ModelConfig(
            vocab_size=self.vocab_size,
            num_hidden_layers=self.num_hidden_layers,
            hidden_size=self.hidden_size,
            num_attention_heads=self.num_attention_heads,
            intermediate_size=self.intermediate_size,
            max_position_embeddings=self.max_position_embeddings,
            norm=NORMS[self.model_type],
            dropout=self.hidden_dropout_prob,
            attention_dropout=self.attention_probs_dropout_prob,
            layer_norm_eps=self.layer_norm_eps,
        )


def describe_config(config: ModelConfig) -> dict[str, Any]:
    """Hugging Face's config.json."""
    model_types = {norm: model_type for model_type, norm in NORMS.items()}
    return {
        "architectures": [ARCHITECTURES[config.norm]],
        "model_type": model_types[config.norm],
        "vocab_size": config.vocab_size,
        "num_hidden_layers": config.num_hidden_layers,
        "hidden_size": config.hidden_size,
        "num_attention_heads": config.num_attention_heads,
        "intermediate_size": config.intermediate_size,
        "max_position_embeddings": config.max_position_embeddings,
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": config.attention_dropout,
        "hidden_act": "gelu",
        "layer_norm_eps": config.layer_norm_eps,
        "initializer_range": INITIAL_DEVIATION,
        "type_vocab_size": 1,
        "tie_word_embeddings": True,
        "bos_token_id": 0,
        "pad_token_id": PAD,
        "eos_token_id": 2,
    }


def read_config(folder: Path) -> ModelConfig:
    """The architecture that a config.json describes. Errors: those of ``read_hugging_face_config``."""
    return read_hugging_face_config(folder).model()


def read_hugging_face_config(folder: Path) -> HuggingFaceConfig:
    """What a folder's config.json says. Errors: XlmrError naming the file and the key."""
    path = folder / CONFIG
    if not path.exists():
        refuse_pickles(folder)
        raise XlmrError(f"{path}: no such file", "name a folder that pretrain.export wrote")
    return read_json_as(HuggingFaceConfig, path, "name a folder of an XLM-R as transformers saves it")
