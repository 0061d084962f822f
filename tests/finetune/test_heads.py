"""Every head against Hugging Face's of the same weights, both ways, and the exported folder against their pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from finetune.data.examples import Classification, Question, Regression, Tagging, TaskData
from finetune.folder import load_fine_tuned, save_fine_tuned
from finetune.heads.encoding import IGNORED, Encoded, encode_pairs, lengths_of_pair
from finetune.heads.kind import Kind
from finetune.heads.kinds import KINDS
from finetune.heads.losses import class_loss, span_loss, value_loss
from finetune.predict_tool import lines_of, predictions_of
from finetune.stages import Encoders, Protocol, Recipe
from finetune.training.comparison import Comparison
from finetune.training.evaluation import scores_of
from pipeline.context import Context
from pipeline.errors import UsageError, XlmrError
from pipeline.log import EventLog
from pretrain.folder import load_encoder
from pretrain.model import Encoder, ModelConfig
from tokenizer.folder import load_tokenizer

RECIPE = Recipe(longest=48, stride=12, longest_question=16, dtype="fp32")
LABELS = {
    "classification": ("calc", "draw", "writer"),
    "tagging": ("O", "B-PER", "I-PER"),
    "regression": (),
    "span": (),
}
TEXTS = ["Insert a table into the text.", "Drawing objects, lines and arrows", "Ünïcode ﬁgures １２３ in Sheet"]


def examples_of(kind: str) -> list[Any]:
    if kind == "classification":
        return [Classification(str(n), text, None, "draw") for n, text in enumerate(TEXTS)]
    if kind == "regression":
        return [Regression(str(n), text, "another text", 0.5 + n) for n, text in enumerate(TEXTS)]
    if kind == "tagging":
        return [Tagging(str(n), tuple(text.split()), ("O",) * len(text.split())) for n, text in enumerate(TEXTS)]
    return [Question(str(n), "Where is it?", text * 4, ((text[:6], 0),), "") for n, text in enumerate(TEXTS)]


def their_class(architecture: str) -> Any:
    import transformers

    return getattr(transformers, architecture)


@pytest.fixture(params=["post", "pre"])
def encoder(request: pytest.FixtureRequest, export: Path) -> Encoder:
    torch.manual_seed(11)
    if request.param == "post":
        return load_encoder(export)
    size = load_tokenizer(export).vocab_size
    return Encoder(
        ModelConfig(
            size,
            num_hidden_layers=2,
            hidden_size=32,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=66,
            norm="pre",
        )
    )


@pytest.mark.parametrize("name", KINDS)
def test_logits_equal_hugging_face_both_ways(name: str, encoder: Encoder, export: Path, tmp_path: Path) -> None:
    kind = KINDS[name](LABELS[name], RECIPE)
    model = kind.model(encoder, 0.1).eval()
    for parameter in model.head.parameters():  # type: ignore[union-attr]
        torch.nn.init.normal_(parameter, std=1.0)  # first weights are so small that a wrong head would not show
    save_fine_tuned(model, kind, export / "sentencepiece.bpe.model", tmp_path / "ours")
    stem = "XLMRoberta" if encoder.config.norm == "post" else "XLMRobertaXL"
    theirs = their_class(stem + kind.suffix).from_pretrained(tmp_path / "ours").eval()
    assert theirs.config.architectures == [stem + kind.suffix]

    encoded = kind.encode(examples_of(name), load_tokenizer(export))
    ids, attention_mask = encoded.batch(np.arange(len(encoded)), torch.device("cpu"))
    mask = torch.ones_like(ids) if attention_mask is None else attention_mask.long()
    with torch.no_grad():
        ours, found = model(ids, attention_mask), theirs(ids, attention_mask=mask)
        logits = torch.stack([found.start_logits, found.end_logits], -1) if name == "span" else found.logits
    read = mask.bool() if ours.dim() == 3 else slice(None)
    assert torch.allclose(ours[read], logits[read], atol=5e-5)
    assert ours[read].std() > 1e-3

    theirs.save_pretrained(tmp_path / "theirs")  # and back: a folder that Hugging Face wrote
    (tmp_path / "theirs" / "sentencepiece.bpe.model").write_bytes((export / "sentencepiece.bpe.model").read_bytes())
    again = load_fine_tuned(tmp_path / "theirs")
    with torch.no_grad():
        assert torch.allclose(again.model(ids, attention_mask)[read], logits[read], atol=5e-5)
    assert (again.kind.name, again.kind.labels, again.kind.recipe.stride) == (name, kind.labels, 12)


@pytest.mark.parametrize("name", KINDS)
def test_losses_equal_hugging_face(name: str, export: Path, tmp_path: Path) -> None:
    kind = KINDS[name](LABELS[name], RECIPE)
    model = kind.model(load_encoder(export), 0.0).eval()
    save_fine_tuned(model, kind, export / "sentencepiece.bpe.model", tmp_path)
    theirs = their_class("XLMRoberta" + kind.suffix).from_pretrained(tmp_path).eval()
    encoded = kind.encode(examples_of(name), load_tokenizer(export))
    rows = np.flatnonzero(encoded.lengths == encoded.lengths.max())  # no padding: theirs counts it in the softmax
    ids, _ = encoded.batch(rows, torch.device("cpu"))
    labels = encoded.batch_labels(rows, torch.device("cpu"))
    if name == "span":
        theirs_loss = theirs(ids, start_positions=labels[:, 0], end_positions=labels[:, 1]).loss
    else:
        theirs_loss = theirs(ids, labels=labels).loss
    assert kind.loss(model(ids), labels).item() == pytest.approx(theirs_loss.item(), rel=1e-5)


def saved(name: str, export: Path, folder: Path) -> Kind:
    kind = KINDS[name](LABELS[name], RECIPE)
    torch.manual_seed(5)
    model = kind.model(load_encoder(export), 0.1)
    for parameter in model.head.parameters():  # type: ignore[union-attr]
        torch.nn.init.normal_(parameter, std=0.5)
    save_fine_tuned(model, kind, export / "sentencepiece.bpe.model", folder)
    return kind


def test_text_classification_pipeline_says_what_predict_says(export: Path, tmp_path: Path) -> None:
    from transformers import pipeline

    saved("classification", export, tmp_path)
    theirs = pipeline("text-classification", model=str(tmp_path))(TEXTS)
    ours, kind = predictions_of(TEXTS, tmp_path)
    assert kind == "classification"
    assert [one["label"] for one in theirs] == [one["predicted"] for one in ours]
    assert [one["score"] for one in theirs] == pytest.approx([one["confidence"] for one in ours], abs=1e-3)
    pair = pipeline("text-classification", model=str(tmp_path))({"text": TEXTS[0], "text_pair": TEXTS[2]})
    (said,), _ = predictions_of([TEXTS[0]], tmp_path, pair=TEXTS[2])
    assert (pair["label"], pair["score"]) == (said["predicted"], pytest.approx(said["confidence"], abs=1e-3))


def test_regression_pipeline_says_what_predict_says(export: Path, tmp_path: Path) -> None:
    from transformers import pipeline

    saved("regression", export, tmp_path)
    theirs = pipeline("text-classification", model=str(tmp_path))([{"text": t, "text_pair": TEXTS[0]} for t in TEXTS])
    ours, kind = predictions_of(TEXTS, tmp_path, pair=TEXTS[0])
    assert kind == "regression"
    assert [one["score"] for one in theirs] == pytest.approx([one["predicted"] for one in ours], abs=1e-3)


def test_token_classification_pipeline_says_what_predict_says(export: Path, tmp_path: Path) -> None:
    from transformers import pipeline

    saved("tagging", export, tmp_path)
    text = "Insert Table in Writer and Calc"
    theirs = pipeline("token-classification", model=str(tmp_path), aggregation_strategy="first")(text)
    (said,), _ = predictions_of([text], tmp_path)
    of_words = ["O"] * len(text.split())
    for group in theirs:  # of first tokens, joined to names: only whether a word is in one is left
        for place, word in enumerate(text.split()):
            at = text.index(word)
            if group["start"] <= at < group["end"]:
                of_words[place] = group["entity_group"]
    assert of_words == [tag.rpartition("-")[2] for tag in said["predicted"]]
    assert set(of_words) != {"O"}, "the scores must differ"


def test_answers_equal_a_plain_search_over_hugging_face_scores(export: Path, tmp_path: Path) -> None:
    """Their pipeline for questions is gone since transformers 5: here is its rule, written out."""
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    saved("span", export, tmp_path)
    model, tokenizer = (
        AutoModelForQuestionAnswering.from_pretrained(tmp_path).eval(),
        AutoTokenizer.from_pretrained(tmp_path),
    )
    question, context = "Where are lines?", TEXTS[1]
    encoded = tokenizer(question, context, return_offsets_mapping=True, return_tensors="pt")
    offsets, parts = encoded.pop("offset_mapping")[0].tolist(), encoded.sequence_ids(0)
    with torch.no_grad():
        found = model(**encoded)
    first, last = found.start_logits[0].tolist(), found.end_logits[0].tolist()
    spans = [
        (first[i] + last[j], i, j)
        for i in range(len(first))
        for j in range(i, min(i + 30, len(first)))
        if parts[i] == parts[j] == 1 and offsets[i][0] < offsets[i][1] and offsets[j][0] < offsets[j][1]
    ]
    score, i, j = max(spans)
    (said,), _ = predictions_of([question], tmp_path, context=context)
    assert said["predicted"] == context[offsets[i][0] : offsets[j][1]]
    assert said["score"] == pytest.approx(score, abs=1e-3)


def test_predict_prints_each_kind(export: Path, tmp_path: Path) -> None:
    for name in KINDS:
        saved(name, export, tmp_path / name)
    assert lines_of(["a", "b"], tmp_path / "classification")[0].split()[1] in LABELS["classification"]
    float(lines_of(["a"], tmp_path / "regression", pair="b")[0])
    assert lines_of(["one two"], tmp_path / "tagging")[0].count(" ") == 1
    place, _, answer = lines_of(["where?"], tmp_path / "span", context=TEXTS[0])[0].partition("  ")
    assert TEXTS[0][int(place) :].startswith(answer)
    assert answer
    with pytest.raises(UsageError, match="answers in a text; give it with --context"):
        lines_of(["where?"], tmp_path / "span")


def test_folder_of_another_vocabulary_is_one_line(export: Path, tmp_path: Path) -> None:
    import sentencepiece

    saved("classification", export, tmp_path)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["".join(chr(n) for n in range(0x4E00, 0x5000))]),
        model_prefix=str(tmp_path / "other"),
        vocab_size=600,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    (tmp_path / "other.model").rename(tmp_path / "sentencepiece.bpe.model")
    (tmp_path / "tokenizer.json").unlink()  # else it is held against that first
    with pytest.raises(XlmrError, match=r"the tokenizer has \d+ tokens, the model \d+; they are not of one model"):
        load_fine_tuned(tmp_path)
    one = examples_of("classification")
    data = TaskData("own", "classification", ("draw", "calc"), {"en": one}, {"en": one}, {"en": one})
    context = Context("finetune.task", tmp_path, 1, EventLog(tmp_path / "log.jsonl"))
    with pytest.raises(XlmrError, match=f"{tmp_path}: the tokenizer has .* not of one model"):
        Comparison(data, RECIPE, Protocol(), Encoders(tmp_path)).run(tmp_path / "out", context)


def test_pairs_are_cut_as_hugging_face_cuts_them(export: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    saved("classification", export, tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    first, second = [TEXTS[0], TEXTS[1] * 3, TEXTS[0]], [TEXTS[1], TEXTS[2], TEXTS[2] * 5]
    ours = encode_pairs(first, second, load_tokenizer(export), 30)
    for one, a, b in zip(ours, first, second, strict=True):
        assert one.tolist() == theirs(a, b, truncation="longest_first", max_length=30)["input_ids"]
    assert max(map(len, ours)) == 30


@given(st.integers(0, 60), st.integers(0, 60), st.integers(2, 50))
def test_pair_lengths(first: int, second: int, most: int) -> None:
    one, two = lengths_of_pair(first, second, most)
    assert 0 <= one <= first
    assert 0 <= two <= second
    assert one + two == min(first + second, most)
    if one < first:
        assert one >= two - 1, "only the longer is cut; of halves, one may have the odd token more"
    if two < second:
        assert two >= one - 1


def test_losses_by_hand() -> None:
    scores = torch.tensor([[[0.0, 1.0], [2.0, 0.0], [-1e4, -1e4]]])
    expected = (
        -(torch.log_softmax(torch.tensor([0.0, 2.0]), 0)[1] + torch.log_softmax(torch.tensor([1.0, 0.0]), 0)[0]) / 2
    )
    assert span_loss(scores, torch.tensor([[1, 0]])).item() == pytest.approx(expected.item())
    assert value_loss(torch.tensor([[1.0], [3.0]]), torch.tensor([0.0, 1.0])).item() == 2.5
    tags = torch.tensor([[0, IGNORED, 1]])
    only = class_loss(scores[:, [0]], tags[:, [0]]) + class_loss(scores[:, [2]], tags[:, [2]])
    assert class_loss(scores, tags).item() == pytest.approx(only.item() / 2)


def test_scores_of_tokens_lie_like_the_tokens(export: Path) -> None:
    kind = KINDS["tagging"](LABELS["tagging"], RECIPE)
    torch.manual_seed(2)
    model = kind.model(load_encoder(export), 0.0).eval()
    encoded: Encoded = kind.encode(examples_of("tagging"), load_tokenizer(export))
    found, loss = scores_of(model, encoded, RECIPE, kind.loss)
    alone, judged = [], []
    with torch.no_grad():
        for row in range(len(encoded)):
            ids, _ = encoded.batch(np.array([row]), torch.device("cpu"))
            alone.append(model(ids)[0])
            labels = encoded.batch_labels(np.array([row]), torch.device("cpu"))[0]
            judged += torch.nn.functional.cross_entropy(alone[-1], labels, reduction="none")[labels != IGNORED].tolist()
    assert len(set(encoded.lengths.tolist())) > 1
    assert np.allclose(found, torch.cat(alone).numpy(), atol=1e-5)
    assert loss == pytest.approx(np.mean(judged), rel=1e-5)
