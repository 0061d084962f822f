"""``xlmr``: run, plan, slurm, status, inspect, report, serve, prune, settings, completion, and those of packages.

Nothing heavy is imported here: ``xlmr --help`` must answer at once.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import cyclopts
from cyclopts import App, CycloptsError, Parameter, UnusedCliTokensError

from pipeline.command_help import EXAMPLES, epilogue, epilogue_of, package_examples, stage_examples
from pipeline.config import UnknownOptionError, local_path
from pipeline.dag import Dag
from pipeline.errors import UsageError, XlmrError, explain_os_error
from pipeline.extras import explain_missing
from pipeline.interrupts import take_interrupts
from pipeline.options import Flag, From, Settings
from pipeline.report.command import report_command
from pipeline.secrets import redact
from pipeline.serve.command import serve_command
from pipeline.set_up import describe, set_up_commands
from pipeline.show_commands import (
    inspect_command,
    plan_command,
    prune_command,
    settings_command,
    status_command,
)
from pipeline.slurm.command import slurm_command
from pipeline.stage import Package, Stage
from pipeline.study.command import study_command
from pipeline.terminal import BOLD, RED, be_quiet, say, styled
from pipeline.unicode import is_unicode


def build_app(dag: Dag, asked: str = "") -> App:
    """The whole command line, made from the DAG. ``asked`` is the package whose tools are described."""
    app = App(
        name="xlmr",
        help=_HELP,
        help_format="plaintext",  # what stands in angle brackets is meant
        help_epilogue=epilogue(EXAMPLES[""]),
        version=_version,
        version_format="plaintext",
        result_action="return_value",
        suppress_keyboard_interrupt=False,  # exit_code_of has a line for it
        default_parameter=Parameter(validator=_check_path),
    )
    of_files = (report_command, serve_command, study_command)
    shown = (status_command, inspect_command, *of_files, prune_command, settings_command)
    for command in (_run, plan_command, slurm_command, *shown):
        name = command.__name__.strip("_").removesuffix("_command")
        app.command(command(dag), name=name, help_epilogue=epilogue_of(name))
    for name, function in set_up_commands(dag).items():
        app.command(function, name=name, help_epilogue=epilogue_of(name))
    app.command(_completion(app), name="completion", help_epilogue=epilogue_of("completion"))
    for package in dag.packages:
        for name, import_string in package.commands.items():
            below = epilogue(package.examples.get(name, ()), settings=False)
            app.command(import_string, name=name, help=describe(import_string), help_epilogue=below)
        app.command(_package_app(dag, package, described=package.name == asked))
    return app


def _version() -> str:
    from pipeline.version import describe_version

    return describe_version()


def _completion(app: App) -> Callable[..., None]:
    def completion(shell: Literal["bash", "zsh", "fish"]) -> None:
        """Print what makes a shell complete xlmr's commands and options; the examples say where each reads it from.

        Parameters
        ----------
        shell
            The shell that will read it.
        """
        print(app.generate_completion(shell=shell))

    return completion


def _check_path(kind: Any, value: Any) -> None:
    """Refuse an address where a path is meant, which would be written into a folder ``s3:``. Errors: ValueError."""
    del kind
    for path in value if isinstance(value, list | tuple) else (value,):
        if isinstance(path, Path):
            local_path(str(path))


_HELP = "From a raw web crawl to a fine-tuned multilingual encoder, as one DAG of stages."


def _run(dag: Dag) -> Callable[..., None]:
    def run(
        config: Path,
        *settings: Settings,
        from_: From = None,
        until: str | None = None,
        only: str | None = None,
        force: tuple[str, ...] = (),
        verify: Flag = False,
    ) -> None:
        """Run every stage that is not fresh.

        Parameters
        ----------
        config
            YAML file of the run, as configs/demo.yaml.
        from_
            Start at this stage or package; what it is made from must be fresh.
        until
            End with this stage or package.
        only
            This stage or package alone; what it is made from must be fresh.
        force
            Run this stage or package even if it is fresh (may be repeated).
        verify
            Compare the checksum of every file, not only its size and time.
        """
        from pipeline.run_summary import next_command
        from pipeline.runner import Selection, run

        loaded = dag.load_config(config, settings)
        chosen = Selection(start=from_, until=until, only=only, force=force).or_settings(loaded)
        plan = run(dag, loaded, chosen, verify=verify)
        last = plan[chosen.stages(dag)[-1]]
        if last.manifest is None:
            return  # other tasks finish it
        say(f"next: {next_command(plan, chosen.stages(dag), config, settings)}", BOLD)
        print(last.output / "report.html" if last.stage.name == "report" else last.output)

    return run


def _package_app(dag: Dag, package: Package, *, described: bool) -> App:
    help_page = f"The stages of {package.name}/ each alone, and its tools."
    app = App(name=package.name, help=help_page, help_epilogue=epilogue(package_examples(package)))
    for stage in package.stages:
        name = stage.name.partition(".")[2].replace("_", "-")
        app.command(_stage_command(dag, stage), name=name, help_epilogue=epilogue(stage_examples(stage)))
    for name, import_string in package.tools.items():
        below = epilogue(package.examples.get(name, ()), settings=False)
        app.command(import_string, name=name, help=describe(import_string) if described else None, help_epilogue=below)
    return app


def _stage_command(dag: Dag, stage: Stage) -> Callable[..., None]:
    def command(config: Path, *settings: Settings, force: Flag = False) -> None:
        from pipeline.runner import Selection, run

        forced = (stage.name,) if force else ()
        plan = run(dag, dag.load_config(config, settings), Selection(only=stage.name, force=forced))
        if plan[stage.name].manifest is not None:
            print(plan[stage.name].output)

    command.__doc__ = f"""Stage: {stage.summary}.

        Parameters
        ----------
        config
            YAML file of the run.
        force
            Run it even if it is fresh.
        """
    return command


EVERYWHERE = ("--quiet", "--debug")
"""Options of every command."""
STANDARD_INPUT = "-"
"""Stands for the standard input where a command takes files or texts."""


def main(words: list[str] | None = None) -> int:
    """Entry point. Exit codes: 0 done, 1 failed, 2 bad usage or configuration."""
    words = sys.argv[1:] if words is None else words
    for number, word in enumerate(words, 1):
        if not is_unicode(word):
            return _fail(
                UsageError(f"word {number} of the command, {word!r}, is not UTF-8", "write it in UTF-8"), False
            )
    # Threads that wait for each other sleep, before PyTorch is imported, which reads it then: where others want the
    # same cores they would else burn what they wait for. On quiet cores that costs a twentieth of a training's speed.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if "--quiet" in words:
        be_quiet()
    try:
        app = build_app(Dag.default(), asked=words[0] if words else "")
    except XlmrError as error:  # a package that the user adds is not there
        return _fail(error, "--debug" in words)

    def work() -> int:
        given = [word for word in words if word not in EVERYWHERE]
        try:
            _call(app, given)
        except cyclopts.UnknownOptionError as error:
            if (error.token.keyword or error.token.value) != STANDARD_INPUT:
                raise
            _call(app, _standard_input_last(given))
        except UnknownOptionError as error:
            raise error.with_nearest(_options(app, words)) from error
        return 0

    return exit_code_of(work, _help_command(app, words), debug="--debug" in words)


def _call(app: App, words: Sequence[str]) -> None:
    app(words, exit_on_error=False, print_error=False)


def _standard_input_last(words: Sequence[str]) -> list[str]:
    """The words with each ``-`` after ``--``: Cyclopts takes a ``-`` that stands elsewhere alone for an option."""
    others = [word for word in words if word != STANDARD_INPUT]
    return [*others, *(() if "--" in others else ("--",)), *[STANDARD_INPUT] * (len(words) - len(others))]


def _command_of(app: App, words: Sequence[str]) -> tuple[App, list[str]]:
    """The command that ``words`` begin with, and its words."""
    path = ["xlmr"]
    for word in words:
        if word.startswith("-") or word not in set(app):
            break
        app = app[word]
        path.append(word)
    return app, path


def _help_command(app: App, words: Sequence[str]) -> str:
    """What tells more about the command that ``words`` begin with."""
    return " ".join([*_command_of(app, words)[1], "--help"])


def _options(app: App, words: Sequence[str]) -> list[str]:
    """The options of the command that ``words`` begin with."""
    arguments = _command_of(app, words)[0].assemble_argument_collection()
    return [name for argument in arguments if argument.show for name in argument.names] + list(EVERYWHERE)


def exit_code_of(work: Callable[[], int], help_command: str, *, debug: bool = False) -> int:
    """What ``work`` returns, or, for whatever stops it, one line on stderr and its exit code."""
    try:
        take_interrupts()
        code = work()
        sys.stdout.flush()
        return code
    except CycloptsError as error:
        return _fail(_bad_usage(error, help_command), debug)
    except XlmrError as error:
        return _fail(error, debug)
    except OSError as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            return 128 + signal.SIGPIPE
        return _fail(explain_os_error(error) or XlmrError(str(error)), debug)
    except KeyboardInterrupt:
        return _fail(XlmrError("stopped", "the same command resumes from here"), debug)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and (missing := explain_missing(error)):
            return _fail(missing, debug)
        line = XlmrError(f"{type(error).__name__}: {error}", "this is a fault of xlmr; --debug shows where")
        line.__cause__ = error
        return _fail(line, debug)


def _bad_usage(error: CycloptsError, help_command: str) -> UsageError:
    if isinstance(error, UnusedCliTokensError):
        words = " ".join(error.unused_tokens or ())
        return UsageError(
            f"{words}: not understood", f"where a pattern names several files, name one; see {help_command}"
        )
    return UsageError(" ".join(str(error).split()), f"see {help_command}")


def _nobody_reads() -> bool:
    """Whether whoever read our output is gone, as ``head`` is after its lines. Then nothing more is written to it."""
    output = sys.stdout.fileno()
    asked = select.poll()
    asked.register(output, select.POLLERR)
    gone = any(events & select.POLLERR for _, events in asked.poll(0))
    if gone:
        os.dup2(os.open(os.devnull, os.O_WRONLY), output)
    return gone


def _fail(error: XlmrError, debug: bool) -> int:
    if debug:
        print(redact("".join(traceback.format_exception(error))), end="", file=sys.stderr)
    print(f"{styled('xlmr:', RED, sys.stderr)} {' '.join(str(error).split())}", file=sys.stderr)
    return error.exit_code


def entry(argv: Any = None) -> None:
    """Console script."""
    sys.exit(main(argv))
