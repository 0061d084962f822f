"""The public Python API: ``finetune.load`` and ``finetune.predict``. The docstrings' examples are run."""

from __future__ import annotations

import doctest
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
import torch

import finetune
from finetune import api
from finetune.folder import save_fine_tuned
from finetune.heads.kinds import KINDS
from finetune.stages import Recipe
from pipeline.errors import UsageError, XlmrError
from pretrain.folder import load_encoder
from tests.finetune.small_model import write_models
from tokenizer.names import MODEL_FILE


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``model/`` and ``tagger/``."""
    folder = tmp_path_factory.mktemp("home")
    write_models(folder)
    return folder


@pytest.fixture(scope="module")
def of_kind(export: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, finetune.Predictor]:
    """Models for values and for questions, whose heads are not trained."""
    found = {}
    for name in ("regression", "span"):
        kind = KINDS[name]((), Recipe(longest=48, longest_question=16, stride=12, dtype="fp32"))
        torch.manual_seed(5)
        folder = tmp_path_factory.mktemp(name)
        model = kind.model(load_encoder(export), 0.0)
        for parameter in model.head.parameters():  # type: ignore[union-attr]
            torch.nn.init.normal_(parameter)
        save_fine_tuned(model, kind, export / MODEL_FILE, folder)
        found[name] = finetune.load(folder)
    return found


def test_examples_of_docstrings(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    found = doctest.testmod(api, extraglobs={"finetune": finetune})
    assert found.attempted
    assert not found.failed


def test_labels_have_probabilities(home: Path) -> None:
    texts = ["cell row column", "line circle colour", "", "page"]
    found = finetune.predict(home / "model", texts)
    for one in found:
        assert sum(one["probabilities"].values()) == pytest.approx(1, abs=1e-3)
        assert max(one["probabilities"], key=one["probabilities"].get) == one["predicted"]
        assert one["probabilities"][one["predicted"]] == one["confidence"]
    loaded = finetune.load(str(home / "model"), device="cpu")
    assert finetune.predict(loaded, pa.chunked_array([texts[:1], texts[1:]])) == found
    assert loaded.predict(iter(texts)) == found
    assert loaded.predict([]) == []


def test_many_texts_are_predicted_in_parts(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"cell {n} line" for n in range(7)]
    whole = finetune.predict(home / "model", texts)
    monkeypatch.setattr(api, "BATCH", 3)
    for one, other in zip(finetune.predict(home / "model", texts), whole, strict=True):
        assert one["predicted"] == other["predicted"]
        assert one["confidence"] == pytest.approx(other["confidence"], abs=1e-3)


def test_words_have_tags_and_probabilities(home: Path) -> None:
    model = finetune.load(home / "tagger")
    text, empty, spaced = model.predict([["see", "the", "cell", "below"], [], ["see", "the cell"]])
    assert text["predicted"] == ["O", "O", "B-PART", "O"]
    assert len(text["confidence"]) == 4
    assert all(1 / 3 < value <= 1 for value in text["confidence"])
    assert empty == {"predicted": [], "confidence": []}
    assert len(spaced["predicted"]) == 2
    assert model.predict(["see the cell below"]) == [text]
    (without,) = model.predict([["\u200b", "cell"]])
    assert without["predicted"][0] == "O"
    assert without["confidence"][0] is None


def test_pairs_and_questions(of_kind: dict[str, finetune.Predictor]) -> None:
    first, second = of_kind["regression"].predict(["a", "a"], pairs=["b", "c d e"])
    assert first.keys() == {"predicted"}
    assert first != second
    assert of_kind["regression"].labels == ()
    context = "The ferry leaves at nine."
    (answer,) = of_kind["span"].predict(["When?"], contexts=[context])
    assert context[answer["start"] :].startswith(answer["predicted"])


def test_what_does_not_fit_is_one_line(home: Path, of_kind: dict[str, finetune.Predictor]) -> None:
    with pytest.raises(UsageError, match="texts is one text; give a list of texts"):
        finetune.predict(home / "model", "cell")
    with pytest.raises(UsageError, match="texts and pairs are not as many; give one for each text"):
        finetune.predict(home / "model", ["cell", "row"], pairs=["line"])
    with pytest.raises(UsageError, match="this is a model for classification, which takes no contexts"):
        finetune.predict(home / "model", ["cell"], contexts=["line"])
    with pytest.raises(UsageError, match="this is a model for span, which takes no pairs"):
        of_kind["span"].predict(["cell"], pairs=["line"])
    with pytest.raises(UsageError, match="this model finds answers in a text"):
        of_kind["span"].predict(["When?"])
    with pytest.raises(UsageError, match="text 2 is None; leave it out, or give an empty text"):
        finetune.predict(home / "model", pa.array(["cell", None]))
    with pytest.raises(XlmrError, match=r"config\.json"):
        finetune.load(home / "nowhere")


def test_import_is_light() -> None:
    code = "import sys, finetune; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
