"""What several ranks do in tests: each is a process that joins the others over a file and goes through the cases.

``main([FOLDER, RANK, WORLD])`` reads cases.json (a list of ``Case``) and writes, from rank 0, <name>.json and the
states that are asked for; every rank writes what it saw of its own.
"""

from __future__ import annotations

import json
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import forked

VOCABULARY, LENGTH, BATCH = 45, 16, 8  # 45 rows are not a multiple of 2 or 4


@dataclass(frozen=True)
class Case:
    """A training of a few steps; ``start`` names a state to begin with, ``save`` one to end with.

    ``poison`` is a step in which the last rank's gradient is infinite; ``look`` at dropout instead of training.
    ``as_on_gpus`` takes settings that a CPU refuses because they gain nothing there.
    """

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    steps: tuple[int, int] = (0, 4)
    start: str = ""
    save: str = ""
    poison: int = -1
    look: bool = False
    as_on_gpus: bool = False
    rate: float = 3e-3


def run_ranks(folder: Path, world: int, cases: list[Case], timeout: float = 500) -> dict[str, dict[str, Any]]:
    """Start the ranks, wait for them, and give what rank 0 wrote of each case; others' under ``name@rank``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cases.json").write_text(json.dumps([asdict(case) for case in cases]))
    (folder / "store").unlink(missing_ok=True)
    children = [
        forked.start("ranks", [str(folder), str(rank), str(world)], folder / f"rank-{rank}.log")
        for rank in range(world)
    ]
    deadline = time.monotonic() + timeout
    try:
        while any(child.poll() is None for child in children):
            failed = [rank for rank, child in enumerate(children) if child.poll()]
            assert not failed, f"rank {failed[0]}:\n" + (folder / f"rank-{failed[0]}.log").read_text()[-4000:]
            assert time.monotonic() < deadline, "too slow:\n" + (folder / "rank-0.log").read_text()[-4000:]
            time.sleep(0.05)
        failed = [rank for rank, child in enumerate(children) if child.returncode]
        assert not failed, f"rank {failed[0]}:\n" + (folder / f"rank-{failed[0]}.log").read_text()[-4000:]
    finally:
        for child in children:
            child.kill()
            child.wait()
    found = {}
    for case in cases:
        for rank in range(world):
            found[f"{case.name}@{rank}"] = json.loads((folder / f"{case.name}@{rank}.json").read_text())
        found[case.name] = found[f"{case.name}@0"]
    return found


def main(words: list[str]) -> None:
    """One rank of ``run_ranks``."""
    import torch

    folder, rank, world = Path(words[0]), int(words[1]), int(words[2])
    store = f"file://{(folder / 'store').absolute()}"
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
    for case in json.loads((folder / "cases.json").read_text()):
        seen = _train(Case(**case), folder)
        (folder / f"{case['name']}@{rank}.json").write_text(json.dumps(seen))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def make_engine(case: Case) -> Any:
    """The engine of a case, with a model made from seed 1."""
    from pretrain.engine import Engine
    from pretrain.model import ModelConfig, build
    from pretrain.settings import TrainSettings

    shape = {
        "num_hidden_layers": 2,
        "hidden_size": 32,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 18,
    }
    config = ModelConfig(VOCABULARY, **{**shape, "dropout": 0.0, "attention_dropout": 0.0, **case.model})
    settings = TrainSettings(**{"global_batch": BATCH, "micro_batch": 2, "dtype": "fp32", **case.settings})
    with patch("pretrain.engine.check_exchange") if case.as_on_gpus else nullcontext():
        return Engine(build(config), settings, 1)


def _train(case: Case, folder: Path) -> dict[str, Any]:
    from safetensors.torch import save_file

    engine = make_engine(case)
    seen: dict[str, Any] = {"losses": [], "norms": [], "applied": [], "place": [engine.data_rank, engine.tensor_rank]}
    if case.look:
        seen |= look_at_dropout(engine)
    if case.start:
        engine.load_state(read_state(folder / case.start), case.steps[0])
    for number in range(*case.steps):
        loss, outcome = step(engine, number, case.rate, poisoned=number == case.poison)
        seen["losses"].append(loss)
        seen["norms"].append(outcome.gradient_norm)
        seen["applied"].append(outcome.applied)
    seen["score"] = engine.score(batch_of(99, 0, 1))
    if case.save:
        for name, tensors in engine.state_stream():
            path = folder / case.save / f"{name}.safetensors"
            path.parent.mkdir(exist_ok=True)
            save_file(tensors, path)
    engine.close()
    return seen


def batch_of(number: int, rank: int, world: int) -> Any:
    """This data rank's sequences of global batch ``number``; one of them is cut short by padding."""
    import numpy as np

    from pretrain.data.masking import MaskedVocabulary, Masker

    ids = np.random.default_rng(number).integers(4, VOCABULARY - 1, (BATCH, LENGTH))
    ids[:, 0] = 0
    ids[3, 12:] = 1
    rows = np.arange(rank, BATCH, world)
    return Masker(MaskedVocabulary.plain(VOCABULARY), 0.3, 1).mask(ids[rows], number, rows)


def step(engine: Any, number: int, rate: float, *, poisoned: bool = False) -> tuple[float, Any]:
    """One step: the mean loss over the masked positions of the global batch, and the outcome."""
    batch = batch_of(number, engine.data_rank, engine.data_world)
    masked = engine.sum_over_ranks(len(batch.labels))
    engine.start_step(number)
    hook = None
    if poisoned and engine.rank == engine.world - 1:
        hook = engine.model.encoder.layers[0].feed_forward.up.weight.register_hook(lambda grad: grad * float("inf"))
    loss = sum(engine.accumulate(part, masked).item() for part in batch.split(2))
    if hook is not None:
        hook.remove()
    return engine.sum_over_ranks(loss) / masked, engine.step(rate)


def look_at_dropout(engine: Any) -> dict[str, Any]:
    """Which numbers each kind of dropout drops on this rank, twice in one step and once in the next; as 0 and 1."""
    import torch

    layer = engine.model.encoder.layers[0]
    num_attention_heads = layer.attention.query_key_value.weight.shape[0] // 3 // layer.attention.head_dim
    query, value = torch.zeros(2, num_attention_heads, 16, 8), torch.eye(16).expand(2, num_attention_heads, 16, 16)
    seen: dict[str, Any] = {"whole": [], "part": []}
    for number in (0, 0, 1):
        engine.start_step(number)
        whole = layer.dropout(torch.ones(256))
        part = layer.attention.scaled_dot_product(query, query, value, None)
        after = layer.dropout(torch.ones(256))
        seen["whole"].append(torch.cat([whole, after]).ne(0).int().tolist())
        seen["part"].append(part.flatten().ne(0).int().tolist())
    return seen


def read_state(folder: Path) -> dict[str, dict[str, Any]]:
    """A state that ``save`` wrote."""
    from safetensors.torch import load_file

    state: dict[str, dict[str, Any]] = {}
    for path in folder.glob("*.safetensors"):
        for part, tensor in load_file(path).items():
            state.setdefault(part, {})[path.name.removesuffix(".safetensors")] = tensor
    return state
