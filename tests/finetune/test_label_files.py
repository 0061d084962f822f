"""Labelled files as people have them: schemes of tags, CoNLL-U, comments, archives, labels that are no classes."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune.data.examples import Location, Tagging
from finetune.data.reading import read_task
from finetune.data.settings import OwnTask, TaskSettings
from finetune.data.tags import as_iob2, scheme_of
from finetune.heads.kinds import KINDS
from finetune.scoring import span_scores
from finetune.stages import Recipe
from pipeline.errors import XlmrError
from tests.finetune.task_files import problem

ROOT = Path(__file__).parents[2]
FAULTS = Path(os.environ.get("XLMR_TEST_DATA", ROOT / "data")) / "faults" / "labelled"


def settings_of(path: Path, content: str | bytes | None = None, **described: Any) -> TaskSettings:
    """One file as train, dev and test of a task of one's own."""
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    kinds = {".conll": ("tagging", "conll"), ".json": ("span", "squad")}
    kind, form = kinds.get(path.suffix, ("classification", described.pop("format", "tsv")))
    strict = described.pop("strict", False)
    own = OwnTask(kind=kind, format=form, train=str(path), dev=str(path), test=str(path), **described)
    return TaskSettings(name="own", own=own, strict=strict)


def sentences(path: Path, content: str, **described: Any) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    task = read_task(settings_of(path, content, **described))
    return [(one.words, one.tags) for one in task.train["en"] if isinstance(one, Tagging)]


# Tags

SCHEMES = {
    "iob": ("A B_PER\nB I_PER\nx O\n", ("B-PER", "I-PER", "O")),
    "bioes": ("A S-PER\nB B-LOC\nC I-LOC\nD E-LOC\nE S-LOC\nx O\n", ("B-PER", "B-LOC", "I-LOC", "I-LOC", "B-LOC", "O")),
    "bilou": ("A U-PER\nB B-LOC\nD L-LOC\nE U-LOC\nx O\n", ("B-PER", "B-LOC", "I-LOC", "B-LOC", "O")),
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_schemes_become_iob2(scheme: str, tmp_path: Path) -> None:
    text, tags = SCHEMES[scheme]
    assert sentences(tmp_path / "x.conll", text, scheme=scheme)[0][1] == tags
    if scheme == "iob":
        assert sentences(tmp_path / "x.conll", text)[0][1] == tags
    else:
        said = problem(settings_of(tmp_path / "x.conll"))
        assert "can be of several schemes; set own.scheme to one of iob, bioes, bilou, plain" in said


def test_spans_without_a_kind_need_a_scheme(tmp_path: Path) -> None:
    path = tmp_path / "x.conll"
    assert "tags such as B, I can be of several schemes" in problem(settings_of(path, "A I\nB B\nC O\n"))
    assert read_task(settings_of(path, scheme="iob")).labels == ("O", "B-_", "I-_")
    assert read_task(settings_of(path, scheme="plain")).labels == ("B", "I", "O")


def test_a_tag_of_another_scheme_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.conll"
    said = problem(settings_of(path, "A B-X\nB O\n\nC E-X\n", scheme="iob"))
    assert said.endswith("x.conll, row 4: tag 'E-X' is not known; tags are O, B-KIND, I-KIND")
    said = problem(settings_of(path, "A B-X\nB O\n", scheme="iob", labels=("O", "X")))
    assert "own.labels: O is no kind of span" in said


def test_plain_tags_need_no_scheme(tmp_path: Path) -> None:
    task = read_task(settings_of(tmp_path / "x.conll", "A NOUN\nB VERB\n\nC NOUN\n"))
    assert task.labels == ("NOUN", "VERB")
    kind = KINDS["tagging"](task.labels, Recipe())
    assert kind.metric == "accuracy"
    said = [{"predicted": ["NOUN", "NOUN"]}, {"predicted": ["NOUN"]}]
    assert kind.score(task.train["en"], said, "en")["accuracy"] == pytest.approx(2 / 3)


def test_tags_that_are_lemmas_are_no_classes(tmp_path: Path) -> None:
    text = "".join(f"word{n} lemma{n}\n" for n in range(12))
    assert "tags has 12 different labels in 12 rows, which are no classes; name it in own.tag_column" in problem(
        settings_of(tmp_path / "x.conll", text)
    )


@given(st.lists(st.lists(st.tuples(st.sampled_from("OSE"), st.sampled_from("XY")), max_size=8), min_size=1, max_size=4))
def test_scores_equal_seqeval_in_strict_mode(drawn: list[list[tuple[str, str]]]) -> None:
    """Gold is drawn, said is gold shifted by one span's kind; both are well-formed BIOES and BILOU."""
    metrics = pytest.importorskip("seqeval.metrics", reason="seqeval is the oracle, and is not installed")
    schemes = pytest.importorskip("seqeval.scheme")
    gold = [[tag for letter, kind in one for tag in _spelt(letter, kind)] for one in drawn]
    said = [
        [tag for n, (letter, kind) in enumerate(one) for tag in _spelt(letter, "X" if n % 2 else kind)] for one in drawn
    ]
    for scheme, theirs, letters in (("bioes", schemes.IOBES, "BIES"), ("bilou", schemes.BILOU, "BILU")):
        spelt = [[[_letter(tag, letters) for tag in one] for one in some] for some in (gold, said)]
        ours = [[as_iob2(one, scheme, [Location("f", 1)] * len(one)) for one in some] for some in spelt]  # type: ignore[arg-type]
        strict = metrics.f1_score(*spelt, mode="strict", scheme=theirs, zero_division=0)
        assert span_scores(*ours).f1 / 100 == pytest.approx(strict)
        in_iob2 = [[list(one) for one in some] for some in ours]
        assert metrics.f1_score(*in_iob2, mode="strict", scheme=schemes.IOB2, zero_division=0) == pytest.approx(strict)


def _spelt(letter: str, kind: str) -> list[str]:
    """A word outside, a span of one word, or one of three."""
    return {"O": ["O"], "S": [f"S-{kind}"], "E": [f"B-{kind}", f"I-{kind}", f"E-{kind}"]}[letter]


def _letter(tag: str, letters: str) -> str:
    return tag if tag == "O" else letters["BIES".index(tag[0])] + tag[1:]


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        ({"O", "B-X", "I-Y"}, "iob"),
        ({"O", "B-X", "NOUN"}, "iob"),
        ({"NOUN", "S", "E"}, "plain"),
        ({"S-bar", "NP"}, "plain"),
        ({"O"}, "plain"),
        ({"O", "B-X", "E-X"}, None),
        ({"O", "I"}, None),
    ],
)
def test_a_scheme_is_seen_where_it_is_beyond_doubt(tags: set[str], scheme: str | None) -> None:
    if scheme is None:
        with pytest.raises(XlmrError, match=r"set own\.scheme"):
            scheme_of(tags, "f")
    else:
        assert scheme_of(tags, "f") == scheme


# Columns


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("New York\tB-LOC\nx\tO\n", [(("New York", "x"), ("B-LOC", "O"))]),
        ("A O\nB B-X\n \t \nC O\n", [(("A", "B"), ("O", "B-X")), (("C",), ("O",))]),
        ("A O\nB B-X\n\u3000\nC O\n", [(("A", "B"), ("O", "B-X")), (("C",), ("O",))]),
        ("-DOCSTART- O\nA O\nB B-X\n-DOCSTART- O\nC O\n", [(("A", "B"), ("O", "B-X")), (("C",), ("O",))]),
        ("-DOCSTART-\nA O\nB B-X\n", [(("A", "B"), ("O", "B-X"))]),
        ("-DOCSTART-ed O\nB B-X\n", [(("-DOCSTART-ed", "B"), ("O", "B-X"))]),
        ("A  \t O\nB\tB-X\n", [(("A", "B"), ("O", "B-X"))]),
        ("A\tNN B-X\nB\tVB O\n", [(("A", "B"), ("B-X", "O"))]),
        ("# O\n# B-X\n", [(("#", "#"), ("O", "B-X"))]),
    ],
)
def test_columns_are_read_off_the_file(text: str, expected: Any, tmp_path: Path) -> None:
    if text.startswith("# O"):
        text = "A O\nb B-X\n\n" + text
        expected = [(("A", "b"), ("O", "B-X")), *expected]
    assert sentences(tmp_path / "x.conll", text) == expected


def test_comments_are_counted(tmp_path: Path) -> None:
    text = "# id 1\nA O\nB B-X\n\n#begin\n# x y\nC O\n# O\n"
    task = read_task(settings_of(tmp_path / "x.conll", text))
    assert [one.words for one in task.train["en"] if isinstance(one, Tagging)] == [("A", "B"), ("C", "#")]
    assert task.notes == (f"{tmp_path}/x.conll: 3 lines are taken for comments (the first is row 1)",)
    said = problem(settings_of(tmp_path / "x.conll", "A O\nB B-X\n# a b c\n"))
    assert "x.conll, row 3: 4 columns, not 2" in said


CONLLU = (
    "# sent_id = 1\n# text = vámonos al mar\n1-2\tvámonos\t_\t_\t_\t_\t_\t_\t_\t_\n"
    "1\tvamos\tir\tVERB\t_\t_\t0\troot\t_\t_\n2\tnos\tnosotros\tPRON\t_\t_\t1\tobj\t_\t_\n"
    "2.1\tx\tx\tVERB\t_\t_\t_\t_\t_\t_\n3\ta b\tal\tADP\t_\tCase=X\t1\tcase\t_\t_\n\n"
)


def test_conllu(tmp_path: Path) -> None:
    expected = [(("vamos", "nos", "a b"), ("VERB", "PRON", "ADP"))]
    assert sentences(tmp_path / "x.conll", CONLLU) == expected
    assert sentences(tmp_path / "x.conll", CONLLU, word_column=2, tag_column=4) == expected
    assert sentences(tmp_path / "x.conll", CONLLU, word_column=3, tag_column=8)[0][1] == ("root", "obj", "case")
    assert read_task(settings_of(tmp_path / "x.conll")).notes == ()


# Tables and archives


def test_labels_lose_the_space_around_them(tmp_path: Path) -> None:
    task = read_task(settings_of(tmp_path / "x.tsv", "text\tlabel\nhello\ta \nworld\ta\nz\tb\n"))
    assert task.labels == ("a", "b")
    assert task.notes == (f"{tmp_path}/x.tsv: white space around 1 labels is left out (the first is row 2)",)


def test_a_header_twice_is_a_line(tmp_path: Path) -> None:
    said = problem(settings_of(tmp_path / "x.tsv", "text\ttext\tlabel\na\tb\tx\nc\td\ty\n"))
    assert said == f"{tmp_path}/x.tsv, row 1: 2 columns are named 'text'; give each column its own name"
    said = problem(settings_of(tmp_path / "x.jsonl", '{"text": "a", "text": "b", "label": "x"}\n', format="jsonl"))
    assert "x.jsonl, row 1: not JSON (key 'text' twice)" in said
    task = read_task(settings_of(tmp_path / "x.csv", "text,label,,\na,x,,\nb,y,,\n", format="csv"))
    assert task.labels == ("x", "y"), "columns without a name are nobody's"


@pytest.mark.parametrize(
    ("labels", "fix"),
    [
        ([f"{n / 7:.3f}" for n in range(5)], "set own.kind to regression for numbers; name it in own.label_column"),
        ([f"{n % 13 / 4}" for n in range(99)], "set own.kind to regression for numbers"),
        ([f"a sentence of {n} words" for n in range(30)] * 1 + ["x"] * 9, "name it in own.label_column"),
    ],
)
def test_a_class_a_row_is_no_class(labels: list[str], fix: str, tmp_path: Path) -> None:
    rows = "text\tlabel\n" + "".join(f"t\t{label}\n" for label in labels)
    said = problem(settings_of(tmp_path / "x.tsv", rows))
    assert "which are no classes; " in said
    assert fix in said
    read_task(settings_of(tmp_path / "x.tsv", labels=tuple(sorted(set(labels)))))


def test_many_classes_are_classes(tmp_path: Path) -> None:
    rows = "text\tlabel\n" + "".join(f"t\t{n % 20}\n" for n in range(60))
    assert len(read_task(settings_of(tmp_path / "x.tsv", rows)).labels) == 20


def zipped(**members: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return buffer.getvalue()


ROWS = "text\tlabel\na\tx\nb\ty\n"


def test_an_archive_holds_one_file(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv.zip"
    assert read_task(settings_of(path, zipped(a=ROWS, **{"__MACOSX/._a": "x"}))).labels == ("x", "y")
    assert (
        problem(settings_of(path, zipped(a=ROWS, b=ROWS)))
        == f"{path}: holds 2 files, not one; unpack it and name the file"
    )
    assert "holds 0 files" in problem(settings_of(path, zipped()))
    damaged = bytearray(zipped(a=ROWS))
    damaged[35] ^= 255
    for content in (b"PK\3\4", b"", ROWS.encode(), bytes(damaged)):
        said = problem(settings_of(path, content))
        assert said.startswith(f"{path}: not readable (")
    for name in ("x.tsv.gz", "x.tsv.xz", "x.tsv.bz2"):
        assert f"{name}: not readable (" in problem(settings_of(tmp_path / name, ROWS))


def test_half_a_surrogate_pair_is_a_line(tmp_path: Path) -> None:
    rows = '{"text": "\\ud83d", "label": "x"}\n'
    said = problem(settings_of(tmp_path / "x.jsonl", rows, format="jsonl"))
    assert "x.jsonl, row 1: column 'text' holds half of a surrogate pair" in said


# The folder of faulty files, where it is at hand

LABELS = {
    "BILOU.conll": ("O", "B-LOC", "I-LOC", "B-PER", "I-PER"),
    "BIOES.conll": ("O", "B-LOC", "I-LOC", "B-PER", "I-PER"),
    "I_only_tags.conll": ("O", "B-_", "I-_"),
    "POS.conll": ("NOUN", "VERB"),
    "comment.conll": ("O", "B-X", "I-X"),
    "conllu.conll": ("DET", "NOUN"),
    "docstart_no_blank.conll": ("O", "B-PER", "I-PER"),
    "label_with_space.tsv": ("a", "b"),
    "tab_sep_spaces_in_word.conll": ("O", "B-LOC", "I-LOC"),
    "underscore_tag.conll": ("O", "B-PER", "I-PER"),
    "whitespace_line.conll": ("O", "B-X", "I-X"),
}
LINES = {
    "blank_answer.json": "1 of 1 answers and 1 questions left out",
    "header_twice.tsv": "2 columns are named 'text'",
    "not_a_zip.tsv.zip": "not readable",
}
STATED = {"BILOU.conll": "bilou", "BIOES.conll": "bioes", "I_only_tags.conll": "iob"}


@pytest.mark.skipif(not FAULTS.is_dir(), reason="XLMR_TEST_DATA names no folder with faults/labelled")
def test_the_folder_of_faulty_files() -> None:
    for path in sorted(FAULTS.iterdir()):
        described = {"scheme": STATED[path.name]} if path.name in STATED else {}
        if path.name == "pred_empty.tsv":
            continue
        if path.name in LINES:
            assert LINES[path.name] in problem(settings_of(path, **described))
            continue
        task = read_task(settings_of(path, **described))
        if path.suffix == ".json":
            (question,) = task.train["en"]
            assert len(question.answers) == 1, path.name  # type: ignore[union-attr]
            exact = path.name in ("int_id.json", "leading_space_answer.json")
            assert bool(task.notes) != exact, path.name
        else:
            assert task.labels == LABELS[path.name]
