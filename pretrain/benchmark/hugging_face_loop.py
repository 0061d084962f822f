"""Hugging Face's model in its usual training loop, to hold ours against: the same batches in, the same steps out.

What transformers' Trainer does with its defaults: scores at every position, labels of -100 where nothing is masked,
autocast for bf16 over fp32 weights, clipping at 1, fused AdamW. Its data come for nothing here, and its checks for
non-finite losses, its logging and its callbacks are left out, in its favour. Not part of any training of ours.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pretrain.benchmark.meter import Parts
from pretrain.config_file import describe_config
from pretrain.data.masking import MaskedBatch
from pretrain.model import ModelConfig
from pretrain.settings import TrainSettings

IGNORED = -100
"""The label of a position that the loss leaves out."""

RATE = 1e-4


class HuggingFaceLoop:
    """XLMRobertaForMaskedLM or XLMRobertaXLForMaskedLM, and a step of it."""

    def __init__(
        self, architecture: ModelConfig, settings: TrainSettings, device: torch.device, dtype: torch.dtype,
        *, compiled: bool = False,
    ) -> None:  # fmt: skip
        """Errors: ImportError without transformers."""
        from transformers import AutoConfig, AutoModelForMaskedLM

        described = describe_config(architecture)
        described.pop("architectures")
        config = AutoConfig.for_model(**described)
        with torch.device(device):
            self.model = AutoModelForMaskedLM.from_config(config, attn_implementation="sdpa").train()
        if settings.activation_checkpointing:
            self.model.gradient_checkpointing_enable()
        if compiled:
            self.model.compile()
        self.micro_batch = settings.micro_batch
        self.max_grad_norm = settings.max_grad_norm
        self._device, self._dtype = device, dtype
        self._adam = torch.optim.AdamW(
            self.model.parameters(), RATE, settings.betas, settings.epsilon, settings.weight_decay, fused=True
        )

    def step(self, batch: MaskedBatch, parts: Parts | None = None) -> float:
        """One step; its mean loss. With ``parts`` its seconds are added there."""
        parts = parts or Parts(torch.device("cpu"))
        micro_batches = list(batch.split(self.micro_batch))
        losses = []
        for micro_batch in micro_batches:
            with parts.part("forward"):
                loss = self._loss(micro_batch) / len(micro_batches)
            with parts.part("backward"):
                loss.backward()
            losses.append(loss.detach())
        with parts.part("optimiser"):
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.max_grad_norm)
            self._adam.step()
            self.model.zero_grad()
        return float(torch.stack(losses).sum())

    def halve(self) -> bool:
        """Give up what the last step left, and do the next in parts half as large; False if they are single."""
        self.model.zero_grad()
        if self.micro_batch == 1:
            return False
        self.micro_batch //= 2
        torch.cuda.empty_cache()
        return True

    def _loss(self, batch: MaskedBatch) -> Tensor:
        labels = np.full(batch.ids.size, IGNORED)
        labels[batch.masked_positions] = batch.labels
        ids = torch.from_numpy(batch.ids).to(self._device, non_blocking=True)
        tensors = {
            "input_ids": ids,
            "attention_mask": ids.ne(1).long(),
            "labels": torch.from_numpy(labels.reshape(batch.ids.shape)).to(self._device, non_blocking=True),
        }
        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype is not torch.float32):
            loss: Tensor = self.model(**tensors).loss
        return loss
