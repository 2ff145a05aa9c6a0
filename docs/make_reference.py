"""Writes the pages of the reference that come from the code: ``python docs/make_reference.py``."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import typer
from reference_words import HIDDEN, NOTES, WAYS_OUT

import oarlock
from oarlock import current, destinations, errors, progress
from oarlock.cli.main import app
from oarlock.destinations import base
from oarlock.destinations.dataset import Dataset
from oarlock.destinations.relation import Relation
from oarlock.logs import reader
from oarlock.pipelines import info, trace
from oarlock.resources import Transformer
from oarlock.settings import Accessor

#: One argument or option, as its row of the table has it.
Parameter = dict[str, str]

FOLDER = Path(__file__).parent / "reference"
WRITTEN = "<!-- Written by docs/make_reference.py; a test keeps it so. -->"
#: A signature that is longer has a line for each argument.
SIGNATURE_WIDTH = 88
#: Below the head of a table of four columns.
TABLE_LINE = "| --- | --- | --- | --- |"
SECTIONS = ("Args", "Returns", "Raises", "Example")

#: What stands under each heading of the page of functions and classes.
API: tuple[tuple[str, str, tuple[tuple[str, Any], ...]], ...] = (
    (
        "Functions",
        "Names that begin with `oarlock.` are imported with `import oarlock`.",
        tuple((f"oarlock.{name}", getattr(oarlock, name)) for name in ("pipeline", "attach", "run")),
    ),
    ("Pipeline", "What `pipeline()` and `attach()` return.", (("oarlock.Pipeline", oarlock.Pipeline),)),
    (
        "Receipts",
        "What the steps return. Each prints itself for a person, and `asdict()` gives plain values.",
        tuple(
            (one.__name__, one)
            for one in (
                *(info.StepInfo, info.LoadInfo, info.ExtractInfo, info.NormalizeInfo),
                *(info.LoadPackageInfo, info.LoadJobInfo, info.LoadPackageId),
                *(trace.PipelineTrace, trace.StepTrace),
            )
        ),
    ),
    (
        "Datasets",
        "What `pipeline.dataset()` and `pipeline.sql_client()` give.",
        (("Dataset", Dataset), ("Relation", Relation), ("SqlClient", base.SqlClient), ("Cursor", base.Cursor)),
    ),
    (
        "Resources",
        "Where rows come from.",
        (
            *((f"oarlock.{name}", getattr(oarlock, name)) for name in ("resource", "transformer", "source")),
            ("oarlock.Resource", oarlock.Resource),
            ("Transformer", Transformer),
            ("oarlock.Source", oarlock.Source),
        ),
    ),
    (
        "oarlock.current",
        "What running code may ask about where it runs.",
        tuple((f"oarlock.current.{name}", getattr(current, name)) for name in current.__all__),
    ),
    (
        "oarlock.destinations",
        "Where rows go. Making one imports no driver, connects to nothing and reads no secret.",
        tuple((f"oarlock.destinations.{name}", getattr(destinations, name)) for name in destinations.__all__),
    ),
    (
        "oarlock.progress",
        "Collectors by name, with their options, for `progress=…`.",
        (
            *((f"oarlock.progress.{name}", getattr(progress, name)) for name in progress.__all__),
            ("oarlock.Collector", oarlock.Collector),
        ),
    ),
    (
        "oarlock.config and oarlock.secrets",
        "Two accessors: `oarlock.config` for settings, `oarlock.secrets` for secrets.",
        (("Accessor", Accessor),),
    ),
    ("Schemas", "What `pipeline.schemas` and `pipeline.default_schema` give.", (("oarlock.Schema", oarlock.Schema),)),
    (
        "Logs",
        "In `oarlock.logs.reader`.",
        tuple((f"oarlock.logs.reader.{name}", getattr(reader, name)) for name in ("read_folder", "read", "log_files")),
    ),
)
#: Classes that users make by other means than by calling the class.
MADE_ELSEWHERE = {Dataset, Relation, oarlock.Pipeline, oarlock.Resource, Transformer, Accessor, oarlock.Schema}


def errors_page() -> str:
    """Write the page of errors."""
    tree = re.search(r"OarlockError\n(?:[├└│ ].*\n)+", str(errors.__doc__))
    assert tree is not None
    names = re.findall(r"^[├└│─ ]*(\w+)", tree[0], re.MULTILINE)
    parts = [
        f"# Errors\n\n{WRITTEN}",
        "Import them from `oarlock.exceptions`, or as `oarlock.<name>`.\n"
        "Each also is the builtin error that stands in parentheses.\n"
        "All keep their facts as attributes, and pickle, so that they travel between processes.",
        "What a call of `run()` raises is mostly [`PipelineStepFailed`](#pipelinestepfailed), "
        "with one of the others as its `__cause__`.",
        f"```\n{tree[0].rstrip()}\n```",
    ]
    for name in names:
        error = getattr(errors, name)
        parts.append(f"## {name}")
        parts += _docstring(error)
        if facts := _facts(error):
            parts.append(f"Facts: {', '.join(f'`{fact}`' for fact in facts)}.")
        parts.append("\n".join(_sentences(WAYS_OUT[name])))
    return "\n\n".join(parts) + "\n"


def _facts(error: type[BaseException]) -> list[str]:
    makers = [one for one in error.__mro__ if "__init__" in vars(one) and issubclass(one, errors.OarlockError)]
    found = [name for one in reversed(makers) for name in re.findall(r"self\.(\w+)", _assigned(one))]
    return list(dict.fromkeys(found))


def _assigned(error: type[BaseException]) -> str:
    """Give the left sides of what the constructor assigns."""
    source = inspect.getsource(vars(error)["__init__"])
    return "\n".join(re.findall(r"^\s*(self\.[\w., ]+?) = ", source, re.MULTILINE))


def cli_page() -> str:
    """Write the page of the command."""
    parts = [
        f"# The command\n\n{WRITTEN}",
        "Data goes to stdout, words to stderr; `--json` prints one JSON document for programs.\n"
        "Exit codes: 0 done, 1 work failed, 2 wrong use, 130 interrupted by Ctrl-C.\n"
        "`--help` after any command says what stands here.\n"
        "Options of `oarlock pipeline` itself stand before the verb: `oarlock pipeline demo --pipelines-dir out info`.",
    ]
    for path, command, inherited in _commands("oarlock", typer.main.get_command(app), []):
        parts.append(f"## {path}")
        text, _, example = (command.help or "").partition("\n\nExample: ")
        parts.append("\n".join(_sentences(text)))
        own = [_parameter(one) for one in command.params]
        usage = " ".join([path, *(one["usage"] for one in [*inherited, *own] if one["usage"])])
        names = path.split()
        if len(names) > 2:  # the name of the pipeline stands before the verb
            usage = " ".join([*names[:-1], *(one["usage"] for one in inherited if one["usage"]), names[-1]])
            usage += "".join(f" {one['usage']}" for one in own if one["usage"])
        usage += " [OPTIONS]" if any(not one["usage"] for one in own) else ""
        usage += " COMMAND …" if hasattr(command, "commands") else ""
        parts.append(f"Usage: `{usage}`")
        if example:
            parts.append(f"Example: `{example}`")
        if own:
            rows = [f"| {one['names']} | {one['default']} | {one['variable']} | {one['help']} |" for one in own]
            parts.append("\n".join(["| argument or option | default | variable | what it does |", TABLE_LINE, *rows]))
    return "\n\n".join(parts) + "\n"


def _commands(path: str, command: Any, inherited: list[Parameter]) -> Iterator[tuple[str, Any, list[Parameter]]]:
    yield path, command, inherited
    below = [*inherited, *map(_parameter, command.params)] if path != "oarlock" else inherited
    for name, one in getattr(command, "commands", {}).items():
        yield from _commands(f"{path} {name}", one, below)


def _parameter(one: Any) -> Parameter:
    is_option = one.opts[0].startswith("-")
    text = (one.help or "").replace("\\[", "[").strip()
    said = re.search(r"\s*\[default: (.+?)\]", text)
    default = said[1] if said else one.default
    flag = getattr(one, "is_flag", False)
    names = ", ".join(f"`{name}`" for name in one.opts) if is_option else f"`{one.name.upper()}`"
    usage = "" if is_option else f"{one.name.upper()}{'…' if one.nargs == -1 else ''}"
    return {
        "names": names,
        "default": "required" if one.required else "" if flag or default is None else f"`{default}`",
        "variable": f"`{one.envvar}`" if one.envvar else "",
        "help": text.replace(said[0], "") if said else text,
        "usage": usage if is_option or one.required else f"[{usage}]",
    }


def api_page() -> str:
    """Write the page of functions and classes."""
    parts = [
        f"# Functions and classes\n\n{WRITTEN}",
        "This is what is public, with its arguments and what it raises; every other name may change.\n"
        "Errors have [a page of their own](errors.md): they are in `oarlock.exceptions`.\n"
        "`oarlock.__version__` is the version.",
        "\n".join(f"- [{title}](#{slug(title)})" for title, _, _ in API),
    ]
    for title, text, members in API:
        parts += [f"## {title}", "\n".join(_sentences(text))]
        for name, one in members:
            parts += _class(name, one) if inspect.isclass(one) else _function(name, one, level=3)
    return "\n\n".join(parts) + "\n"


def slug(title: str) -> str:
    """Give the anchor that a heading gets."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _class(name: str, one: Any) -> list[str]:
    parts = [f"### {name}", *_docstring(one)]
    if name in NOTES:
        parts.append(NOTES[name])
    short = name.split(".")[-1]
    fields = [f for f in dataclasses.fields(one) if not f.name.startswith("_")] if dataclasses.is_dataclass(one) else []
    fields = [] if one is Relation else fields
    if fields:
        parts.append("Fields:\n\n" + "\n".join(f"- `{field.name}`: `{field.type}`" for field in fields))
    elif "__init__" in vars(one) and one not in MADE_ELSEWHERE and not getattr(one, "_is_protocol", False):
        parts.append(_block(_signature(short, one.__init__)))
    hidden = {field.name for field in fields} | {one.split(".")[1] for one in HIDDEN if one.split(".")[0] == short}
    members = {key: value for key, value in _members(one) if key not in hidden}
    properties = {key: value for key, value in members.items() if isinstance(value, property)}
    if properties:
        shown = ((key, _returns(each.fget), _flat(f"{short}.{key}", each)) for key, each in properties.items())
        lines = [f"- `{key}`: `{returns}`{said}" for key, returns, said in shown]
        parts.append("Properties:\n\n" + "\n".join(lines))
    methods = {key: value for key, value in members.items() if key not in properties}
    if one is oarlock.Pipeline:
        for key, value in methods.items():
            parts += _function(f"{short}.{key}", value, level=4)
    elif methods:
        lines = [f"- `{_line(key, each)}`{_flat(f'{short}.{key}', each)}" for key, each in methods.items()]
        parts.append("Methods:\n\n" + "\n".join(lines))
    return parts


def _members(one: Any) -> Iterator[tuple[str, Any]]:
    """Give the public members that a class has of its own, in the order of its source."""
    parts = [part for part in reversed(one.__mro__) if part.__name__ == f"{one.__name__}Facts" or part is one]
    for key, value in [pair for part in parts for pair in vars(part).items()]:
        if key.startswith("_"):
            continue
        if isinstance(value, classmethod | staticmethod):
            value = value.__func__
        if isinstance(value, property) or inspect.isfunction(value):
            yield key, value


def _returns(function: Any) -> str:
    found = inspect.signature(function).return_annotation
    return found if isinstance(found, str) else getattr(found, "__name__", str(found))


def _flat(name: str, one: Any) -> str:
    """Say a docstring within one line of a list."""
    said = " ".join([*_docstring(one), *([NOTES[name]] if name in NOTES else [])])
    said = " ".join(re.sub(r"Raises:\s+- ", "Raises ", said).replace("\n- ", "; ").split())
    return f". {said}" if said else ""


def _function(name: str, one: Any, *, level: int) -> list[str]:
    parts = [f"{'#' * level} {name}", _block(_signature(name.split(".")[-1], one)), *_docstring(one)]
    return [*parts, NOTES[name]] if name in NOTES else parts


def _block(signature: str) -> str:
    return f"```py\n{signature}\n```"


def _line(name: str, one: Callable[..., Any]) -> str:
    begin, arguments, end = _parts(name, one)
    return f"{begin}({', '.join(arguments)}){end}"


def _signature(name: str, one: Callable[..., Any]) -> str:
    begin, arguments, end = _parts(name, one)
    line = _line(name, one)
    if len(line) <= SIGNATURE_WIDTH:
        return line
    return f"{begin}(\n" + "".join(f"    {argument},\n" for argument in arguments) + f"){end}"


def _parts(name: str, one: Callable[..., Any]) -> tuple[str, list[str], str]:
    signature = inspect.signature(inspect.unwrap(one))
    shown: list[str] = []
    parameters = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
    has_rest = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and not has_rest:
            shown, has_rest = [*shown, "*"], True
        stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else ""
        stars = "**" if parameter.kind is parameter.VAR_KEYWORD else stars
        annotation = "" if parameter.annotation is parameter.empty else f": {parameter.annotation}"
        default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
        shown.append(f"{stars}{parameter.name}{annotation}{default}")
        if parameter.kind is parameter.POSITIONAL_ONLY:
            shown.append("/")
    returns = signature.return_annotation
    return name, shown, "" if returns is signature.empty or name[0].isupper() else f" -> {returns}"


def _docstring(one: Any) -> list[str]:
    """Turn a docstring into paragraphs of Markdown, one sentence a line."""
    text = inspect.getdoc(one) if not inspect.isclass(one) else inspect.cleandoc(vars(one).get("__doc__") or "")
    if not text:
        return []
    parts: list[str] = []
    section, lines = "", list[str]()
    for line in [*text.splitlines(), "End:"]:
        begins = re.fullmatch(r"(\w+):", line)
        if begins and begins[1] in (*SECTIONS, "End"):
            parts += _section(section, lines)
            section, lines = begins[1], []
        else:
            lines.append(line)
    return parts


def _section(section: str, lines: list[str]) -> list[str]:
    text = inspect.cleandoc("\n".join(lines)).strip()
    if not text:
        return []
    if section in ("Args", "Raises"):
        return [f"{'Arguments' if section == 'Args' else 'Raises'}:\n\n{_entries(text, links=section == 'Raises')}"]
    parts = [_paragraph(part) for part in re.split(r"\n\s*\n", text)]
    if section:
        parts[0] = f"{section}: {parts[0]}"
    return parts


def _paragraph(text: str) -> str:
    if text.startswith(">>>"):
        return f"```pycon\n{text}\n```"
    return "\n".join(_sentences(" ".join(text.split())))


def _entries(text: str, *, links: bool) -> str:
    entries: list[str] = []
    for line in text.splitlines():
        if line.startswith(" ") and entries:
            entries[-1] += f" {line.strip()}"
        else:
            entries.append(line.strip())
    return "\n".join(_entry(entry, links=links) for entry in entries)


def _entry(entry: str, *, links: bool) -> str:
    names, colon, said = entry.partition(": ")
    if not colon:
        return f"- {_markdown(entry)}"
    shown = [_linked(name.strip()) if links else f"`{name.strip()}`" for name in names.split(", ")]
    return f"- {', '.join(shown)}: {_markdown(said)}"


def _linked(name: str) -> str:
    return f"[`{name}`](errors.md#{slug(name)})" if hasattr(errors, name) else f"`{name}`"


def _sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.?!]) (?=[A-Z`])", _markdown(text))


def _markdown(text: str) -> str:
    text = re.sub(r":\w+:`(?:\w+\.)*(\w+)`", r"`\1`", text)
    return text.replace("``", "`")


PAGES: dict[str, Callable[[], str]] = {"api.md": api_page, "cli.md": cli_page, "errors.md": errors_page}

if __name__ == "__main__":
    for name, write in PAGES.items():
        (FOLDER / name).write_text(write(), encoding="utf-8")
