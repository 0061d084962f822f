"""Stage and Package: what a package hands to the core. Frozen records, so that the DAG can be read as data."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.config import Section
from pipeline.counts import Counts

if TYPE_CHECKING:
    from pipeline.context import Context

Inputs = Mapping[str, Path]
"""The output folder of each input stage, by stage name."""

RunFunction = Callable[[Any, Inputs, Path, "Context"], Counts]


def no_outside_files(config: Any) -> dict[str, str]:
    """The default of ``Stage.outside``: nothing outside the run is read."""
    del config
    return {}


@dataclass(frozen=True)
class Stage:
    """One step of the DAG.

    ``name``       ``package.step``; also the folder of its outputs.
    ``version``    raised by hand when the code changes the result.
    ``config``     a Section whose fields are sections of the package's configuration: the stage sees no others.
    ``inputs``     names of the stages that it reads.
    ``run``        import string ``module:function`` of ``run(config, inputs, output, context) -> Counts``; loaded only
                   when the stage runs, so that listing stages imports nothing heavy.
    ``outside``    config -> {address pattern: setting that named it}, the files from outside whose content counts.
    ``resumable``  what an interrupted run left in the output folder may be used again (shards, checkpoints);
                   otherwise the folder is emptied first.
    ``needs``      config -> those of ``inputs`` that it reads with these settings; None is all of them.
    ``instead``    the setting that, where it is given, leaves the stage without some of ``inputs``: an error about a
                   file of theirs that nobody named says so.
    ``check``      import string of ``check(config) -> None``, which raises XlmrError where the stage could not write
                   its output with these settings: called before a run begins, not after the hours of other stages.
    ``fits``       import string of ``fits(settings) -> None``, of all packages by dotted name, which raises XlmrError
                   where those of the stage do not go with another package's, or a file: called by a plan and by a run.
    ``extra``      the extra of this distribution that it needs (pipeline/extras.py); asked for before anything runs.
    ``counts_source``  the checksum of the module that ``run`` names is part of the key, beside the version.
    ``sharded``    how many of its calls of ``map_shards`` several tasks may share, a part of the shards each. Before
                   the last of these the run function only reads; what comes after is done by one task.
    ``list_shards``  config -> how many shards it lists for the stages that read it; None where only its run can tell.
    ``live``       import string of ``figure(output) -> ReportFigure | None``: what a browser shows of it while it runs.
    ``gpu``        its job on a cluster asks for a GPU.
    ``job_script``  its batch script in infra/slurm, without ending; beside it is one for several nodes, with ``-ranks``
                in the name. Empty: the script of all other stages.
    """

    name: str
    version: int
    config: type[Section]
    run: str
    summary: str
    inputs: tuple[str, ...] = ()
    outside: Callable[[Any], Mapping[str, str]] = no_outside_files
    resumable: bool = False
    needs: Callable[[Any], tuple[str, ...]] | None = None
    instead: str = ""
    sharded: int = 0
    extra: str = ""
    check: str = ""
    fits: str = ""
    counts_source: bool = False
    list_shards: Callable[[Any], int | None] | None = None
    live: str = ""
    gpu: bool = False
    job_script: str = ""
    then: str = ""

    @property
    def package(self) -> str:
        """The package that it belongs to."""
        return self.name.partition(".")[0]

    def config_from(self, package_config: Section) -> Section:
        """The part of the package's configuration that this stage reads."""
        return self.config.model_construct(**{n: getattr(package_config, n) for n in self.config.model_fields})

    def load(self) -> RunFunction:
        """Import the function that does the work."""
        function: RunFunction = load_object(self.run)
        return function


@dataclass(frozen=True)
class FirstSetting:
    """A setting that ``xlmr init`` writes into a new configuration, if ``stage`` is among those that will run.

    ``question``  what is asked on a terminal; empty: the value is written without a question.
    ``flag``      the short name of the option that answers it, as ``crawl`` for ``--crawl``.
    ``value``     what is written without an answer; None with a question: an answer is needed.
    ``derive``    the settings before it, by name -> what is written, where there is no question and no ``value``.
    """

    name: str
    stage: str
    value: Any = None
    question: str = ""
    flag: str = ""
    derive: Callable[[Mapping[str, Any]], Any] | None = None


@dataclass(frozen=True)
class Package:
    """What one package offers: its configuration, its stages, its report sections and its tools.

    ``report``  import string of ``sections(outputs: Mapping[str, Path]) -> list[ReportSection]``; outputs holds only
                the stages that have run.
    ``measures``  import string of ``measures(outputs) -> list[Measure]``, outputs as for ``report``: the numbers by
                which runs are compared (pipeline/report/measures.py).
    ``estimate``  import string of ``estimate(config, gpus) -> dict[str, Estimate]``: by stage, what it will take on so
                many GPUs, from the whole configuration alone (pipeline/study/cost.py).
    ``tools``   command name -> import string, offered as ``xlmr <package> <name>``.
    ``commands``  command name -> import string, offered as ``xlmr <name>``.
    ``examples``  name of a tool or command -> whole commands, shown on its help page.
    ``checks``  import string of ``check() -> Iterable[Finding]`` for ``xlmr doctor`` (pipeline/doctor.py); it must not
                need an extra.
    ``first``   the settings that ``xlmr init`` writes and asks for (pipeline/init.py).
    """

    name: str
    config: type[Section]
    stages: tuple[Stage, ...]
    report: str | None = None
    measures: str | None = None
    estimate: str | None = None
    tools: Mapping[str, str] = field(default_factory=dict)
    commands: Mapping[str, str] = field(default_factory=dict)
    examples: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    checks: str | None = None
    first: tuple[FirstSetting, ...] = ()


def load_object(import_string: str) -> Any:
    """The object that ``module:name`` names."""
    module, _, name = import_string.partition(":")
    return getattr(importlib.import_module(module), name)
