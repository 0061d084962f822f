"""What is wrong with an identifier's settings shows before anything runs."""

from __future__ import annotations

import pytest

from corpus.language.check import check_identifier
from corpus.language.settings import LanguageId
from pipeline.errors import XlmrError


def test_what_a_plan_refuses(tmp_path):
    """Before anything runs: tables, the beginnings of models, and what was combined with other labels."""
    check_identifier(LanguageId(labels="cc100", own_model="built-in"))
    check_identifier(LanguageId(model="nowhere"))  # the plan names the setting of a file that is not there
    with pytest.raises(XlmrError, match="combined with labels cc100, not with as_they_are"):
        check_identifier(LanguageId(own_model="built-in"))
    (tmp_path / "m.bin").write_bytes(b"no model")
    (tmp_path / "t.tsv").write_bytes(b"de\t../up\n")
    (tmp_path / "latin.tsv").write_bytes(b"de\t\xe4\n")
    for settings, message in (
        ({"model": "m.bin"}, "not a fastText"), ({"own_model": "m.bin"}, "not a fastText"),
        ({"labels": "t.tsv"}, "cannot be a language's name"), ({"labels": "latin.tsv"}, "not UTF-8"),
    ):  # fmt: skip
        with pytest.raises(XlmrError, match=message):
            check_identifier(LanguageId(**{name: str(tmp_path / file) for name, file in settings.items()}))
