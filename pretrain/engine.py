"""The model under DeepSpeed: gradients, updates and the whole state by parameter name. Nothing else imports deepspeed.

The state is named fp32 tensors (weights and Adam's moments), the same for every ZeRO stage and number of ranks.
"""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.errors import XlmrError
from pretrain.chance import mix
from pretrain.masking import MaskedBatch
from pretrain.model import MaskedLanguageModel
from pretrain.stages import TrainSettings

MOMENTS = ("exp_avg", "exp_avg_sq")
"""Adam's names for the running means of the gradient and of its square."""

State = dict[str, dict[str, Tensor]]
"""``weights``, ``exp_avg``, ``exp_avg_sq``: parameter name -> fp32 tensor on the CPU."""


@dataclass(frozen=True)
class Outcome:
    """What an update did: whether it was applied, and the norm of the gradient before clipping."""

    applied: bool
    gradient_norm: float


class CarefulAdamW(torch.optim.AdamW):
    """AdamW that clips, and leaves everything as it was when the gradient is not finite.

    ``overflow`` and ``_global_grad_norm`` are the names by which DeepSpeed asks an optimiser what happened. Under
    ZeRO the gradient is in parts, so there DeepSpeed clips and refuses, and ``clip`` is None here.
    """

    def __init__(self, parameters: Any, clip: float | None, **options: Any) -> None:
        super().__init__(parameters, **options)
        self.clip = clip
        self.overflow = False
        self._global_grad_norm = 0.0

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update, or none."""
        if self.clip is not None:
            gradients = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
            norm = torch.nn.utils.get_total_norm(gradients)
            self._global_grad_norm = norm.item()
            self.overflow = not np.isfinite(self._global_grad_norm)
            if self.overflow:
                return
            if 0 < self.clip < self._global_grad_norm:
                torch._foreach_mul_(gradients, self.clip / self._global_grad_norm)
        super().step(closure)


class Engine:
    """One rank's share of the training."""

    def __init__(self, model: MaskedLanguageModel, settings: TrainSettings, seed: int) -> None:
        deepspeed = _import_deepspeed()
        self.rank, self.world, self.device = _join_group()
        self.dtype = choose_dtype(settings.dtype, self.device)
        if settings.global_batch % self.world:
            raise XlmrError(
                f"a global batch of {settings.global_batch} samples cannot be shared by {self.world} ranks",
                "make pretrain.train.global_batch a multiple of their number",
            )
        self._seed = seed
        self._rows = settings.global_batch // self.world
        self._micro_batches = -(-self._rows // settings.micro_batch)
        stage = max(settings.zero_stage, 1) if self._half_weights else settings.zero_stage
        model.encoder.recompute = settings.recompute
        optimizer = CarefulAdamW(
            model.to(self.device).parameters(),
            clip=settings.clip if stage == 0 else None,
            lr=settings.peak_learning_rate,
            betas=settings.betas,
            eps=settings.epsilon,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self._engine, *_ = deepspeed.initialize(
            model=model,
            optimizer=optimizer,
            config=self._deepspeed_config(settings, stage),
            dist_init_required=False,
        )
        self._adam = optimizer
        self._zero = stage > 0
        self.model: MaskedLanguageModel = self._engine.module

    @property
    def _half_weights(self) -> bool:
        """On a GPU the weights are bf16 with fp32 masters; on a CPU they stay fp32 and autocast rounds products."""
        return self.dtype is torch.bfloat16 and self.device.type == "cuda"

    def _deepspeed_config(self, settings: TrainSettings, stage: int) -> dict[str, Any]:
        config: dict[str, Any] = {
            "train_micro_batch_size_per_gpu": 1,  # bookkeeping only: the loop cuts the micro-batches
            "gradient_accumulation_steps": self._micro_batches,
            "zero_optimization": {"stage": stage},
            "zero_allow_untested_optimizer": True,
            "gradient_clipping": settings.clip if stage else 0.0,
            "steps_per_print": None,
        }
        if self._half_weights:
            config["bf16"] = {"enabled": True}
            config["data_types"] = {"grad_accum_dtype": "fp32"}
        elif self.dtype is torch.bfloat16:
            config["torch_autocast"] = {"enabled": True, "dtype": "bfloat16"}
        return config

    def start_update(self, update: int) -> None:
        """Give dropout its seed, so that it depends on the update and not on what was run before it."""
        self._engine.train()
        torch.manual_seed(int(mix(self._seed, update, self.rank) >> np.uint64(1)))

    def accumulate(self, batch: MaskedBatch, masked_positions: float) -> Tensor:
        """Add a micro-batch's gradient; give its summed cross-entropy.

        ``masked_positions`` is the number of the whole global batch over all ranks: its mean loss is what is derived.
        """
        loss = self._loss(batch)
        # DeepSpeed takes means over micro-batches and ranks; the product makes sums of them again.
        self._engine.backward(loss * (self._micro_batches * self.world / masked_positions))
        if not self._engine.is_gradient_accumulation_boundary():
            self._engine.step()
        return loss.detach()

    def update(self, learning_rate: float) -> Outcome:
        """Apply the gathered gradient, unless it is not finite."""
        for group in self._engine.optimizer.param_groups:
            group["lr"] = learning_rate
        self._engine.step()
        norm = self._engine.get_global_grad_norm()
        return Outcome(bool(self._engine.was_step_applied()), float(norm if norm is not None else np.nan))

    @torch.no_grad()
    def score(self, batch: MaskedBatch) -> float:
        """The summed cross-entropy of a batch, without dropout."""
        self._engine.eval()
        return float(self._loss(batch))

    def sum_over_ranks(self, value: float) -> float:
        """The sum of every rank's value."""
        if self.world == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(total)
        return total.item()

    def _loss(self, batch: MaskedBatch) -> Tensor:
        arrays = (batch.ids, batch.keep, batch.where, batch.targets)
        tensors = [None if a is None else torch.from_numpy(a).to(self.device, non_blocking=True) for a in arrays]
        loss: Tensor = self._engine(*tensors)
        return loss

    def state(self) -> State:
        """Weights and moments by parameter name. Every rank must ask; the tensors are copies."""
        named = list(self.model.named_parameters())
        if not self._zero:
            adam = self._adam.state
            moments = {key: {n: _copy(adam[p][key]) for n, p in named} for key in MOMENTS}
            return {"weights": {n: _copy(p) for n, p in named}, **moments}
        from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

        moments = {key: {n: _copy(safe_get_full_optimizer_state(p, key)) for n, p in named} for key in MOMENTS}
        return {"weights": {n: _copy(safe_get_full_fp32_param(p)) for n, p in named}, **moments}

    @torch.no_grad()
    def load_state(self, state: State, steps: int) -> None:
        """Take over a state that ``state`` gave, at any ZeRO stage; ``steps`` updates have been applied to it."""
        for name, parameter in self.model.named_parameters():
            parameter.copy_(state["weights"][name])
        for group in self._adam.param_groups:
            for parameter in group["params"]:  # under ZeRO: this rank's flat part
                moments = {key: torch.zeros_like(parameter) for key in MOMENTS}
                step = torch.tensor(float(steps), device=self.device)
                self._adam.state[parameter] = {"step": step, **moments}
        if not self._zero:
            for name, parameter in self.model.named_parameters():
                for key in MOMENTS:
                    self._adam.state[parameter][key].copy_(state[key][name])
            return
        from deepspeed.utils import safe_set_full_fp32_param, safe_set_full_optimizer_state

        self._engine.optimizer._lazy_init_hp_params_optimizer_state()
        for name, parameter in self.model.named_parameters():
            safe_set_full_fp32_param(parameter, state["weights"][name].to(self.device))
            for key in MOMENTS:
                safe_set_full_optimizer_state(parameter, state[key][name].to(self.device), key)

    def close(self) -> None:
        """Let go of DeepSpeed's hooks and buffers, so that another engine can stand in this process."""
        self._engine.destroy()


def choose_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """The arithmetic of matrix products. Without its own instructions, bf16 on a CPU is many times slower."""
    if wanted == "auto":
        native = device.type == "cuda" or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        return torch.bfloat16 if native else torch.float32
    return torch.bfloat16 if wanted == "bf16" else torch.float32


def _import_deepspeed() -> Any:
    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    import deepspeed

    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    # Which of its C++ parts could be built is asked by trial compilations, with the compiler's complaints on the
    # terminal, and the shared-memory collectives are then compiled for two minutes. None of them is used here.
    deepspeed.ops.__compatible_ops__ = defaultdict(bool)
    return deepspeed


def _join_group() -> tuple[int, int, torch.device]:
    """(rank, world, device). A launcher's environment is taken as it is; without one this process is alone."""
    cuda = torch.cuda.is_available()
    local_rank = int(os.environ.setdefault("LOCAL_RANK", "0"))
    if not torch.distributed.is_initialized():
        backend = "nccl" if cuda else "gloo"
        if "WORLD_SIZE" in os.environ:
            torch.distributed.init_process_group(backend)
        else:  # a store in memory: no port, no host name, nothing to collide with
            store = torch.distributed.HashStore()  # type: ignore[attr-defined]
            torch.distributed.init_process_group(backend, store=store, rank=0, world_size=1)
    import deepspeed

    deepspeed.init_distributed(verbose=False)
    if cuda:
        torch.cuda.set_device(local_rank)
    device = torch.device("cuda", local_rank) if cuda else torch.device("cpu")
    return torch.distributed.get_rank(), torch.distributed.get_world_size(), device


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float32, copy=True).contiguous()
