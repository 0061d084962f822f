"""The help page of each command: its examples, and how settings are given."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.stage import Package, Stage

SETTINGS = (
    "Any setting of the YAML file can be given as --section.field VALUE, a list as --section.field a,b or "
    "--section.field '[a, b]'."
)
BOTH = "--quiet prints results and errors only; --debug adds the traceback to an error."

EXAMPLES: dict[str, tuple[str, ...]] = {
    "": ("xlmr doctor", "xlmr init my.yaml", "xlmr plan configs/demo.yaml", "xlmr run configs/demo.yaml"),
    "run": (
        "xlmr run configs/demo.yaml",
        "xlmr run configs/demo.yaml --until corpus",
        "xlmr run configs/demo.yaml --only corpus.mine --corpus.language_id.threshold 0.6",
        "xlmr run configs/demo.yaml --force tokenizer.train",
    ),
    "plan": (
        "xlmr plan configs/demo.yaml",
        "xlmr plan configs/demo.yaml --until corpus --corpus.language_id.threshold 0.6",
    ),
    "slurm": (
        "xlmr slurm configs/corpus-cc100.yaml --tasks 64 > jobs.sh",
        "xlmr slurm configs/xlmr-base.yaml --nodes 8 --submit",
    ),
    "status": ("xlmr status", "xlmr status runs/demo", "xlmr status runs/demo --json | jq .inputs"),
    "inspect": ("xlmr inspect runs/demo/corpus.mine/KEY", "xlmr inspect corpus/de/head-00000.arrow --records 10"),
    "report": (
        "xlmr report configs/demo.yaml",
        "xlmr report configs/demo.yaml runs/other --output comparison.html",
        "xlmr report runs/a runs/b --json",
    ),
    "serve": ("xlmr serve", "xlmr serve /scratch/runs --port 8400"),
    "study": ("xlmr study configs/studies/demo/alpha.yaml --plan", "xlmr study configs/studies/demo/alpha.yaml"),
    "prune": ("xlmr prune configs/demo.yaml --dry-run", "xlmr prune configs/demo.yaml"),
    "settings": (
        "xlmr settings corpus.language_id",
        "xlmr settings --markdown",
        "xlmr settings --json-schema",
    ),
    "init": (
        "xlmr init my.yaml",
        "xlmr init my.yaml --crawl crawl/ --clean-text clean/ --languages de,fr --until corpus",
    ),
    "doctor": ("xlmr doctor", "xlmr doctor /scratch/runs"),
    "completion": (
        "xlmr completion bash > ~/.local/share/bash-completion/completions/xlmr",
        "xlmr completion zsh > ~/.zfunc/_xlmr",
        "xlmr completion fish > ~/.config/fish/completions/xlmr.fish",
    ),
}
"""Command of the core -> examples; those of packages stand in their ``Package.examples``."""


WITH_SETTINGS = {"run", "plan", "slurm", "report", "study", "prune", "init"}
"""Commands of the core that take settings."""


def epilogue(examples: Sequence[str], *, settings: bool = True) -> str:
    """What stands below the parameters of a command."""
    lines = ["Examples:", *(f"  {example}" for example in examples), ""] if examples else []
    return "\n".join([*lines, *([SETTINGS] if settings else []), BOTH])


def epilogue_of(command: str) -> str:
    """What stands below the parameters of a command of the core."""
    return epilogue(EXAMPLES[command], settings=command in WITH_SETTINGS)


def stage_examples(stage: Stage) -> tuple[str, ...]:
    """Of the command that runs one stage."""
    package, _, name = stage.name.partition(".")
    command = f"xlmr {package} {name.replace('_', '-')}"
    return f"{command} configs/demo.yaml", f"{command} configs/demo.yaml --force"


def package_examples(package: Package) -> tuple[str, ...]:
    """Of the command that lists a package's stages and tools: the first example of a stage and of each tool."""
    of_stages = [stage_examples(stage)[0] for stage in package.stages[:1]]
    return (*of_stages, *(package.examples[name][0] for name in package.tools if name in package.examples))
