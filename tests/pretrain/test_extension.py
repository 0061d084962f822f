"""What a user adds to pretraining from a folder of their own: a masking and a mixing strategy, a layer, a tracker."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.errors import XlmrError
from pretrain.data.masking import MaskedVocabulary, Masker
from pretrain.data.masking_strategies import strategy_of
from pretrain.data.mixing import mixing_of
from pretrain.model import MaskedLanguageModel, ModelConfig, build, initial_values
from pretrain.settings import DataSettings, ModelSettings
from pretrain.stages import ExportConfig, check_export

HERE = Path(__file__).parent
CONFIG = """
run: {project: p}
pretrain:
  model: {num_hidden_layers: 2, hidden_size: 32, num_attention_heads: 4, intermediate_size: 64,
          max_position_embeddings: 18, norm: pre, layer: "my_layer:ParallelLayer"}
  data: {masking: "my_masking:one_run", mixing: "my_mixing:capped"}
  train: {steps: 4, global_batch: 8, micro_batch: 8, dtype: fp32, warmup_steps: 1, threads: 1, log_every: 1,
          evaluate_every: 4, checkpoint_every: 4, trackers: ["my_tracker:LogFile"]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the examples and a configuration that names them."""
    for path in (HERE / "examples").glob("*.py"):
        shutil.copy(path, tmp_path)
    (tmp_path / "run.yaml").write_text(CONFIG)
    return tmp_path


def xlmr(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(HERE / "launched.py"), *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_training_with_all_of_them(folder: Path) -> None:
    done = xlmr(folder, "run", "run.yaml", "--until", "pretrain.train")
    assert done.returncode == 0, done.stderr
    steps = [line.split()[0] for line in (folder / "losses.txt").read_text().splitlines()]
    assert steps == ["1", "2", "3", "4", "4"]
    plan = xlmr(folder, "plan", "run.yaml", "--run.until", "pretrain.train")
    assert [line.split()[1] for line in plan.stdout.splitlines()] == ["fresh", "fresh"]
    (folder / "my_tracker.py").write_text((folder / "my_tracker.py").read_text() + "# changed\n")
    assert "stale" not in xlmr(folder, "plan", "run.yaml", "--run.until", "pretrain.train").stdout, "it changes nothing"
    (folder / "my_layer.py").write_text((folder / "my_layer.py").read_text() + "# changed\n")
    plan = xlmr(folder, "plan", "run.yaml", "--run.until", "pretrain.train")
    assert plan.stdout.splitlines()[1].endswith("my_layer.py was changed")


def test_the_settings_list_them(folder: Path) -> None:
    listed = xlmr(folder, "settings", "pretrain").stdout
    for names in ("token, whole-word, span or module:name", "alpha, weights or module:name", "mlflow, wandb"):
        assert names in " ".join(listed.split()), names


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Writes a module into a folder that Python looks in."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name: str, text: str) -> None:
        monkeypatch.delitem(sys.modules, name, raising=False)
        (tmp_path / f"{name}.py").write_text(text)

    return write


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("return candidates.ids", r"own_masks:f gives int64 \(3, 8\), not bool \(3, 8\); return which positions"),
        ("return candidates.maskable[0]", r"gives bool \(8,\), not bool \(3, 8\)"),
        ("return candidates.nothing", r"own_masks:f: AttributeError: .*own_masks.py, line 2"),
    ],
)
def test_a_wrong_masking_strategy_is_one_line(module: Callable[[str, str], None], body: str, line: str) -> None:
    module("own_masks", f"def f(candidates):\n    {body}\n")
    masker = Masker(MaskedVocabulary.plain(50), 0.15, 1, strategy_of("own_masks:f"))
    with pytest.raises(XlmrError, match=line):
        masker.mask(np.full((3, 8), 7), 0, np.arange(3))


def test_positions_that_must_not_be_masked_are_not(module: Callable[[str, str], None]) -> None:
    module("own_masks", "import numpy as np\ndef f(candidates):\n    return np.ones(candidates.ids.shape, bool)\n")
    masker = Masker(MaskedVocabulary.plain(50), 0.15, 1, strategy_of("own_masks:f"))
    batch = masker.mask(np.array([[0, 7, 8, 2, 1, 1]]), 0, np.arange(1))
    assert batch.columns.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("return 3", "own_mix:f gives no weights of languages; return"),
        ("return {'xx': 1.0}", "gives no weights of languages"),
        ("return {'aa': -1.0}", "gives weights that are no shares; give numbers of 0 or more"),
        ("return {}", "gives weights that are no shares"),
        ("return 1 / 0", "own_mix:f: ZeroDivisionError"),
    ],
)
def test_a_wrong_mixing_strategy_is_one_line(module: Callable[[str, str], None], body: str, line: str) -> None:
    module("own_mix", f"def f(sequences):\n    {body}\n")
    with pytest.raises(XlmrError, match=line):
        mixing_of(DataSettings(mixing="own_mix:f"))({"aa": 3, "bb": 4})


def shape(layer: str) -> ModelConfig:
    return ModelConfig(40, 2, 32, 2, 64, max_position_embeddings=18, norm="pre", layer=layer)


def values_of(model: MaskedLanguageModel) -> Mapping[str, torch.Tensor]:
    return {name: make() for name, make in initial_values(model, 3)}


def test_parameters_of_other_modules_are_made_by_them(module: Callable[[str, str], None]) -> None:
    module(
        "own_layers",
        "from torch import nn\nfrom pretrain.model import PreNormLayer\n"
        "class Normed(PreNormLayer):\n    def __init__(self, config):\n        super().__init__(config)\n"
        "        self.attention_norm = nn.RMSNorm(config.hidden_size)\n"
        "        self.more = nn.Conv1d(config.hidden_size, config.hidden_size, 1)\n",
    )
    values, again = (values_of(build(shape("own_layers:Normed"))) for _ in range(2))
    assert (values["encoder.layers.0.attention_norm.weight"] == 1).all()
    first, second = (values[f"encoder.layers.{n}.more.weight"] for n in (0, 1))
    assert 0 < first.std() < 1
    assert not torch.equal(first, second)
    assert all(torch.equal(value, again[name]) for name, value in values.items())


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("def f(config):\n    return 3\n", "pretrain.model.layer: own_layers:f makes no nn.Module"),
        ("def f(config):\n    return config.width\n", r"own_layers:f: AttributeError.*own_layers.py, line 2"),
    ],
)
def test_a_wrong_layer_is_one_line(module: Callable[[str, str], None], text: str, line: str) -> None:
    module("own_layers", text)
    with pytest.raises(XlmrError, match=line):
        build(shape("own_layers:f"))


def test_a_parameter_that_nothing_makes_is_one_line(module: Callable[[str, str], None]) -> None:
    module(
        "own_layers",
        "import torch\nfrom torch import nn\nfrom pretrain.model import PreNormLayer\n"
        "class Scaled(PreNormLayer):\n    def __init__(self, config):\n        super().__init__(config)\n"
        "        self.scale = nn.Parameter(torch.ones(1))\n",
    )
    with pytest.raises(XlmrError, match="Scaled has a parameter scale and no way to make its first value; give the"):
        values_of(build(shape("own_layers:Scaled")))


def test_what_hugging_face_has_no_place_for_is_refused_before_training() -> None:
    own = ExportConfig(model=ModelSettings(layer="my_layer:ParallelLayer"))
    with pytest.raises(XlmrError, match=r"pretrain\.model\.layer is my_layer:ParallelLayer, which Hugging Face's"):
        check_export(own)
    check_export(ExportConfig(model=ModelSettings()))
    assert isinstance(build(shape("standard")).encoder.layers[0], nn.Module)
