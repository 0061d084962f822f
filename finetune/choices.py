"""What settings of a task choose by name; or by an import string of the user's. Nothing is imported here."""

from __future__ import annotations

from pipeline.plug_ins import Registry

READERS = Registry(
    "format",
    {
        "tsv": "finetune.data.rows:tab_rows",
        "csv": "finetune.data.rows:tab_rows",
        "jsonl": "finetune.data.rows:json_rows",
        "conll": "finetune.data.columns:read_columns",
        "squad": "finetune.data.squad:read_questions",
    },
    "xlmr.readers",
)
"""``(file) -> iterable of mappings``, one an example, of a user's reader; ours also take the settings of the task."""

USUAL = "auto"
METRICS = Registry(
    "metric",
    {
        USUAL: "finetune.heads.kind:Kind",
        "accuracy": "finetune.scoring:accuracy",
        "macro_f1": "finetune.scoring:macro_f1",
        "f1": "finetune.scoring:f1",
        "precision": "finetune.scoring:span_scores",
        "recall": "finetune.scoring:span_scores",
        "exact_match": "finetune.scoring:squad_scores",
        "pearson": "finetune.scoring:pearson",
        "spearman": "finetune.scoring:spearman",
    },
    "xlmr.metrics",
)
"""``(right answers, predictions) -> number``, higher is better, of a user's metric."""


def metric_name(choice: str) -> str:
    """What the results call a chosen metric: the name itself, or the function of an import string."""
    return choice.rpartition(":")[2]
