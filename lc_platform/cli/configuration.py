"""`lc-platform config`: the effective configuration, what a key is, whether a file is valid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from lc_platform.cli.console import out, tell_problem, warn
from lc_platform.config import ENVIRONMENT_VARIABLE, Config, ConfigError, current, load

app = typer.Typer(
    help="Show the effective configuration, explain a key, check a file.",
    invoke_without_command=True,
    add_completion=False,
)
_File = Annotated[
    Path | None,
    typer.Option(
        "-c", "--config", envvar=ENVIRONMENT_VARIABLE, help="The configuration file (YAML)."
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="Print it as JSON, for programs.")]


def _read(file: Path | None) -> Config:
    return current() if file is None else load(file)


@app.callback()
def show(context: typer.Context, config: _File = None, as_json: _Json = False) -> None:
    """Print every key with its value, as YAML that loads again; `# default` is beside what has its
    default. Secrets stay ${NAME}. Without a file it is the demo's."""
    if context.invoked_subcommand is not None:
        return
    from lc_platform.config.effective import defaults, effective, effective_yaml

    found = _read(config)
    if as_json:
        print(json.dumps({"configuration": effective(found), "default": defaults(found)}, indent=1))
    else:
        print(effective_yaml(found), end="")


@app.command()
def explain(
    key: Annotated[str, typer.Argument(help="In full, for example imagery.max_cloud_cover.")],
    config: _File = None,
    as_json: _Json = False,
) -> None:
    """Say what a key is: its type, unit, default and allowed values, and which assets' versions
    depend on it in a configuration (without a file, the demo's)."""
    from lc_platform.commands import explain as explaining

    found = explaining.explain(key, _read(config))
    if as_json:
        print(json.dumps(found.to_dict(), indent=1, ensure_ascii=False))
        return
    rows = {
        "type": ", ".join(one for one in (found.type, found.limits) if one),
        "unit": found.unit,
        "default": "none, it has to be given" if found.required else found.default or "nothing",
        "here": found.value or "nothing",
        "example": found.example,
    }
    if found.keys:
        rows = {"type": found.type, "keys": ", ".join(found.keys)}
    else:
        rows["version"] = _dependence(
            found.data, found.appearance, found.downstream, found.compared
        )
    out.print(found.key, style="bold", markup=False)
    if found.description:
        out.print(f"  {found.description}", markup=False)
    for name, value in rows.items():
        if value:
            out.print(f"  {name + ':':9} {value}", markup=False)


def _dependence(
    data: tuple[str, ...], appearance: tuple[str, ...], downstream: tuple[str, ...], compared: bool
) -> str:
    """Say which artefacts another value makes stale."""
    if not compared:
        return "not known, as no other value fits this configuration"
    sentences = []
    if data:
        after = f", and so of what is made of them: {', '.join(downstream)}" if downstream else ""
        sentences.append(f"counts towards that of {', '.join(data)}{after}")
    if appearance:
        sentences.append(f"counts towards the appearance of {', '.join(appearance)}")
    return "; ".join(sentences) or "counts towards none: another value makes nothing stale here"


@app.command()
def check(
    file: Annotated[
        Path, typer.Argument(envvar=ENVIRONMENT_VARIABLE, help="The configuration file (YAML).")
    ],
    as_json: _Json = False,
) -> None:
    """Read a file and say what is wrong with it: fast, and without network. `lc-platform check`
    also looks at the area, the reference, the archive and the store."""
    from lc_platform.config.effective import unset_variables

    problems: list[str] = []
    warnings: list[str] = []
    try:
        found = load(file)
    except ConfigError as error:
        problems = [line for line in str(error).splitlines() if line != f"{file}:"]
    else:
        warnings = [*found.doubts, *unset_variables(found)]
    if as_json:
        told = {"file": str(file), "valid": not problems, "problems": problems}
        print(json.dumps({**told, "warnings": warnings}, indent=1, ensure_ascii=False))
    else:
        for warning in warnings:
            warn(warning)
        for problem in problems:
            tell_problem(problem)
        count = len(problems)
        said = f"{count} {'error' if count == 1 else 'errors'}" if problems else "valid"
        out.print(f"{file}: {said}", markup=False)
    if problems:
        raise typer.Exit(1)


@app.command()
def schema(
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A file; standard output by default.")
    ] = None,
) -> None:
    """Print the JSON Schema of the configuration, by which editors complete and check it."""
    from lc_platform.config.json_schema import stored_schema

    if output is None:
        print(stored_schema(), end="")
        return
    try:
        output.write_text(stored_schema(), encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{output}: cannot be written ({error.strerror}). Give another file"
        ) from error
    out.print(f"{output} is written.", markup=False)
