"""The command line: verbs, their options, and what they print."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from oarlock import __version__
from oarlock.cli import doctor as doctoring
from oarlock.cli import inspect as inspecting
from oarlock.cli.talk import Failure, WrongUse, say
from oarlock.errors import ConfigurationError, InvalidPipelineName, OarlockError
from oarlock.settings import redact

app = typer.Typer(
    name="oarlock",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Load data with many processes on one pipeline: every row exactly once, or an error that says why.",
)
pipeline_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Look at a pipeline, and repair it.")

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document to stdout.")]
DirOption = Annotated[
    str | None,
    typer.Option(
        "--pipelines-dir",
        envvar="PIPELINES_DIR",
        help="Where working folders are.  [default: ~/.oarlock/pipelines]",
        show_default=False,
    ),
]
DestinationOption = Annotated[
    str | None,
    typer.Option(
        "--destination", "-d", help="A name (duckdb, postgres) or a URL (duckdb:///games.duckdb).", show_default=False
    ),
]
DatasetOption = Annotated[
    str | None, typer.Option("--dataset", help="The dataset.  [default: NAME_dataset]", show_default=False)
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(__version__)
        raise typer.Exit


@app.command()
def load(
    paths: Annotated[
        list[str],
        typer.Argument(
            help="Files or folders: JSON lines, JSON, CSV, Parquet, Arrow; .gz and .zst too.", show_default=False
        ),
    ],
    pipeline: Annotated[
        str,
        typer.Option(
            "--pipeline", "-p", envvar="PIPELINE_NAME", help="The pipeline; it is created where it is not there."
        ),
    ] = "oarlock_pipeline",
    table: Annotated[
        str | None,
        typer.Option("--table", "-t", help="One table for all files.  [default: each file's name]", show_default=False),
    ] = None,
    destination: DestinationOption = None,
    dataset: DatasetOption = None,
    workers: Annotated[int, typer.Option("--workers", "-w", min=1, max=256, help="How many processes.")] = 2,
    replace: Annotated[
        bool, typer.Option("--replace", help="Empty each table first; without it rows are appended.")
    ] = False,
    progress: Annotated[str, typer.Option("--progress", help="log, tqdm, enlighten, alive_progress or none.")] = "log",
    pipelines_dir: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Load files with several worker processes at once.

    Example: oarlock load examples/data --pipeline demo --destination duckdb:///demo.duckdb --workers 4
    """
    from oarlock.cli import load as loading  # imports pyarrow, which the other commands can do without

    loading.load(paths, pipeline, table, destination, dataset, workers, replace, progress, pipelines_dir, as_json)


@app.command()
def doctor(
    name: Annotated[
        str | None, typer.Argument(help="A pipeline; without it only the machine is looked at.", show_default=False)
    ] = None,
    pipelines_dir: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check locks, store, packages and workers; say what is wrong and the way out. Changes nothing.

    Example: oarlock doctor demo
    """
    doctoring.doctor(name, pipelines_dir, as_json)


@pipeline_app.callback()
def _pipeline(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="The pipeline's name.", show_default=False)],
    pipelines_dir: DirOption = None,
) -> None:
    ctx.obj = inspecting.Place(name, pipelines_dir)


@pipeline_app.command()
def info(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """Show what the pipeline is, and what waits.

    Example: oarlock pipeline demo info
    """
    inspecting.info(ctx.obj, as_json)


@pipeline_app.command()
def state(ctx: typer.Context) -> None:
    """Print the state as JSON.

    Example: oarlock pipeline demo state
    """
    inspecting.state(ctx.obj)


@pipeline_app.command()
def schema(
    ctx: typer.Context,
    schema_name: Annotated[
        str | None, typer.Argument(help="A schema.  [default: the default schema]", show_default=False)
    ] = None,
    form: Annotated[str, typer.Option("--format", help="yaml or json.")] = "yaml",
) -> None:
    """Print a schema.

    Example: oarlock pipeline demo schema --format json
    """
    inspecting.schema(ctx.obj, schema_name, form)


@pipeline_app.command()
def trace(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """Show what the last run did, step by step.

    Example: oarlock pipeline demo trace
    """
    inspecting.trace(ctx.obj, as_json)


@pipeline_app.command()
def packages(
    ctx: typer.Context,
    load_id: Annotated[str | None, typer.Argument(help="One package, told in full.", show_default=False)] = None,
    as_json: JsonOption = False,
) -> None:
    """List load packages, oldest first, or tell of one.

    Example: oarlock pipeline demo packages
    """
    inspecting.packages(ctx.obj, load_id, as_json)


@pipeline_app.command("failed-jobs")
def failed_jobs(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """List packages that cannot be loaded, with the reason. Exits 1 where there are any.

    Example: oarlock pipeline demo failed-jobs
    """
    inspecting.failed_jobs(ctx.obj, as_json)


@pipeline_app.command("drop-pending-packages")
def drop_pending_packages(ctx: typer.Context, yes: YesOption = False) -> None:
    """Set aside all packages that wait to be loaded. Their rows are gone for good.

    Example: oarlock pipeline demo drop-pending-packages --yes
    """
    inspecting.drop_pending_packages(ctx.obj, yes)


@pipeline_app.command()
def sync(ctx: typer.Context, destination: DestinationOption = None, dataset: DatasetOption = None) -> None:
    """Take over state and schemas from the destination; restores a pipeline whose folder is lost.

    Example: oarlock pipeline demo sync --destination duckdb:///demo.duckdb --dataset games
    """
    inspecting.sync(ctx.obj, destination, dataset)


@pipeline_app.command()
def drop(ctx: typer.Context, yes: YesOption = False) -> None:
    """Remove the working folder with all that waits in it; the destination is not touched.

    Example: oarlock pipeline demo drop --yes
    """
    inspecting.drop(ctx.obj, yes)


app.add_typer(pipeline_app, name="pipeline")


def main() -> Any:
    """Run the command; exit 0 done, 1 work failed, 2 wrong use."""
    try:
        app(standalone_mode=True)
    except Failure as failure:
        say(str(failure))
        sys.exit(1)
    except (WrongUse, ConfigurationError, InvalidPipelineName) as error:
        say(redact(str(error)))
        sys.exit(2)
    except OarlockError as error:
        say(redact(str(error)))
        sys.exit(1)
    except KeyboardInterrupt:
        say("interrupted; what was committed is kept, and loads with the next run")
        sys.exit(130)


__all__ = ["app", "main"]
