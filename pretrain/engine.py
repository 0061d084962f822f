"""The masked language model under training: micro-batches in; a step, and what it did, out.

Gradients, steps and state are those of ``DistributedModel``, which works for any module.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import timedelta
from typing import Any, cast

import torch
from torch import Tensor

from pipeline.errors import XlmrError
from pretrain.checkpoints.state import Source, State, collected
from pretrain.data.masking import MaskedBatch
from pretrain.distributed import RATE, DistributedModel, Optimisation, StepOutcome, check_raw_settings
from pretrain.exchange import Precision, check_exchange
from pretrain.model import MaskedLanguageModel, Values, initial_values
from pretrain.parallel import Layout, cuts_of, divide, put
from pretrain.ranks.device import device_of_rank, sent
from pretrain.ranks.pulse import PULSE
from pretrain.settings import TrainSettings, largest_bucket


def groups_of(model: MaskedLanguageModel, settings: TrainSettings) -> list[dict[str, Any]]:
    """The parameters as Adam takes them: all alike, or the tokens' table with a learning rate of its own."""
    everything = {"params": list(model.parameters()), "weight_decay": settings.weight_decay}
    if settings.embedding_rate == 1:
        return [everything]
    table = model.encoder.embeddings.tokens.weight
    rest = [parameter for parameter in model.parameters() if parameter is not table]
    own = {"params": [table], "weight_decay": settings.weight_decay, RATE: settings.embedding_rate}
    return [everything | {"params": rest}, own]


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
        timeout = timedelta(minutes=settings.timeout_minutes)
        self._long, self._short = 60 * settings.timeout_minutes, settings.stall_seconds
        self._steps, self._part = 0, 0
        check_raw_settings(settings.deepspeed)
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
        precision: Precision = "bf16" if self._half_weights else "fp32" if self.dtype is torch.float32 else "autocast"
        check_exchange(settings, stage, precision, self.data_world, on_gpu=self.device.type == "cuda")
        shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
        cuts = cuts_of(model)
        if values is None:
            values = initial_values(model, seed, mimetic=settings.initialisation == "mimetic")
        self._place(model, settings, values)
        self._distributed = DistributedModel(
            model,
            groups_of(model, settings),
            Optimisation(
                stage,
                self._micro_batches,
                settings.max_grad_norm,
                settings.betas,
                settings.epsilon,
                autocast=self.dtype is torch.bfloat16,
                half_weights=self._half_weights,
                overlap_comm=settings.overlap_comm,
                largest_bucket=largest_bucket(settings),
                allgather_bucket_size=settings.allgather_bucket_size,
                gradient_dtype=settings.gradient_dtype,
                offload_optimizer=settings.offload_optimizer,
                deepspeed=settings.deepspeed,
            ),
            self._layout,
            cuts,
            shapes,
        )
        self.model = cast(MaskedLanguageModel, self._distributed.module)

    def _place(self, model: MaskedLanguageModel, settings: TrainSettings, values: Values) -> None:
        """Give the model this rank's part of its numbers, on its device, and the settings of how it is worked out."""
        dtype = torch.bfloat16 if self._half_weights else torch.float32
        group, cuts = self._layout.tensor, cuts_of(model)
        divide(model, group)
        own = {name: cuts[name].part(make(), group).to(self.device, dtype, copy=True) for name, make in values}
        put(model, own, cuts, group)
        model.encoder.activation_checkpointing = settings.activation_checkpointing
        model.head.scoring.chunk = settings.loss_chunk_size
        if not settings.embedding_rate:
            model.freeze_tokens()
        if settings.compile:
            model.compile_parts()

    def start_step(self, step: int) -> None:
        """Give dropout its seed, so that it depends on the step and not on what was run before it."""
        self._part = 0
        self._report(f"step {step + 1}")
        self._distributed.start_step(self._seed, step)

    def _report(self, what: str) -> None:
        """Let the other ranks know that this one makes progress. The first step may compile, so it may take long."""
        PULSE.at(what, self._short if self._steps else self._long)

    def accumulate(self, batch: MaskedBatch, masked_positions: float) -> Tensor:
        """Add a micro-batch's gradient; give its summed cross-entropy.

        ``masked_positions`` is the number of the whole global batch over all ranks: its mean loss is what is derived.
        """
        self._part += 1
        self._report(f"the gradient of micro-batch {self._part}")
        loss = self._loss(batch)
        self._report(f"the backward pass of micro-batch {self._part}")
        self._distributed.backward(loss, masked_positions)
        return loss.detach()

    def step(self, learning_rate: float) -> StepOutcome:
        """Apply the gathered gradient, unless it is not finite."""
        self._report("the optimiser step")
        outcome = self._distributed.step(learning_rate)
        self._steps += 1
        self._report("what follows a step")
        return outcome

    @torch.no_grad()
    def score(self, batch: MaskedBatch) -> float:
        """The summed cross-entropy of a batch, without dropout, and without code of its own from torch.compile.

        Ranks that share tensors, and under ZeRO-3 all ranks, must ask equally often: they work on it together.
        """
        self._report("validation")
        self._distributed.forward_module.eval()
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
        loss: Tensor = self._distributed.forward_module(
            *(None if array is None else sent(array, self.device) for array in arrays)
        )
        return loss

    def state_stream(self) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """The whole state, parameter by parameter, on rank 0: see ``DistributedModel.state_stream``."""
        PULSE.at("a checkpoint", self._long)
        return self._distributed.state_stream()

    def state(self) -> State:
        """The same at once: part -> parameter name -> tensor. Empty on the other ranks, which must ask too."""
        return collected(self.state_stream())

    def load_state(self, state: Source, steps: int) -> None:
        """Take over a state that ``state`` gave, of any ZeRO stage, ranks and cut; after ``steps``."""
        PULSE.at("reading a checkpoint", self._long)
        self._distributed.load_state(state, steps)

    def close(self) -> None:
        """Let go of what DeepSpeed holds, so that another engine can stand in this process."""
        PULSE.at("the end of a training", None)
        self._distributed.close()


def choose_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """The arithmetic of matrix products. Without instructions of its own, bf16 is many times slower than fp32."""
    if wanted == "auto":
        return torch.bfloat16 if _has_bf16(device) else torch.float32
    return torch.bfloat16 if wanted == "bf16" else torch.float32


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":  # not before Ampere; PyTorch makes up for it, slowly, and would call that support
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


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
    return torch.distributed.get_rank(), torch.distributed.get_world_size(), device
