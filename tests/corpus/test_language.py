"""Labels, thresholds, the identifiers, and the command that asks them."""

from __future__ import annotations

import json
import lzma
import re
from pathlib import Path

import fasttext
import pytest

from corpus.checks import known_codes
from corpus.language.identifier import load_identifier
from corpus.language.labels import load_table
from corpus.language.model_file import model_path, own_model_path
from corpus.language.models.coded_model import CodedModel
from corpus.language.models.own_model import OwnModel
from corpus.language.settings import LanguageId
from pipeline.cli import main
from pipeline.errors import XlmrError

CC100_CODES = """
af am ar as az be bg bn bn_rom br bs ca cs cy da de el en eo es et eu fa ff fi fr fy ga gd gl gn gu ha he hi
hi_rom hr ht hu hy id ig is it ja jv ka kk km kn ko ku ky la lg li ln lo lt lv mg mk ml mn mr ms my my_zaw ne
nl no ns om or pa pl ps pt qu rm ro ru sa sc sd si sk sl so sq sr ss su sv sw ta ta_rom te te_rom th tl tn tr
ug uk ur ur_rom uz vi wo xh yi yo zh-Hans zh-Hant zu
"""
CC100 = re.findall(r"\S+", CC100_CODES)

GERMAN = "Der schnelle braune Fuchs springt über den faulen Hund und läuft danach in den Wald zurück."
ZULU = "Sonke isintu sizalwa sikhululekile futhi sinesithunzi esilinganayo kanye namalungelo afanayo."
OROMO = "Faayilii kana banuuf fuula jalqabaa irraa filannoo haaraa filadhu, ergasii tuqi."


# Labels


def test_every_code_of_cc100_can_come_out():
    codes = CodedModel("lid.176.ftz", "cc100").codes
    combined = load_identifier(LanguageId(labels="cc100", own_model="built-in")).codes
    split_off_codes = {"zh-Hans", "zh-Hant", "my_zaw", "bn_rom", "hi_rom", "ta_rom", "te_rom", "ur_rom"}
    lacked = {"ff", "ha", "ig", "lg", "ln", "ns", "om", "ss", "tn", "wo", "xh", "zu"}
    assert len(CC100) == 116
    assert set(CC100) - set(codes) == split_off_codes | lacked
    assert not set(CC100) - set(combined) - split_off_codes
    assert {"hi_rom", "ur_rom", "my_zaw"} <= set(combined)


@pytest.mark.parametrize(
    ("label", "code"),
    [("als", "gsw"), ("als_Latn", "sq"), ("nn", "no"), ("nob_Latn", "no"), ("arz", "ar"), ("arb_Arab", "ar"),
     ("wuu", "zh"), ("cmn_Hans", "zh-Hans"), ("yue_Hant", "zh-Hant"), ("deu_Latn", "de"), ("hin_Latn", "hi_rom"),
     ("kmr_Latn", "ku"), ("azj_Latn", "az"), ("fil_Latn", "tl"), ("gaz_Latn", "om"), ("nso_Latn", "ns"),
     ("fuv_Latn", "ff")],
)  # fmt: skip
def test_labels_of_several_models(label, code):
    assert load_table("cc100")[label] == code


@pytest.mark.parametrize(
    "label", ["de", "ckb", "azb", "sh", "bs", "hr", "sr", "ku", "az", "ceb", "ckb_Arab", "zh", "my"]
)
def test_labels_that_stay(label):
    assert label not in load_table("cc100")


def test_targets_are_codes_of_cc100():
    assert set(load_table("cc100").values()) <= {*CC100, "gsw", "zh"}


@pytest.mark.parametrize("suffix", [".tsv", ".json", ".yaml"])
def test_tables_of_ones_own(tmp_path, suffix):
    table = {"de": "deu-tsch", "en": ""}
    text = json.dumps(table) if suffix != ".tsv" else "# mine\nde\tdeu-tsch\nen\t\n"
    (tmp_path / f"t{suffix}").write_text(text)
    found, scores = load_identifier(LanguageId(labels=str(tmp_path / f"t{suffix}"))).identify(
        [GERMAN, "This is an English sentence about a dog.", "我们一起学习中文的说明文件"]
    )
    assert found == ["deu-tsch", "", "zh"]
    assert scores[0] > 0.9
    assert scores[1] == 0


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [("t.tsv", "de\t../up\n", "cannot be a language's name"), ("t.yaml", "- de\n", "is not a table"),
     ("t.yaml", "de: [1\n", "not readable as YAML"), ("t.json", "{", "not readable as JSON"),
     ("t.yaml", "de: 1\n", "is not a table")],
)  # fmt: skip
def test_tables_that_are_refused(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(XlmrError, match=message):
        load_table(str(tmp_path / name))


def test_no_table():
    with pytest.raises(XlmrError, match="no such table"):
        load_table("nowhere.tsv")


# Identifiers


def test_as_they_are_is_what_fast_text_says():
    model = fasttext.load_model(str(model_path("lid.176.ftz")))
    texts = [GERMAN, ZULU, "国语", "", "x", "नमस्ते दुनिया", "aap kaise hain", "Hold musetasten og dra."]
    names, scores = load_identifier(LanguageId()).identify(texts)
    expected = [model.f.predict(text + "\n", 1, 0.0, "strict")[0] for text in texts]
    assert names == [label.removeprefix("__label__") for _, label in expected]
    assert scores.tolist() == pytest.approx([round(score, 2) for score, _ in expected], abs=1e-6)


def test_labels_of_one_code_add_up():
    base = fasttext.load_model(str(model_path("lid.176.ftz")))
    text = "Hold inne museknappen og dra for å flytte biletet til ein annan stad."
    labels, values = base.predict([text], k=176)
    norwegian = sum(v for label, v in zip(labels[0], values[0], strict=True) if label[9:] in ("no", "nn"))
    names, scores = load_identifier(LanguageId(labels="cc100")).identify([text])
    assert names == ["no"]
    assert scores[0] == pytest.approx(norwegian, abs=0.011)


def test_thresholds_by_language():
    settings = LanguageId(threshold=0.5, thresholds={"xh": 0.8})
    assert (settings.threshold_of("xh"), settings.threshold_of("de")) == (0.8, 0.5)


def test_files_that_count(tmp_path):
    settings = LanguageId(labels=str(tmp_path / "t.tsv"), own_model="built-in")
    assert set(settings.files().values()) == {"language_id.model", "language_id.labels", "language_id.own_model"}
    assert list(LanguageId().files().values()) == ["language_id.model"]
    assert all(Path(file).exists() for file in LanguageId(own_model="built-in").files())


def test_what_lid_176_cannot_say():
    base = load_identifier(LanguageId(labels="cc100"))
    combined = load_identifier(LanguageId(labels="cc100", own_model="built-in"))
    texts = [
        GERMAN,
        ZULU,
        "我们一起学习中文的说明文件",
        "mujhe samajh nahi aa raha ki ye kaam kaise karna hai",
        "繁體中文的說明文件和學習資料",
        "",
    ]
    assert base.identify(texts)[0][1] != "zu"
    names, scores = combined.identify(texts)
    assert names == ["de", "zu", "zh-Hans", "hi_rom", "zh-Hant", ""]
    assert scores[-1] == 0
    assert (scores[:-1] > 0.5).all()
    assert (scores <= 1).all()


def test_an_answer_does_not_hang_on_the_batch():
    identifier = load_identifier(LanguageId(labels="cc100", own_model="built-in"))
    texts = [GERMAN, ZULU, "", "国语", "aap kaise hain", "မြန်မာ"]
    as_a_batch = identifier.identify(texts)
    alone = [identifier.identify([text]) for text in texts]
    assert as_a_batch[0] == [names[0] for names, _ in alone]
    assert as_a_batch[1].tolist() == pytest.approx([scores[0] for _, scores in alone], abs=0.011)
    assert identifier.identify([])[0] == []


def test_probabilities_of_the_codes_that_are_said():
    """They are what ``identify`` says but for its prior, and even where nothing in a Chinese text tells the script."""
    identifier = load_identifier(LanguageId(labels="cc100", own_model="built-in"))
    texts = [GERMAN, ZULU, "我们一起学习中文的说明文件", "繁體中文的說明文件和學習資料",
             "aap kaise hain kya kar rahe hain", "यह दस्तावेज़ हिन्दी में लिखा गया है और बहुत लंबा नहीं है",
             "中文中文中文", "𓀀𓀁𓀂"]  # fmt: skip
    likely = identifier.fine_probabilities(texts)
    assert likely.shape == (len(texts), len(identifier.fine_codes))
    assert likely.sum(1) == pytest.approx([1] * 7 + [0], abs=1e-5)
    names, scores = identifier.identify(texts)
    place = {code: i for i, code in enumerate(identifier.fine_codes)}
    for row in range(6):
        assert identifier.fine_codes[likely[row].argmax()] == names[row]
        assert min(likely[row].max(), scores[row]) >= 0.4
    assert likely[6, place["zh-Hans"]] == likely[6, place["zh-Hant"]] > 0.3


def test_codes_of_probabilities_are_those_that_are_said():
    for identifier in (LanguageId(labels="cc100", own_model="built-in"), LanguageId(labels="cc100")):
        found = load_identifier(identifier).fine_codes
        assert set(found) == known_codes(identifier)
        assert len(found) == len(set(found))


def test_both_models_are_asked():
    identifier = load_identifier(LanguageId(labels="cc100", own_model="built-in"))
    codes = ["de", "zu", "xh", "fr", "zh-Hans", "zu"]
    texts = [GERMAN, ZULU, GERMAN, GERMAN, "我们一起学习中文的说明文件", "Windows 8.1 Board of Trustees"]
    assert identifier.agreed(texts, codes).tolist() == [True, True, False, False, True, False]
    alone = load_identifier(LanguageId(labels="cc100"))
    assert alone.agreed([GERMAN, GERMAN], ["de", "fr"]).tolist() == [True, False]


def test_a_model_that_fits_no_combination():
    with pytest.raises(XlmrError, match="other labels"):
        load_identifier(LanguageId(own_model="built-in"))


def test_a_model_without_a_card(tmp_path):
    (tmp_path / "m.ftz").write_bytes(own_model_path("built-in").read_bytes())
    with pytest.raises(XlmrError, match="no such card"):
        OwnModel(str(tmp_path / "m.ftz"))
    (tmp_path / "m.json").write_text('{"card_version": 0}')
    with pytest.raises(XlmrError, match="not a card of this version"):
        OwnModel(str(tmp_path / "m.ftz"))


# Commands


def test_identify_lines(tmp_path, capsys):
    (tmp_path / "t.txt").write_text(f"{GERMAN}\n\nThis is an English sentence.\n")
    assert main(["corpus", "identify", str(tmp_path / "t.txt")]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == ["de", "und", "en"]
    assert float(lines[0][1]) > 0.9
    assert main(["corpus", "identify", str(tmp_path / "t.txt"), "--labels", "as_they_are"]) == 0
    assert [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()] == ["de", "en", "en"]


def test_identify_paragraphs_and_files(tmp_path, capsys):
    (tmp_path / "t.txt.xz").write_bytes(lzma.compress(f"\nDer Hund\n{GERMAN}\n\n{ZULU}\n".encode()))
    command = [
        "corpus",
        "identify",
        str(tmp_path / "t.txt.xz"),
        "--json",
        "--labels",
        "cc100",
        "--own-model",
        "built-in",
    ]
    assert main([*command, "--paragraphs"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(record["line"], record["language"]) for record in records] == [(2, "de"), (5, "zu")]
    assert main([*command, "--whole"]) == 0
    (record,) = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert record["file"].endswith("t.txt.xz")
    assert main([*command, "--whole", "--paragraphs"]) == 2
    assert main(["corpus", "identify", "nowhere.txt"]) == 2
    assert main(["corpus", "identify", str(tmp_path)]) == 2
    assert "no such file" in capsys.readouterr().err


def test_identify_a_line_that_is_too_long(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("corpus.language.tools.MAX_CHARACTERS", 200)
    (tmp_path / "t.txt").write_text((GERMAN + " ") * 50 + f"\n{GERMAN}\n")
    assert main(["corpus", "identify", str(tmp_path / "t.txt")]) == 0
    assert [line[:2] for line in capsys.readouterr().out.splitlines()] == ["de", "de"]
