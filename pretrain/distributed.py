"""A module under DeepSpeed: gradients, steps and the whole state by parameter name. Nothing else imports deepspeed.

It knows nothing of what the module computes. Any number of ranks, tensor-parallel or not, at any ZeRO stage.
"""

from __future__ import annotations

import io
import logging
import os
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from pipeline.errors import XlmrError
from pretrain.checkpoints.state import PARTS, Places, Source
from pretrain.model import count_parameters
from pretrain.parallel import Cut, Group, Layout
from pretrain.rng import mix

RATE = "rate"
"""Key of a group of parameters: its learning rate as a share of the step's; 1 where a group does not have it."""

LOCAL_RANK = "LOCAL_RANK"
"""Name by which launchers say, and DeepSpeed reads, which of the machine's GPUs a rank has."""


@dataclass(frozen=True)
class Optimisation:
    """How steps are made. ``micro_batches`` of a rank are one step."""

    zero_stage: int
    micro_batches: int
    max_grad_norm: float
    betas: tuple[float, float]
    epsilon: float
    autocast: bool = False
    """Whether matrix products are in bf16."""
    half_weights: bool = False
    """Whether the module's weights are bf16, and its fp32 ones DeepSpeed's: at ZeRO 1 at least."""
    overlap_comm: bool | None = None
    """Whether gradients are sent during the backward pass, at ZeRO 1 at least; None: at ZeRO 3 only."""
    largest_bucket: int = 500_000_000
    """Gradients that are collected before they are sent, if there are as many."""
    allgather_bucket_size: int = 500_000_000
    """Weights that are gathered at once after a step."""
    gradient_dtype: str = "fp32"
    """Type in which ranks sum their gradients."""
    offload_optimizer: bool = False
    """Whether Adam and the fp32 weights of a GPU are in the machine's memory, at ZeRO 1 at least."""
    deepspeed: Mapping[str, Any] = field(default_factory=dict)
    """DeepSpeed's own settings, merged over the ones that follow from these."""


@dataclass(frozen=True)
class StepOutcome:
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


class DistributedModel:
    """One rank's share of a module under training. ``data_rank`` of ``data_world`` say which rows this one takes."""

    def __init__(
        self,
        module: nn.Module,
        groups: Iterable[Mapping[str, Any]],
        optimisation: Optimisation,
        layout: Layout,
        cuts: Mapping[str, Cut],
        shapes: Mapping[str, torch.Size],
    ) -> None:
        """``module`` has its numbers, this rank's part of them, on its device; the ranks have joined each other.

        ``groups``  parameters, each with a weight decay of its own, as PyTorch's optimisers take them.
        ``cuts``    how each parameter is divided over tensor-parallel ranks, by name.
        ``shapes``  of the undivided parameters.
        """
        self._local_rank = os.environ.get(LOCAL_RANK)
        self._layout, self._optimisation, self.shapes = layout, optimisation, shapes
        device = next(module.parameters()).device
        self._begin(import_deepspeed(), module, groups, device)
        self.module: nn.Module = self._engine.module
        parameters = dict(self.module.named_parameters())
        stage = optimisation.zero_stage
        self._places = Places(parameters, self._adam, self._engine.optimizer, stage, layout, cuts, shapes)
        self._places.begin(0)

    @property
    def forward_module(self) -> nn.Module:
        """What is called in place of the module: under ZeRO-3 it alone has the module's numbers."""
        wrapped: nn.Module = self._engine
        return wrapped

    def _begin(
        self, deepspeed: Any, module: nn.Module, groups: Iterable[Mapping[str, Any]], device: torch.device
    ) -> None:
        """Give the module, with its numbers in place, to Adam and DeepSpeed."""
        # DeepSpeed takes the GPU of this number, another than the launcher's where each rank sees its own alone.
        if device.type == "cuda":
            os.environ[LOCAL_RANK] = str(device.index)
        os.environ.setdefault(LOCAL_RANK, "0")
        deepspeed.init_distributed(verbose=False)
        optimisation = self._optimisation
        self._adam = CarefulAdamW(
            [dict(group) for group in groups],
            max_grad_norm=optimisation.max_grad_norm if optimisation.zero_stage == 0 else None,
            group=self._layout.tensor,
            lr=0.0,  # each step brings its own, and what DeepSpeed steps to try things out changes nothing
            betas=optimisation.betas,
            eps=optimisation.epsilon,
            fused=True,
        )
        self._linear = torch.nn.functional.linear  # ZeRO-3 puts one of its own there, for the whole process
        with redirect_stdout(io.StringIO()), _raw_settings_named(optimisation.deepspeed):  # it prints memory in use
            self._engine, *_ = deepspeed.initialize(
                model=module,
                optimizer=self._adam,
                config=_deepspeed_config(optimisation, count_parameters(module)),
                mpu=self._layout if self._layout.tensor.world > 1 else None,
                dist_init_required=False,
            )

    def start_step(self, seed: int, step: int) -> None:
        """Give dropout its seed, so that it depends on the step and not on what was run before it.

        Ranks that share tensors share it too: what they all have is dropped alike (see ``parallel.OwnDropout``).
        """
        self._engine.train()
        torch.manual_seed(int(mix(seed, step, self._layout.data.rank) >> np.uint64(1)))

    def backward(self, loss: Tensor, divisor: float = 1.0) -> None:
        """Add a micro-batch's gradient. What is derived is the sum over micro-batches and ranks, by ``divisor``."""
        # DeepSpeed takes means over micro-batches and ranks; the product makes sums of them again.
        self._engine.backward(loss * (self._optimisation.micro_batches * self._layout.data.world / divisor))
        if not self._engine.is_gradient_accumulation_boundary():
            self._engine.step()

    def step(self, learning_rate: float) -> StepOutcome:
        """Apply the gathered gradient, unless it is not finite."""
        for group in self._engine.optimizer.param_groups:
            group["lr"] = learning_rate * group.get(RATE, 1.0)
        self._engine.step()
        norm = self._engine.get_global_grad_norm()
        return StepOutcome(bool(self._engine.was_step_applied()), float(norm if norm is not None else np.nan))

    def state_stream(self, parts: tuple[str, ...] = PARTS) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """Each parameter's name, and its ``weights``, ``exp_avg`` and ``exp_avg_sq``, whole, in fp32, on the CPU.

        Every rank must go through it to the end; only rank 0 is given something.
        """
        return self._places.stream(parts)

    def load_state(self, state: Source, steps: int) -> None:
        """Take over a state that ``state`` gave, of any ZeRO stage, ranks and cut; after ``steps``.

        Every rank needs the whole state, a tensor at a time: a mapping that reads each when asked is enough.
        """
        self._places.take(state, steps)

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Take over weights alone, in the same way."""
        self._places.take_weights(weights)

    def close(self) -> None:
        """Let go of DeepSpeed's hooks, buffers and groups, so that another module can stand in this process."""
        self._engine.destroy()
        from deepspeed.runtime import torch_autocast
        from deepspeed.utils import groups

        groups.mpu = None
        torch_autocast.TORCH_AUTOCAST_INITIALIZED = False  # the next would send its gradients in its weights' type
        torch.nn.functional.linear = self._linear
        os.environ.pop(LOCAL_RANK, None)  # processes that fine-tune inherit it, and would all take that GPU
        if self._local_rank is not None:
            os.environ[LOCAL_RANK] = self._local_rank


def _deepspeed_config(optimisation: Optimisation, parameters: int) -> dict[str, Any]:
    stage = optimisation.zero_stage
    config: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": 1,  # bookkeeping only: the loop cuts the micro-batches
        "gradient_accumulation_steps": optimisation.micro_batches,
        "zero_optimization": {
            "stage": stage,
            "reduce_bucket_size": min(optimisation.largest_bucket, parameters),
            "allgather_bucket_size": optimisation.allgather_bucket_size,
        },
        "zero_allow_untested_optimizer": True,
        "gradient_clipping": optimisation.max_grad_norm if stage else 0.0,
        "steps_per_print": None,
        # Its clock, which nobody reads, waits for the GPU before and after each micro-batch unless it is set.
        "timers": {"throughput": {"enabled": False}},
        # Gradients are accumulated in fp32, so ranks sum theirs in it too by default, as Megatron's do; bf16
        # would lose what a sum of many small ones is for, and is DeepSpeed's choice unless it is set.
        "communication_data_type": optimisation.gradient_dtype,
    }
    if optimisation.half_weights:
        config["bf16"] = {"enabled": True}
        config["data_types"] = {"grad_accum_dtype": "fp32"}
    elif optimisation.autocast:  # of no layer are the gradients sent in bf16
        config["torch_autocast"] = {"enabled": True, "dtype": "bfloat16", "lower_precision_safe_modules": []}
    if optimisation.overlap_comm is not None:
        config["zero_optimization"]["overlap_comm"] = optimisation.overlap_comm
    if optimisation.offload_optimizer:
        config["zero_optimization"]["offload_optimizer"] = {"device": "cpu", "pin_memory": torch.cuda.is_available()}
        config["zero_force_ds_cpu_optimizer"] = False  # its own Adam is C++ that would have to be compiled
    return merged(config, optimisation.deepspeed)


def merged(config: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """``config`` with the values of ``given`` in place of its own, section by section."""
    found = dict(config)
    for name, value in given.items():
        own = found.get(name)
        found[name] = merged(own, value) if isinstance(own, Mapping) and isinstance(value, Mapping) else value
    return found


def check_raw_settings(given: Mapping[str, Any]) -> None:
    """Errors: XlmrError for a setting of ``zero_optimization`` that DeepSpeed does not know, or a value it refuses."""
    if not given:
        return
    import_deepspeed()
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig

    try:
        DeepSpeedZeroConfig(**given.get("zero_optimization", {}))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, ("zero_optimization", *first["loc"])))
        raise XlmrError(f"pretrain.train.deepspeed: {where}: {first['msg']}", "correct or remove it") from None


@contextmanager
def _raw_settings_named(given: Mapping[str, Any]) -> Iterator[None]:
    """Errors: XlmrError where DeepSpeed starts with settings of the user's, and refuses their combination."""
    try:
        yield
    except (AssertionError, TypeError, ValueError) as error:
        if not given:
            raise
        raise XlmrError(
            f"pretrain.train.deepspeed: DeepSpeed refuses {', '.join(given)}: {error}", "correct or remove them"
        ) from error


def import_deepspeed() -> Any:
    """Import DeepSpeed, so that it looks for no compiler and prints no warnings of its own."""
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
