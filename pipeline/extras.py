"""Packages that not everybody needs, and the extra of this distribution that brings each.

``pip install xlmr-pipeline`` gives the corpus, the tokenizer and the command line; the rest is asked for by name.
"""

from __future__ import annotations

from importlib.util import find_spec

from pipeline.errors import XlmrError

EXTRAS = {
    "train": ("torch", "deepspeed", "safetensors", "sklearn"),
    "flows": ("prefect",),
    "beam": ("apache_beam",),
    "dask": ("distributed",),
    "report": ("jinja2", "markupsafe", "matplotlib", "PIL"),
    "serve": ("jinja2", "markupsafe", "starlette", "uvicorn"),
    "http": ("aiohttp",),
    "s3": ("s3fs",),
    "gs": ("gcsfs",),
    "abfs": ("adlfs",),
    "mlflow": ("mlflow",),
    "wandb": ("wandb",),
}
"""Import names of what each extra brings, the same names as in pyproject.toml."""


def check_extra(extra: str, needed_by: str) -> None:
    """Errors: XlmrError where a package of the extra is not installed. Nothing is imported."""
    for package in EXTRAS[extra]:
        if find_spec(package) is None:
            raise _not_installed(package, extra, needed_by)


def explain_missing(error: ModuleNotFoundError) -> XlmrError | None:
    """The error in a line that names the extra to install; None for a package that no extra brings."""
    package = (error.name or "").partition(".")[0]
    extra = next((extra for extra, packages in EXTRAS.items() if package in packages), None)
    return _not_installed(package, extra, "this command") if extra else None


def _not_installed(package: str, extra: str, needed_by: str) -> XlmrError:
    return XlmrError(f"{needed_by} needs {package}, which is not installed", f"pip install 'xlmr-pipeline[{extra}]'")
