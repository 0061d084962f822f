"""Pages in the encodings of the web, with labels that are right, wrong or missing."""

from __future__ import annotations

import pytest

from corpus.crawl.charset import decode_page, python_codec

RUSSIAN = "Каждый человек имеет право на жизнь, на свободу и на личную неприкосновенность."
CZECH = "Všichni lidé rodí se svobodní a sobě rovní co do důstojnosti a práv."
GREEK = "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα."
JAPANESE = "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。"
CHINESE = {"gb18030": "人人生而自由，在尊严和权利上一律平等。", "big5": "人人生而自由，在尊嚴和權利上一律平等。"}

ENCODINGS = {
    "windows-1250": CZECH, "iso-8859-2": CZECH,
    "windows-1251": RUSSIAN, "koi8-r": RUSSIAN, "ibm866": RUSSIAN, "x-mac-cyrillic": RUSSIAN,
    "koi8-u": "Кожна людина має право на життя, на свободу і на особисту недоторканність.",
    "windows-1252": "Grüße aus Köln, à bientôt “là-bas”, dijo el niño.",
    "macintosh": "Grüße aus Köln, à bientôt là-bas.",
    "windows-1253": GREEK, "iso-8859-7": GREEK,
    "windows-1254": "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar.",
    "windows-1255": "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם.",
    "windows-1256": "يولد جميع الناس أحرارا متساوين في الكرامة والحقوق.",
    "windows-1257": "Visi cilvēki piedzimst brīvi un vienlīdzīgi savā pašcieņā un tiesībās.",
    "windows-874": "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ",
    "gb18030": CHINESE["gb18030"], "gbk": CHINESE["gb18030"], "gb2312": CHINESE["gb18030"], "big5": CHINESE["big5"],
    "euc-jp": JAPANESE, "shift_jis": JAPANESE, "iso-2022-jp": JAPANESE,
    "euc-kr": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
}  # fmt: skip


def page(words: str, label: str = "") -> str:
    meta = f"<meta charset='{label}'>" if label else ""
    return f"<html><head>{meta}<title>x</title></head><body>" + f"<p>{words}</p>" * 9 + "</body></html>"


@pytest.mark.parametrize("label", ENCODINGS)
@pytest.mark.parametrize("header", ["utf-8", "iso-8859-1", "", "no-such-charset", "own"])
def test_what_the_page_says_wins_where_the_header_cannot_be_right(label, header):
    html = page(ENCODINGS[label], label)
    body = html.encode(python_codec(label))
    assert decode_page(body, label if header == "own" else header, is_html=True) == html


@pytest.mark.parametrize("label", ENCODINGS)
def test_the_header_alone(label):
    html = page(ENCODINGS[label])
    assert decode_page(html.encode(python_codec(label)), label, is_html=False) == html


@pytest.mark.parametrize(
    "label",
    ["windows-1251", "koi8-r", "iso-8859-7", "windows-1255", "gb18030", "euc-jp", "shift_jis", "windows-874"],
)
def test_detection_where_the_header_is_wrong_and_the_page_says_nothing(label):
    html = page(ENCODINGS[label])
    assert decode_page(html.encode(python_codec(label)), "utf-8", is_html=True) == html


@pytest.mark.parametrize("wrong", ["iso-8859-1", "windows-1251", "gbk", "shift_jis", "koi8-r", ""])
@pytest.mark.parametrize("words", list(ENCODINGS.values()))
def test_valid_utf_8_is_utf_8_whatever_is_said(wrong, words):
    html = page(words, wrong)
    assert decode_page(html.encode(), wrong, is_html=True) == html


@pytest.mark.parametrize("wrong", ["iso-8859-1", "windows-1252", ""])
def test_nearly_valid_utf_8_is_utf_8(wrong):
    body = page(RUSSIAN).encode().replace("жизнь".encode(), b"\xe9t\xe9", 1)
    assert RUSSIAN in decode_page(body, wrong, is_html=True)
    cut = page(RUSSIAN)[:-40].encode() + "я".encode()[:1]
    assert decode_page(cut, wrong, is_html=True)[:-1] == page(RUSSIAN)[:-40]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_utf_16(encoding, mark):
    html = page("Hello world")
    assert decode_page((mark + html).encode(encoding), "utf-8", is_html=True) == html


@pytest.mark.parametrize("words", [RUSSIAN, JAPANESE, GREEK])
@pytest.mark.parametrize("header", ["utf-16", "own", ""])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_that_has_few_zero_bytes(encoding, header, words):
    html = f"<html><body><p>{words * 20}</p></body></html>"
    label = encoding.replace("-le", "le").replace("-be", "be") if header == "own" else header
    assert decode_page(html.encode(encoding), label, is_html=True) == html


@pytest.mark.parametrize("header", ["utf-8", "iso-8859-1", ""])
def test_a_bad_byte_beside_a_few_characters_of_utf_8(header):
    body = page("It’s said so, “word” by “word”.").encode() + b"<p>one \x96 byte</p>"
    assert "It’s said so, “word” by “word”." in decode_page(body, header, is_html=True)


def test_a_byte_order_mark_is_no_text():
    assert decode_page(("\ufeff" + page(CZECH)).encode(), "iso-8859-2", is_html=True) == page(CZECH)


def test_what_no_encoding_fits_is_decoded_with_the_fewest_errors():
    body = page(JAPANESE, "euc-jp").encode("euc_jp").replace(b"</p>", b"\xff</p>", 1)
    assert decode_page(body, "utf-8", is_html=True).replace("\N{REPLACEMENT CHARACTER}", "") == page(JAPANESE, "euc-jp")


@pytest.mark.parametrize(
    ("label", "codec"),
    {
        "ISO-8859-1": "cp1252",
        "latin1": "cp1252",
        "x-sjis": "cp932",
        "GB2312": "gb18030",
        "ks_c_5601-1987": "cp949",
        "tis-620": "cp874",
        "utf8": "utf-8",
        "cp1251": "cp1251",
        "nonsense": "",
        "\udcff": "",
        "a\0b": "",
    }.items(),
)
def test_labels_mean_what_browsers_take_them_for(label, codec):
    assert python_codec(label) == codec
