"""The model under DeepSpeed: gradients, steps and the whole state by parameter name. Nothing else imports deepspeed.

Micro-batches in; a step, and what it did, out. Any number of ranks, tensor-parallel or not, at any ZeRO stage.
"""

from __future__ import annotations

import io
import logging
import os
import warnings
from collections import defaultdict
from collections.abc import Iterator
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.errors import XlmrError
from pretrain.checkpoints.state import MOMENTS, PARTS, Places, Source, State
from pretrain.data.masking import MaskedBatch
from pretrain.model import MaskedLanguageModel, Values, count_parameters, initial_values
from pretrain.parallel import Group, Layout, cuts_of, divide, put
from pretrain.ranks.device import device_of_rank, sent
from pretrain.rng import mix
from pretrain.stages import TrainSettings

LARGEST_BUCKET = 500_000_000
"""Numbers that are gathered before they are sent: DeepSpeed's default, which it takes whole for any model."""

LOCAL_RANK = "LOCAL_RANK"
"""Name by which launchers say, and DeepSpeed reads, which of the machine's GPUs a rank has."""

__all__ = ["MOMENTS", "PARTS", "CarefulAdamW", "Engine", "Outcome", "Source", "State", "choose_dtype"]


@dataclass(frozen=True)
class Outcome:
    """What a step did: whether it was applied, and the norm of the gradient before clipping."""

    applied: bool
    gradient_norm: float


class CarefulAdamW(torch.optim.AdamW):
    """AdamW that clips, and leaves everything as it was when the gradient is not finite.

    ``overflow`` and ``_global_grad_norm`` are the names by which DeepSpeed asks an optimiser what happened. Under
    ZeRO the gradient is in parts, so there DeepSpeed clips and refuses, and ``clip`` is None here.
    """

    def __init__(self, parameters: Any, max_grad_norm: float | None, group: Group, **options: Any) -> None:
        super().__init__(parameters, **options)
        self.max_grad_norm = max_grad_norm
        self.overflow = False
        self._group = group
        self._global_grad_norm = 0.0

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step, or none."""
        if self.max_grad_norm is not None:
            parameters = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
            self._global_grad_norm = self._norm(parameters)
            self.overflow = not np.isfinite(self._global_grad_norm)
            if self.overflow:
                return
            if 0 < self.max_grad_norm < self._global_grad_norm:
                torch._foreach_mul_([p.grad for p in parameters], self.max_grad_norm / self._global_grad_norm)
        super().step(closure)

    def _norm(self, parameters: list[Any]) -> float:
        """Of the whole gradient: what every tensor-parallel rank has counts once."""
        own = [p.grad for p in parameters if self._group.rank == 0 or hasattr(p, "tensor_model_parallel")]
        norm = torch.nn.utils.get_total_norm(own)
        return norm.item() if self._group.world == 1 else self._group.total(norm.square()).sqrt().item()


class Engine:
    """One rank's share of the training.

    ``rank`` of ``world`` are all processes. ``data_rank`` of ``data_world`` say which sequences this one takes: those
    that share a model's tensors, ``tensor_rank`` of ``tensor_world``, take the same.
    """

    def __init__(
        self, model: MaskedLanguageModel, settings: TrainSettings, seed: int, values: Values | None = None
    ) -> None:
        """``model`` may be on the meta device (``build``): then each rank makes its own part of the numbers.

        ``values`` are those to begin with, whole, a parameter after the other; None: drawn by ``seed``.
        """
        self._local_rank = os.environ.get(LOCAL_RANK)
        deepspeed = _import_deepspeed()
        timeout = timedelta(minutes=settings.timeout_minutes)
        self.rank, self.world, self.device = _join_group(timeout)
        self._layout = Layout(self.rank, self.world, settings.tensor_parallel, timeout)
        self.tensor_rank, self.tensor_world = self._layout.tensor.rank, self._layout.tensor.world
        self.data_rank, self.data_world = self._layout.data.rank, self._layout.data.world
        self.dtype = choose_dtype(settings.dtype, self.device)
        self._half_weights = self.dtype is torch.bfloat16 and (
            settings.weights == "bf16" or (settings.weights == "auto" and self.device.type == "cuda")
        )
        if settings.global_batch % self.data_world:
            raise XlmrError(
                f"a global batch of {settings.global_batch} sequences cannot be shared by {self.data_world} ranks",
                "make pretrain.train.global_batch a multiple of their number",
            )
        self._seed, self._compiled = seed, settings.compile
        self._rows = settings.global_batch // self.data_world
        self._micro_batches = -(-self._rows // settings.micro_batch)
        stage = max(settings.zero_stage, 1) if self._half_weights else settings.zero_stage
        shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
        cuts = cuts_of(model)
        if values is None:
            values = initial_values(model, seed, mimetic=settings.initialisation == "mimetic")
        self._place(model, settings, values)
        self._begin(deepspeed, model, settings, stage)
        self.model: MaskedLanguageModel = self._engine.module
        parameters = dict(self.model.named_parameters())
        self._places = Places(parameters, self._adam, self._engine.optimizer, stage, self._layout, cuts, shapes)
        self._places.begin(0)

    def _place(self, model: MaskedLanguageModel, settings: TrainSettings, values: Values) -> None:
        """Give the model this rank's part of its numbers, on its device, and the settings of how it is worked out."""
        dtype = torch.bfloat16 if self._half_weights else torch.float32
        group, cuts = self._layout.tensor, cuts_of(model)
        divide(model, group)
        own = {name: cuts[name].part(make(), group).to(self.device, dtype, copy=True) for name, make in values}
        put(model, own, cuts, group)
        model.encoder.activation_checkpointing = settings.activation_checkpointing
        model.head.scoring.chunk = settings.loss_chunk_size
        if settings.compile:
            model.compile_parts()

    def _begin(self, deepspeed: Any, model: MaskedLanguageModel, settings: TrainSettings, stage: int) -> None:
        """Give the model, with its numbers in place, to Adam and DeepSpeed."""
        self._adam = CarefulAdamW(
            model.parameters(),
            max_grad_norm=settings.max_grad_norm if stage == 0 else None,
            group=self._layout.tensor,
            lr=0.0,  # each step brings its own, and what DeepSpeed steps to try things out changes nothing
            betas=settings.betas,
            eps=settings.epsilon,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self._linear = torch.nn.functional.linear  # ZeRO-3 puts one of its own there, for the whole process
        with redirect_stdout(io.StringIO()):  # its bf16 optimiser prints what memory is in use
            self._engine, *_ = deepspeed.initialize(
                model=model,
                optimizer=self._adam,
                config=self._deepspeed_config(settings, stage, count_parameters(model)),
                mpu=self._layout if self.tensor_world > 1 else None,
                dist_init_required=False,
            )

    def _deepspeed_config(self, settings: TrainSettings, stage: int, parameters: int) -> dict[str, Any]:
        config: dict[str, Any] = {
            "train_micro_batch_size_per_gpu": 1,  # bookkeeping only: the loop cuts the micro-batches
            "gradient_accumulation_steps": self._micro_batches,
            "zero_optimization": {"stage": stage, "reduce_bucket_size": min(LARGEST_BUCKET, parameters)},
            "zero_allow_untested_optimizer": True,
            "gradient_clipping": settings.max_grad_norm if stage else 0.0,
            "steps_per_print": None,
            # Its clock, which nobody reads, waits for the GPU before and after each micro-batch unless it is set.
            "timers": {"throughput": {"enabled": False}},
            # Gradients are gathered in fp32, so ranks add theirs in it too, as Megatron's do; bf16 would lose what a
            # sum of many small ones is for, and is DeepSpeed's choice unless it is set.
            "communication_data_type": "fp32",
        }
        if self._half_weights:
            config["bf16"] = {"enabled": True}
            config["data_types"] = {"grad_accum_dtype": "fp32"}
        elif self.dtype is torch.bfloat16:  # of no layer are the gradients sent in bf16
            config["torch_autocast"] = {"enabled": True, "dtype": "bfloat16", "lower_precision_safe_modules": []}
        return config

    def start_step(self, step: int) -> None:
        """Give dropout its seed, so that it depends on the step and not on what was run before it.

        Ranks that share tensors share it too: what they all have is dropped alike (see ``parallel.OwnDropout``).
        """
        self._engine.train()
        torch.manual_seed(int(mix(self._seed, step, self.data_rank) >> np.uint64(1)))

    def accumulate(self, batch: MaskedBatch, masked_positions: float) -> Tensor:
        """Add a micro-batch's gradient; give its summed cross-entropy.

        ``masked_positions`` is the number of the whole global batch over all ranks: its mean loss is what is derived.
        """
        loss = self._loss(batch)
        # DeepSpeed takes means over micro-batches and ranks; the product makes sums of them again.
        self._engine.backward(loss * (self._micro_batches * self.data_world / masked_positions))
        if not self._engine.is_gradient_accumulation_boundary():
            self._engine.step()
        return loss.detach()

    def step(self, learning_rate: float) -> Outcome:
        """Apply the gathered gradient, unless it is not finite."""
        for group in self._engine.optimizer.param_groups:
            group["lr"] = learning_rate
        self._engine.step()
        norm = self._engine.get_global_grad_norm()
        return Outcome(bool(self._engine.was_step_applied()), float(norm if norm is not None else np.nan))

    @torch.no_grad()
    def score(self, batch: MaskedBatch) -> float:
        """The summed cross-entropy of a batch, without dropout, and without code of its own from torch.compile.

        Ranks that share tensors, and under ZeRO-3 all ranks, must ask equally often: they work on it together.
        """
        self._engine.eval()
        # Validation batches are few and of many sizes. Each kind would be compiled, and of what torch.compile makes of
        # a code path at most (eight) nothing would be left for batches of training that come later.
        with torch.compiler.set_stance("force_eager") if self._compiled else nullcontext():
            return float(self._loss(batch))

    def sum_over_ranks(self, value: float) -> float:
        """The sum of every data rank's value; those that share a model's tensors have the same and count once."""
        if self.data_world == 1:
            return value
        return self._layout.data.total(torch.tensor(value, dtype=torch.float64, device=self.device)).item()

    def _loss(self, batch: MaskedBatch) -> Tensor:
        arrays = (batch.ids, batch.attention_mask, batch.masked_positions, batch.labels)
        loss: Tensor = self._engine(*(None if array is None else sent(array, self.device) for array in arrays))
        return loss

    def state_stream(self) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """Each parameter's name, and its ``weights``, ``exp_avg`` and ``exp_avg_sq``, whole, in fp32, on the CPU.

        Every rank must go through it to the end; only rank 0 is given something.
        """
        return self._places.stream()

    def state(self) -> State:
        """The same at once: part -> parameter name -> tensor. Empty on the other ranks, which must ask too."""
        state: State = {part: {} for part in PARTS}
        for name, tensors in self.state_stream():
            for part, tensor in tensors.items():
                state[part][name] = tensor
        return state

    def load_state(self, state: Source, steps: int) -> None:
        """Take over a state that ``state`` gave, of any ZeRO stage, ranks and cut; after ``steps``.

        Every rank needs the whole state, a tensor at a time: a mapping that reads each when asked is enough.
        """
        self._places.take(state, steps)

    def close(self) -> None:
        """Let go of DeepSpeed's hooks, buffers and groups, so that another engine can stand in this process."""
        self._engine.destroy()
        from deepspeed.runtime import torch_autocast
        from deepspeed.utils import groups

        groups.mpu = None
        torch_autocast.TORCH_AUTOCAST_INITIALIZED = False  # the next would send its gradients in its weights' type
        torch.nn.functional.linear = self._linear
        os.environ.pop(LOCAL_RANK, None)  # processes that fine-tune inherit it, and would all take that GPU
        if self._local_rank is not None:
            os.environ[LOCAL_RANK] = self._local_rank


def choose_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """The arithmetic of matrix products. Without instructions of its own, bf16 is many times slower than fp32."""
    if wanted == "auto":
        return torch.bfloat16 if _has_bf16(device) else torch.float32
    return torch.bfloat16 if wanted == "bf16" else torch.float32


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":  # not before Ampere; PyTorch makes up for it, slowly, and would call that support
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def _import_deepspeed() -> Any:
    os.environ.setdefault("DS_ACCELERATOR", "cuda" if torch.cuda.is_available() else "cpu")
    import deepspeed

    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    # Which of its C++ parts could be built is asked by trial compilations, with the compiler's complaints on the
    # terminal, and the shared-memory collectives are then compiled for two minutes. None of them is used here.
    deepspeed.ops.__compatible_ops__ = defaultdict(bool)
    # DeepSpeed 0.19 calls these two by the names that PyTorch 2.13 gives up; without this each rank would say so.
    old_names = r"`torch\.distributed\.(all_gather_into_tensor|reduce_scatter_tensor)` is deprecated"
    warnings.filterwarnings("ignore", old_names, FutureWarning)
    return deepspeed


def _join_group(timeout: timedelta) -> tuple[int, int, torch.device]:
    """(rank, world, device). A launcher's environment is taken as it is; without one this process is alone."""
    device = device_of_rank()
    if not torch.distributed.is_initialized():
        backend = "nccl" if device.type == "cuda" else "gloo"
        if "WORLD_SIZE" in os.environ:
            torch.distributed.init_process_group(backend, timeout=timeout)
        else:  # a store in memory: no port, no host name, nothing to collide with
            store = torch.distributed.HashStore()  # type: ignore[attr-defined]
            torch.distributed.init_process_group(backend, store=store, rank=0, world_size=1)
    # DeepSpeed takes the GPU of this number, which is another than the launcher's where each rank sees its own alone.
    if device.type == "cuda":
        os.environ[LOCAL_RANK] = str(device.index)
    os.environ.setdefault(LOCAL_RANK, "0")
    import deepspeed

    deepspeed.init_distributed(verbose=False)
    return torch.distributed.get_rank(), torch.distributed.get_world_size(), device
