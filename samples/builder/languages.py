"""The language of each translation of each source, as a CC100 code, and how much of it the crawl takes."""

from typing import Final


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# The 100 codes of XLM-R's CC100 (its paper, Table 6).
XLMR_CODES: Final = _words(
    """
    af am ar as az be bg bn bn_rom br bs ca cs cy da de el en eo es et eu fa fi fr fy ga gd gl gu ha he
    hi hi_rom hr hu hy id is it ja jv ka kk km kn ko ku ky la lo lt lv mg mk ml mn mr ms my my_zaw ne nl
    no om or pa pl ps pt ro ru sa sd si sk sl so sq sr su sv sw ta ta_rom te te_rom th tl tr ug uk ur
    ur_rom uz vi xh yi zh-Hans zh-Hant
    """
)

# Debian package suffix -> CC100 code. `dz` (Dzongkha) is none of CC100's: crawls hold such pages too.
LIBREOFFICE: Final = {
    "en-us": "en", "ca": "ca", "cs": "cs", "da": "da", "de": "de", "dz": "dz", "el": "el", "es": "es",
    "et": "et", "eu": "eu", "fi": "fi", "fr": "fr", "gl": "gl", "hi": "hi", "hu": "hu", "id": "id",
    "it": "it", "ja": "ja", "km": "km", "ko": "ko", "nl": "nl", "om": "om", "pl": "pl", "pt": "pt",
    "pt-br": "pt", "ru": "ru", "sl": "sl", "sv": "sv", "tr": "tr", "vi": "vi", "zh-cn": "zh-Hans",
    "zh-tw": "zh-Hant",
}  # fmt: skip

# Folder of /usr/share/help -> CC100 code; the translations that are (almost) empty are left out.
GNOME: Final = {
    "C": "en", "as": "as", "ca": "ca", "cs": "cs", "da": "da", "de": "de", "el": "el", "es": "es",
    "fa": "fa", "fi": "fi", "fr": "fr", "gl": "gl", "gu": "gu", "hr": "hr", "hu": "hu", "id": "id",
    "it": "it", "ja": "ja", "ko": "ko", "lv": "lv", "mr": "mr", "nl": "nl", "pl": "pl", "pt": "pt",
    "pt_BR": "pt", "ru": "ru", "sl": "sl", "sr": "sr", "sr@latin": "sr", "sv": "sv", "ta": "ta",
    "te": "te", "uk": "uk", "vi": "vi", "zh_CN": "zh-Hans",
}  # fmt: skip

# Folder of the handbook -> CC100 code; only the translations that are at least half done.
HANDBOOK: Final = {
    "en-US": "en", "ar-MA": "ar", "ca-ES": "ca", "de-DE": "de", "es-ES": "es", "fa-IR": "fa",
    "fr-FR": "fr", "id-ID": "id", "it-IT": "it", "ja-JP": "ja", "nb-NO": "no", "pt-BR": "pt",
    "ru-RU": "ru", "zh-CN": "zh-Hans",
}  # fmt: skip

# File of the declaration -> CC100 code. Two files of one code are two orthographies or scripts of it.
UDHR: Final = {
    "afr": "af", "als": "sq", "amh": "am", "arb": "ar", "azj_cyrl": "az", "azj_latn": "az", "bel": "be",
    "ben": "bn", "bos_cyrl": "bs", "bos_latn": "bs", "bre": "br", "bul": "bg", "cat": "ca", "ces": "cs",
    "cmn_hans": "zh-Hans", "cmn_hant": "zh-Hant", "cym": "cy", "dan": "da", "deu_1901": "de",
    "deu_1996": "de", "ell_monotonic": "el", "eng": "en", "epo": "eo", "est": "et", "eus": "eu",
    "fin": "fi", "fra": "fr", "fri": "fy", "fuf": "ff", "gax": "om", "gla": "gd", "gle": "ga",
    "glg": "gl", "gug": "gn", "guj": "gu", "hat_popular": "ht", "hau_NE": "ha", "hau_NG": "ha",
    "heb": "he", "hin": "hi", "hrv": "hr", "hun": "hu", "hye": "hy", "ibo": "ig", "ind": "id",
    "isl": "is", "ita": "it", "jav": "jv", "jpn": "ja", "kan": "kn", "kat": "ka", "kaz": "kk",
    "khk": "mn", "khm": "km", "kir": "ky", "kmr": "ku", "kor": "ko", "lao": "lo", "lat": "la",
    "lat_1": "la", "lav": "lv", "lin": "ln", "lit": "lt", "lug": "lg", "mal": "ml", "mar": "mr",
    "mkd": "mk", "mly_latn": "ms", "mya": "my", "nep": "ne", "nld": "nl", "nob": "no", "nso": "ns",
    "pan": "pa", "pbu": "ps", "pes_1": "fa", "pes_2": "fa", "plt": "mg", "pol": "pl", "por_BR": "pt",
    "por_PT": "pt", "quz": "qu", "roh_rumgr": "rm", "ron_1953": "ro", "ron_2006": "ro", "rus": "ru",
    "san": "sa", "sin": "si", "slk": "sk", "slv": "sl", "som": "so", "spa": "es", "src": "sc",
    "srp_cyrl": "sr", "srp_latn": "sr", "ssw": "ss", "sun": "su", "swe": "sv", "swh": "sw", "tam": "ta",
    "tam_LK": "ta", "tel": "te", "tgl": "tl", "tha": "th", "tha2": "th", "tsn": "tn", "tur": "tr",
    "uig_arab": "ug", "uig_latn": "ug", "ukr": "uk", "urd": "ur", "urd_2": "ur", "uzn_cyrl": "uz",
    "uzn_latn": "uz", "vie": "vi", "wol": "wo", "xho": "xh", "ydd": "yi", "yor": "yo", "zul": "zu",
}  # fmt: skip

# Files of the declaration in languages outside CC100, of which the crawl takes one page each, as crawls do.
UDHR_OTHERS: Final = _words(
    """
    aar abk aka_asante ast bam bem bis bod bug ceb ckb cos dzo ewe fao fij fur gsw1 haw hil ilo ina kal
    kin ltz mah min mlt mri nav nds nno nya_chechewa oci_1 pap pnb run sag sah sco sme smo sna sot tah
    tat tet tgk tir ton tpi tuk_latn vec ven war wln wuu yua yue zgh
    """
)

# Kilobytes of page text that the crawl takes: {source: {translation: kB}}; "" is the default.
CRAWL_KILOBYTES: Final = {
    "libreoffice": {
        "en-us": 850, "de": 540, "fr": 480, "es": 480, "ru": 600, "ja": 500, "zh-cn": 420, "it": 400,
        "pt-br": 380, "pl": 380, "nl": 360, "tr": 350, "el": 480, "km": 350, "hi": 350, "dz": 50,
        "pt": 120, "zh-tw": 240, "": 305,
    },
    "gnome": {
        "C": 150, "uk": 400, "sr": 300, "sr@latin": 50, "hr": 240, "lv": 220, "ta": 320, "gu": 300,
        "mr": 300, "as": 300, "fa": 80, "te": 150, "": 35,
    },
    "handbook": {"en-US": 220, "ar-MA": 400, "fa-IR": 380, "nb-NO": 380, "": 50},
}  # fmt: skip


def crawl_kilobytes(source: str, translation: str) -> int:
    """How many kB of page text of this translation the crawl takes."""
    table = CRAWL_KILOBYTES[source]
    return table.get(translation, table[""])
