"""What pods ask of a cluster, from a configuration and the plan: a patch for infra/kubernetes/overlays/cluster.

python -m scripts.kubernetes_requests configs/xlmr-base.yaml --nodes 8 > infra/kubernetes/overlays/cluster/requests.yaml
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from pipeline.cli import exit_code_of
from pipeline.dag import Dag
from pipeline.errors import XlmrError
from pretrain.cost.memory import memory_of, parameters_of_rank
from pretrain.cost.plan import USABLE, parse_bytes, spread, words_for
from pretrain.cost.workload import of_settings

MIB, GIB = 2**20, 2**30
CPUS_OF_A_GPU = 12
"""As infra/slurm/pretrain-ranks.sbatch has for each rank."""
PROCESS_OF_A_RANK = 4 * GIB
"""Python, PyTorch, CUDA's context and the loader. An assumption: it has not been measured on a GPU."""
SHARED_MEMORY = 16 * GIB
"""/dev/shm of a pod, as `docker run --shm-size 16g` has. It counts as memory of the pod."""
PROCESS_OF_A_WORKER = 0.35e9
"""Python, the identifier and the buffers of corpus.mine (docs/corpus.md, "Estimate for a dump")."""
DROPPED_HASHES = 0.3e9
"""Of a shard of a dump, where a third of its lines are different ones that are dropped (the same place)."""


def pod_memory(config: Any, gpus: int, gpus_per_node: int, gpu_memory: float) -> tuple[float, str]:
    """Bytes of a training pod, and the layout in words. Errors: XlmrError where a GPU's memory is too small.

    A rank copies its weights and optimiser states to the CPU in fp32 for a checkpoint; offload_optimizer has the
    optimiser states there all the time.
    """
    work = of_settings(config, config.run.project)
    how = spread(work, gpus)
    needed = memory_of(work, how).total
    if needed > gpu_memory * USABLE:
        problem = f"{config.run.project}: a GPU needs {needed / 1e9:.1f} GB, {gpu_memory * USABLE / 1e9:.0f} are usable"
        raise XlmrError(problem, "`xlmr pretrain plan CONFIG --gpus N` names a layout that fits")
    own = parameters_of_rank(work, how.tensor)
    checkpoint = 4 * own + 12 * own / how.data
    offloaded = 16 * own / how.data if work.train.offload_optimizer else 0.0
    return gpus_per_node * (PROCESS_OF_A_RANK + checkpoint + offloaded) + SHARED_MEMORY, words_for(how)


def worker_memory(config: Any) -> float:
    """Bytes of a process that does shards: the most that a stage of the corpus needs."""
    corpus = config.corpus
    mine = PROCESS_OF_A_WORKER + DROPPED_HASHES + corpus.scoring.memory_bytes
    near = corpus.near_duplicates
    return max(mine, corpus.duplicates.memory_bytes, PROCESS_OF_A_WORKER + near.memory_bytes if near.enabled else 0.0)


def patches(config: Any, path: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The patches of the training Job, of Dask's workers and of the corpus Job."""
    gpus = options.nodes * options.gpus_per_node
    memory, layout = pod_memory(config, gpus, options.gpus_per_node, parse_bytes(options.gpu_memory))
    print(f"{path} on {gpus} GPUs: {layout}", file=sys.stderr)
    training = container(
        "ranks",
        {"NODES": options.nodes, "GPUS": options.gpus_per_node, "CONFIG": path, "OMP_NUM_THREADS": CPUS_OF_A_GPU},
        CPUS_OF_A_GPU * options.gpus_per_node,
        rounded(memory, GIB),
        {"memory": rounded(memory, GIB), "nvidia.com/gpu": str(options.gpus_per_node)},
    )
    one = worker_memory(config)
    worker = container("worker", {}, 1, rounded(one, 256 * MIB), {"memory": rounded(2 * one, 256 * MIB)})
    several = one * options.workers
    corpus = container(
        "corpus",
        {"PARTITIONS": options.partitions, "WORKERS": options.workers},
        options.workers,
        rounded(several, GIB),
        {"memory": rounded(2 * several, GIB)},
    )
    corpus["command"] = ["xlmr", "run", path, "--until", "corpus"]
    return [
        patch("batch/v1", "Job", "pretrain", training, {"completions": options.nodes, "parallelism": options.nodes}),
        patch("apps/v1", "Deployment", "dask-worker", worker, {"replicas": options.dask_workers}),
        patch(
            "batch/v1",
            "Job",
            "corpus",
            corpus,
            {"completions": options.partitions, "parallelism": options.partitions},
        ),
    ]


def container(name: str, environment: dict[str, Any], cpus: int, memory: str, limits: dict[str, str]) -> dict[str, Any]:
    """A container's part of a patch."""
    asked = {"requests": {"cpu": str(cpus), "memory": memory}, "limits": limits}
    variables = [{"name": name, "value": str(value)} for name, value in environment.items()]
    return {"name": name, **({"env": variables} if variables else {}), "resources": asked}


def patch(version: str, kind: str, name: str, one: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    """A strategic merge patch of an object with one container."""
    pod = {"template": {"spec": {"containers": [one]}}}
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": {**spec, **pod}}


def rounded(size: float, unit: int) -> str:
    """Bytes as Kubernetes writes them, up to the next whole unit."""
    whole = -int(-size // unit) * unit
    return f"{whole // GIB}Gi" if whole % GIB == 0 else f"{whole // MIB}Mi"


def main(words: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done, 1 failed, 2 bad usage."""
    parser = argparse.ArgumentParser(prog="python -m scripts.kubernetes_requests", description=__doc__)
    parser.add_argument("config", help="YAML file of a run, by its path in the image")
    parser.add_argument("--nodes", type=int, default=8, help="machines with GPUs")
    parser.add_argument("--gpus-per-node", type=int, default=8)
    parser.add_argument("--gpu-memory", default="80GB", help="of each GPU")
    parser.add_argument("--dask-workers", type=int, default=64, help="processes of Dask")
    parser.add_argument("--partitions", type=int, default=16, help="pods of the corpus Job")
    parser.add_argument("--workers", type=int, default=16, help="processes of each of these pods")
    options = parser.parse_args(words)

    def write() -> int:
        config = Dag.default().load_config(Path(options.config), ())
        documents = patches(config, options.config, options)
        given = " ".join(sys.argv[1:] if words is None else words)
        print(f"# Written by `python -m scripts.kubernetes_requests {given}`; infra/README.md says how.")
        print(yaml.safe_dump_all(documents, sort_keys=False), end="")
        return 0

    return exit_code_of(write, "infra/README.md")


if __name__ == "__main__":
    sys.exit(main())
