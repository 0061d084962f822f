"""Checks an identifier's settings while a run is planned, by the headers of files and the cards.

What only shows when a model is read as a whole is found where corpus.mine begins.
"""

from __future__ import annotations

from corpus.language.labels import load_table
from corpus.language.model_file import check_header, model_path, own_model_path
from corpus.language.models.model_card import read_card
from corpus.language.prior.base_rates import load_base_rates
from corpus.language.settings import AS_THEY_ARE, CC100, FASTTEXT, LanguageId
from pipeline.errors import XlmrError


def check_identifier(settings: LanguageId) -> None:
    """Errors: XlmrError for a table, model or combination that cannot be used. Files that are missing are passed over:
    the plan names them.
    """
    if settings.identifier != FASTTEXT:
        return
    load_table(settings.labels)
    if settings.document_prior.enabled:
        load_base_rates(settings.document_prior.base_rates)
    model = model_path(settings.model)
    if model.is_file():
        check_header(model)
    own = own_model_path(settings.own_model) if settings.own_model else None
    if own is not None and own.is_file():
        check_header(own)
        labels = read_card(own)["base"]["labels"]
        if labels != settings.labels and {labels, settings.labels} <= {AS_THEY_ARE, CC100}:
            raise XlmrError(
                f"corpus.language_id.own_model {settings.own_model} was combined with labels {labels}, not with "
                f"{settings.labels}",
                f"set corpus.language_id.labels: {labels}, or train it for these",
            )
