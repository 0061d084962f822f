"""Every published file format with its quirks, on small files written here; bad input is one line."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune.data.examples import Classification, Location, Question, Regression, Tagging
from finetune.data.reading import read_task, task_files
from finetune.data.settings import GLUE, TaskSettings
from finetune.data.tags import as_iob2
from finetune.scoring import spans_of
from tests.finetune.task_files import AT_THE_END, CHINESE, problem, squad_json, write

# XNLI

EVALUATION = (
    "language\tgold_label\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse\t"
    "sentence1\tsentence2\tpromptID\tpairID\tgenre\tlabel1\tlabel2\tlabel3\tlabel4\tlabel5\tsentence1_tokenized\t"
    "sentence2_tokenized\tmatch"
)


def evaluation_row(language: str, label: str, first: str, second: str, pair: str) -> str:
    return (
        f"{language}\t{label}\t\t\t\t\t{first}\t{second}\t1\t{pair}\tfiction\t{label}\t\t\t\t\t{first}\t{second}\tTrue"
    )


@pytest.fixture
def xnli(tmp_path: Path) -> Path:
    training = 'premise\thypo\tlabel\n"Yes , he said .\tHe "spoke .\tentailment\nA\u2028b .\t\tcontradictory\n'
    rows = [evaluation_row(lg, "neutral", f"{lg} «1»", f"{lg} 2", "7") for lg in ("bg", "en", "zh")]
    translated = [evaluation_row(lg, "neutral", f"from {lg}", "two", "7") for lg in ("bg", "en", "zh")]
    write(
        tmp_path,
        {
            "XNLI-MT-1.0/multinli/multinli.train.en.tsv": training,
            "XNLI-MT-1.0/multinli/multinli.train.fr.tsv": training.replace("\n", "\r\n"),
            "XNLI-1.0/xnli.dev.tsv": "\n".join([EVALUATION, *rows, ""]),
            "XNLI-1.0/xnli.test.tsv": "\n".join([EVALUATION, *rows, rows[1]]),
            "XNLI-MT-1.0/xnli/xnli.dev.en.tsv": "\n".join([EVALUATION, *translated]),
            "XNLI-MT-1.0/xnli/xnli.test.en.tsv": "\n".join([EVALUATION, *translated]),
        },
    )
    return tmp_path


def test_xnli(xnli: Path) -> None:
    task = read_task(TaskSettings(name="xnli", folder=str(xnli)))
    assert (task.kind, task.labels) == ("classification", ("entailment", "neutral", "contradiction"))
    assert list(task.train) == ["en", "fr"]
    assert list(task.dev) == list(task.test) == ["en", "bg", "zh"]
    expected = [
        Classification("1", '"Yes , he said .', 'He "spoke .', "entailment"),
        Classification("2", "A\u2028b .", "", "contradiction"),
    ]
    assert task.train["en"] == task.train["fr"] == expected
    assert task.test["en"] == [Classification("7", "en «1»", "en 2", "neutral")] * 2
    assert str(task.test["en"][1].location).endswith("XNLI-1.0/xnli.test.tsv, row 5")


def test_xnli_translate_test_keeps_the_language_of_origin(xnli: Path) -> None:
    task = read_task(TaskSettings(name="xnli", folder=str(xnli), translated_test=True, train_languages=("en",)))
    assert list(task.train) == ["en"]
    assert task.test["zh"] == [Classification("7", "from zh", "two", "neutral")]


def test_xnli_faults(xnli: Path) -> None:
    folder = str(xnli)
    said = problem(TaskSettings(name="xnli", folder=folder, train_languages=("sw",)))
    assert "multinli.train.sw.tsv: no such file; nothing is fetched for you; it is published in XNLI-MT-1.0" in said
    said = problem(TaskSettings(name="xnli", folder=folder, test_languages=("en", "nl")))
    assert "xnli: language 'nl' has no test data; there is en, fr" in said
    said = problem(TaskSettings(name="xnli", folder=folder, test_languages=("en", "sw")))
    assert "xnli.test.tsv: holds nothing in language 'sw'; there is bg, en, zh" in said
    train = xnli / "XNLI-MT-1.0/multinli/multinli.train.en.tsv"
    train.write_text("premise\thypo\tlabel\na\tb\tneutral\na\tb\n")
    assert "multinli.train.en.tsv, row 3: 2 cells under 3 columns" in problem(TaskSettings(name="xnli", folder=folder))
    train.write_text("premise\thypo\tlabel\na\tb\tmaybe\n")
    said = problem(TaskSettings(name="xnli", folder=folder))
    assert "row 2: label 'maybe' is not known; labels are entailment, neutral, contradiction" in said
    train.write_text("premise\thypothesis\tlabel\na\tb\tneutral\n")
    said = problem(TaskSettings(name="xnli", folder=folder))
    assert "row 2: column 'hypo' has no text; the row has premise, hypothesis, label" in said
    train.write_text("premise\thypo\tlabel\n")
    assert "multinli.train.en.tsv: holds no example" in problem(TaskSettings(name="xnli", folder=folder))


# CoNLL and WikiANN

SPANISH = "La DA B-LOC\nCoruña NC I-LOC\n, Fc O\n\n\nJosé\xa0L. NC B-PER\nAznar VMI B-PER\n"
DUTCH = "-DOCSTART- -DOCSTART- O\nDe Art O\nCoöperatie N B-ORG\n\n-DOCSTART- -DOCSTART- O\nGent N B-LOC\n\n"
ENGLISH = (
    "-DOCSTART- -X- O O\n\nEU NNP I-NP I-ORG\nGerman JJ I-NP I-MISC\nGermany NNP I-NP I-LOC\nFrance NNP I-NP B-LOC\n"
    "in IN I-PP O\nBonn NNP I-NP I-LOC\n"
)
GERMAN = "-DOCSTART- -X- -X- -X- O\n\nÄrzte Arzt NN I-NC I-ORG\nBonn Bonn NE I-NC I-LOC\n"


@pytest.fixture
def conll(tmp_path: Path) -> Path:
    for code, text in (("esp", SPANISH), ("ned", DUTCH), ("eng", ENGLISH), ("deu", GERMAN)):
        write(tmp_path, {f"{code}.{split}": text for split in ("train", "testa", "testb")}, "latin-1")
    return tmp_path


def test_conll_of_four_languages(conll: Path) -> None:
    task = read_task(TaskSettings(name="conll", folder=str(conll)))
    assert task.kind == "tagging"
    assert task.labels == ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC")
    assert sorted(task.test) == ["de", "en", "es", "nl"]
    assert task.train["es"] == [
        Tagging("1", ("La", "Coruña", ","), ("B-LOC", "I-LOC", "O")),
        Tagging("2", ("José\xa0L.", "Aznar"), ("B-PER", "B-PER")),
    ]
    assert task.train["nl"] == [
        Tagging("1", ("De", "Coöperatie"), ("O", "B-ORG")),
        Tagging("2", ("Gent",), ("B-LOC",)),
    ]
    words = ("EU", "German", "Germany", "France", "in", "Bonn")
    assert task.dev["en"] == [Tagging("1", words, ("B-ORG", "B-MISC", "B-LOC", "B-LOC", "O", "B-LOC"))]
    assert task.test["de"] == [Tagging("1", ("Ärzte", "Bonn"), ("B-ORG", "B-LOC"))]
    assert str(task.train["es"][1].location).endswith("esp.train, row 6")


def test_conll_converted_to_utf8_and_compressed_reads_the_same(conll: Path) -> None:
    expected = read_task(TaskSettings(name="conll", folder=str(conll)))
    for file in list(conll.iterdir()):
        text = file.read_text(encoding="latin-1")
        with gzip.open(f"{file}.gz", "wt", encoding="utf-8", newline="") as handle:
            handle.write(text.replace("\n", "\r\n"))
        file.unlink()
    assert read_task(TaskSettings(name="conll", folder=str(conll))) == expected


def test_conll_faults(conll: Path) -> None:
    settings = TaskSettings(name="conll", folder=str(conll), train_languages=("es",))
    (conll / "esp.train").write_text("a NC O\nb O\n")
    assert "esp.train, row 2: 2 columns, not 3; a blank line ends a sentence" in problem(settings)
    (conll / "esp.train").write_text("a NC O\nb NC B-TIME\n")
    assert "esp.train, row 2: tag 'B-TIME' is not known; tags are O, B-PER" in problem(settings)
    (conll / "esp.train").write_text("\n\n")
    assert "esp.train: holds no sentence" in problem(settings)
    (conll / "esp.train").unlink()
    assert "esp.train: no such file; nothing is fetched for you; it is published in CoNLL-2002" in problem(settings)
    (conll / "eng.testb").unlink()
    said = problem(TaskSettings(name="conll", folder=str(conll), train_languages=("nl",), test_languages=("en",)))
    assert "eng.testb: no such file; nothing is fetched for you; it is published in CoNLL-2003" in said
    said = problem(TaskSettings(name="conll", folder=str(conll), train_languages=("nl",), test_languages=("fr",)))
    assert "conll: language 'fr' has no test data; there is en, de, es, nl" in said


def test_wikiann(tmp_path: Path) -> None:
    text = "sw:Mji\tO\nsw:wa:\tO\nsw:Dar es\tB-LOC\n\nsw:10:30\tB-ORG\nsw:\tI-ORG\n"
    chinese = "zh-min-nan:北\tB-LOC\nzh-min-nan:京\tI-LOC\n"
    for split in ("train", "dev", "test"):
        write(tmp_path, {f"sw/{split}": text, f"zh-min-nan/{split}": chinese})
    task = read_task(TaskSettings(name="wikiann", folder=str(tmp_path)))
    assert task.labels == ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")
    assert task.train["sw"] == [
        Tagging("1", ("Mji", "wa:", "Dar es"), ("O", "O", "B-LOC")),
        Tagging("2", ("10:30", ""), ("B-ORG", "I-ORG")),
    ]
    assert task.test["zh-min-nan"] == [Tagging("1", ("北", "京"), ("B-LOC", "I-LOC"))]
    said = problem(TaskSettings(name="wikiann", folder=str(tmp_path), test_languages=("sw", "yo")))
    assert "yo/test: no such file" in said
    assert "WikiANN" in said
    assert "WikiANN" in problem(TaskSettings(name="wikiann", folder=str(tmp_path / "elsewhere")))


def iob2(tags: Sequence[str]) -> tuple[str, ...]:
    return as_iob2(tags, "iob", [Location("f", 1)] * len(tags))


def test_iob1_by_hand() -> None:
    assert iob2(["I-PER", "I-PER", "B-PER", "O", "I-PER", "I-LOC"]) == (
        "B-PER", "I-PER", "B-PER", "O", "B-PER", "B-LOC",
    )  # fmt: skip


@given(st.lists(st.sampled_from(["O", "B-A", "I-A", "B-B", "I-B"]), max_size=12))
def test_iob2_marks_the_same_names_and_changes_nothing_twice(tags: list[str]) -> None:
    once = iob2(tags)
    assert list(spans_of(once)) == list(spans_of(tags))
    assert iob2(once) == once
    assert all(tag[0] != "I" or before[2:] == tag[2:] for before, tag in zip(("O", *once), once, strict=False))


# SQuAD, XQuAD, MLQA


ENGLISH_SQUAD = {"train-v1.1.json": squad_json([AT_THE_END]), "dev-v1.1.json": squad_json([AT_THE_END], [AT_THE_END])}


def test_squad_answers_at_the_end_and_several(tmp_path: Path) -> None:
    write(tmp_path, {f"squad/{name}": text for name, text in ENGLISH_SQUAD.items()})
    task = read_task(TaskSettings(name="squad", folder=str(tmp_path)))
    expected = Question("q1", "What is it?", AT_THE_END[0], (("old", 23), ("Paris is old", 14)), "T0")
    assert (task.kind, task.labels) == ("span", ())
    assert task.train["en"] == [expected]
    assert [question.title for question in task.test["en"] if isinstance(question, Question)] == ["T0", "T1"]
    assert task.dev["en"] is task.test["en"]
    files = task_files(TaskSettings(name="squad", folder=str(tmp_path)))
    assert [Path(file).name for file in files] == ["dev-v1.1.json", "train-v1.1.json"]


def test_xquad_and_mlqa(tmp_path: Path) -> None:
    write(tmp_path, ENGLISH_SQUAD | {"xquad.zh.json": squad_json([CHINESE]), "xquad.en.json": squad_json([AT_THE_END])})
    task = read_task(TaskSettings(name="xquad", folder=str(tmp_path)))
    assert list(task.test) == ["en", "zh"]
    assert task.test["zh"] == [Question("q1", "哪里？", CHINESE[0], (("北京", 8),), "T0")]
    assert "SQuAD's dev set" in task.notes[0]
    for split in ("dev", "test"):
        write(tmp_path, {f"MLQA_V1/{split}/{split}-context-zh-question-zh.json": squad_json([CHINESE])})
    task = read_task(TaskSettings(name="mlqa", folder=str(tmp_path)))
    assert list(task.dev) == list(task.test) == ["zh"]
    said = problem(TaskSettings(name="mlqa", folder=str(tmp_path), test_languages=("zh", "hi")))
    assert "test-context-hi-question-hi.json: no such file" in said
    assert "published in MLQA_V1.zip" in said
    said = problem(TaskSettings(name="xquad", folder=str(tmp_path), train_languages=("zh",)))
    assert "xquad: language 'zh' has no train data; there is en" in said
    (tmp_path / "train-v1.1.json").unlink()
    assert "published in SQuAD 1.1" in problem(TaskSettings(name="xquad", folder=str(tmp_path)))


def test_squad2_has_questions_without_an_answer(tmp_path: Path) -> None:
    content = squad_json([AT_THE_END, ("A b c", "Where?", [])])
    write(tmp_path, {"train-v2.0.json": content, "dev-v2.0.json": content})
    task = read_task(TaskSettings(name="squad2", folder=str(tmp_path), strict=True))
    assert [len(one.answers) for one in task.train["en"] if isinstance(one, Question)] == [2, 0]
    assert task.test["en"] is task.dev["en"]
    assert task.notes == ()
    (tmp_path / "train-v2.0.json").unlink()
    said = problem(TaskSettings(name="squad2", folder=str(tmp_path)))
    assert "train-v2.0.json: no such file; nothing is fetched for you; it is published in SQuAD 2.0" in said


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            squad_json([AT_THE_END, ("A b c", "?", [("c", 3)])]),
            "question 2: the answer 'c' is not in its context at character 3; '' stands there",
        ),
        (
            squad_json([("A b c", "?", [("b", 4)])]),
            "question 1: the answer 'b' is not in its context at character 4; 'c' stands there",
        ),
        (squad_json([("A b c", "?", [("A", -5)])]), "question 1: the answer 'A' is not in its context at character -5"),
        (
            squad_json([("A b c", "?", [])]),
            "question 1: has no answer; a question that has none (SQuAD 2.0) says is_impossible",
        ),
        (squad_json([("A b c", "", [("A", 0)])]), "question 1: has no text 'question'"),
        (squad_json([]), "holds no question"),
        (
            squad_json([AT_THE_END, AT_THE_END]).replace('"q2"', '"q1"'),
            "question 2: has the id of question 1, 'q1'; give it another",
        ),
        ('{"data": {}}', "article 1: has no list 'data'"),
        ('{"data": [{"title": "x"}]}', "article 1: has no list 'paragraphs'"),
        ('{"data": [', "not JSON ("),
    ],
)
def test_squad_faults(tmp_path: Path, content: str, expected: str) -> None:
    write(tmp_path, ENGLISH_SQUAD | {"train-v1.1.json": content})
    said = problem(TaskSettings(name="squad", folder=str(tmp_path), strict=True))
    assert expected in said
    assert "train-v1.1.json" in said


# GLUE

MNLI_TRAIN = (
    "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse\t"
    "sentence1\tsentence2\tlabel1\tgold_label\n"
    '0\t1\t31193n\tgov\t( a\t( b\t(R\t(R\t"Odd quote\tn/a\tneutral\tneutral\n'
)
MNLI_DEV = MNLI_TRAIN.replace("label1\tgold", "label1\tlabel2\tlabel3\tlabel4\tlabel5\tgold").replace(
    "neutral\tneutral", "neutral\tentailment\tneutral\tneutral\tneutral\tneutral"
)
GLUE_FILES = {
    "MNLI/train.tsv": MNLI_TRAIN,
    "MNLI/dev_matched.tsv": MNLI_DEV,
    "MNLI/dev_mismatched.tsv": MNLI_DEV.replace("Odd", "Other"),
    "QNLI/train.tsv": 'index\tquestion\tsentence\tlabel\n5\tWho?\t"He.\tnot_entailment\n',
    "QQP/train.tsv": "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n1\t2\t3\tA?\tB?\t1\n4\t5\t6\tcut off\n"
    "7\t8\t9\tC?\t\t0\n",
    "SST-2/train.tsv": "sentence\tlabel\nit 's \"great \t1\n",
    "MRPC/train.tsv": '\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n1\t7\t8\t"He said , "" no\tSaid "\r\n',
    "STS-B/train.tsv": "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n"
    '3\tmain\tMSRvid\t2012\t0001\tnone\tnone\tA "plane\tA jet\t4.250\n',
}


@pytest.fixture
def glue(tmp_path: Path) -> Path:
    dev = {name.replace("train", "dev"): text for name, text in GLUE_FILES.items() if "MNLI" not in name}
    write(tmp_path, GLUE_FILES | dev)
    return tmp_path


def test_glue(glue: Path) -> None:
    tasks = {name: read_task(TaskSettings(name=name, folder=str(glue))) for name in GLUE}
    first = {name: task.train["en"][0] for name, task in tasks.items()}
    assert first == {
        "mnli": Classification("31193n", '"Odd quote', "n/a", "neutral"),
        "qnli": Classification("5", "Who?", '"He.', "not_entailment"),
        "qqp": Classification("1", "A?", "B?", "duplicate"),
        "sst2": Classification("2", "it 's \"great", None, "positive"),
        "mrpc": Classification("2", '"He said , "" no', 'Said "', "equivalent"),
        "stsb": Regression("3", 'A "plane', "A jet", 4.25),
    }
    assert list(tasks["mnli"].test) == ["en", "en-mismatched"]
    assert tasks["mnli"].test["en-mismatched"][0] == Classification("31193n", '"Other quote', "n/a", "neutral")
    assert tasks["qqp"].labels == ("not_duplicate", "duplicate")
    assert tasks["stsb"].labels == ()
    assert tasks["qqp"].train["en"][1] == Classification("7", "C?", "", "not_duplicate")
    assert [note.split(": ")[1] for note in tasks["qqp"].notes] == [
        "1 rows are cut off, as published, and left out (the first is 3)"
    ] * 2


def test_glue_faults(glue: Path) -> None:
    (glue / "STS-B/train.tsv").write_text(GLUE_FILES["STS-B/train.tsv"].replace("4.250", "nan"))
    assert "STS-B/train.tsv, row 2: 'nan' is no number" in problem(TaskSettings(name="stsb", folder=str(glue)))
    (glue / "SST-2/dev.tsv").write_text("sentence\tlabel\nx\t2\n")
    said = problem(TaskSettings(name="sst2", folder=str(glue)))
    assert "SST-2/dev.tsv, row 2: label '2' is not known; labels are 0, 1" in said
    (glue / "SST-2/dev.tsv").write_text("sentence\tlabel\nx\n")
    assert "SST-2/dev.tsv, row 2: 1 cells under 2 columns" in problem(TaskSettings(name="sst2", folder=str(glue)))
    (glue / "MNLI/dev_mismatched.tsv").unlink()
    said = problem(TaskSettings(name="mnli", folder=str(glue)))
    assert "MNLI/dev_mismatched.tsv: no such file; nothing is fetched for you; it is published in GLUE" in said
    read_task(TaskSettings(name="mnli", folder=str(glue), test_languages=("en",)))
    said = problem(TaskSettings(name="mnli", folder=str(glue), test_languages=("de",)))
    assert "mnli: language 'de' has no test data; there is en, en-mismatched" in said
