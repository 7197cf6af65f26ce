"""The reference, written from the code: a page of Markdown for each thing that is named in files,
on the command line and in the UI."""

from __future__ import annotations

import ast
import inspect
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, NamedTuple

from lc_platform import config
from lc_platform.config.keys import Key as ConfigurationKey
from lc_platform.config.keys import every_key
from lc_platform.config.keys import written as yaml_of

PACKAGE = Path(config.__file__).parents[1]


class Key(NamedTuple):
    """A key of the configuration."""

    path: str
    kind: str
    unit: str
    default: str
    text: str
    section: bool


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(one) for one in line) + " |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(str(text).replace("|", "\\|").split())


def code(text: str) -> str:
    """Return text as code, which Markdown leaves as it is; nothing of no text."""
    return f"`{text}`" if text else ""


# The configuration


def keys() -> Iterator[Key]:
    """Yield every key of the configuration, sections before what is in them."""
    lists = [one.path for one in every_key().values() if one.is_list]
    for one in every_key().values():
        path = one.path
        for several in lists:
            path = re.sub(rf"^{re.escape(several)}(?=\.)", f"{several}[]", path)
        section = one.section is not None
        yield Key(path, _kind(one), one.unit, _default(one), one.description, section)


def _default(key: ConfigurationKey) -> str:
    if key.is_required:
        return "required"
    return "" if key.section is not None or key.has_nothing else yaml_of(key.default)


def _kind(key: ConfigurationKey) -> str:
    if key.choices:
        return " or ".join(map(code, key.choices))
    return ", ".join(one for one in (key.type, key.limits) if one)


def configuration() -> str:
    """Return the page of the configuration's keys, a part for each section of the file."""
    page = [
        "# Configuration\n",
        "Every key of the file, with its type, its unit and its default. `lc-platform init` writes "
        "the same as a commented file, and `lc-platform config explain` says it of one key. A key "
        "in a list has `[]` in its path. An unknown key is refused with the nearest name.\n",
    ]
    parts: dict[str, list[Key]] = {"": []}
    for key in keys():
        top = key.path.partition(".")[0].removesuffix("[]")
        parts.setdefault(top if key.section or "." in key.path else "", []).append(key)
    for top, of in parts.items():
        page.append(f"## {top or 'The file'}\n" if not top else f"(config-{top})=\n## {top}\n")
        head, *rest = of if top else [None, *of]
        if head is not None:
            page.append(f"{_text(head.text)}\n")
        page.append(table(("key", "what it is", "default", "unit", "type"), map(_row, rest)))
    return "\n".join(page)


def _row(key: Key) -> tuple[str, ...]:
    name = f"[]{{#{anchor(key.path)}}}{code(key.path)}"
    default = key.default if key.default == "required" else code(key.default)
    return name, _text(key.text), default, key.unit, key.kind


def anchor(path: str) -> str:
    """Return the name by which a key is linked to."""
    return "key-" + re.sub(r"[^A-Za-z0-9]+", "-", path).strip("-")


def _text(text: str) -> str:
    """Return a docstring as Markdown: double backquotes are single ones, names with underscores
    and braces are left as they are."""
    text = text.replace("``", "`")
    parts = re.split(r"(`[^`]*`)", text)
    plain = [
        part if part.startswith("`") else re.sub(r"([\\*_{}<>\[\]$])", r"\\\1", part)
        for part in parts
    ]
    return "".join(plain)


# The command line


def commands() -> Mapping[str, Any]:
    """Return the commands of lc-platform by name, those of a group with the group's in front."""
    import typer

    from lc_platform import cli

    found: dict[str, Any] = {}
    own: Mapping[str, Any] = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]
    for name, command in own.items():
        found[name] = command
        inner: Mapping[str, Any] = getattr(command, "commands", {})
        found |= {f"{name} {one}": inner[one] for one in inner}
    return found


def command_line() -> str:
    """Return the page of the commands and their options."""
    page = [
        "# Command line\n",
        "`lc-platform` is also `python -m lc_platform`. Errors that you can mend are one message "
        "and exit status 1; 0 says that all that was asked for was done.\n",
    ]
    for name, command in sorted(commands().items()):
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        usage = " ".join(_written(p) for p in arguments)
        page.append(f"## {name}\n")
        page.append(f"`lc-platform {' '.join(filter(None, (name, '[OPTIONS]', usage)))}`\n")
        page.append(_text(inspect.cleandoc(command.help or "")) + "\n")
        options = [(_option(p), _text(p.help or "")) for p in command.params]
        rows = [(names, text, default) for (names, default), text in options]
        page.append(table(("option", "what it does", "default"), rows))
    return "\n".join(page)


def _written(argument: Any) -> str:
    name = (argument.metavar or argument.name).upper()
    name += "..." if argument.nargs == -1 else ""
    return name if argument.required else f"[{name}]"


def _option(parameter: Any) -> tuple[str, str]:
    if parameter.param_type_name == "argument":
        return code(_written(parameter)), code(str(parameter.default or ""))
    kind = "" if parameter.is_flag else f" {parameter.metavar or parameter.name.upper()}"
    names = ", ".join([*parameter.opts, *parameter.secondary_opts])
    default = parameter.default
    if parameter.is_flag or default is None or default == () or callable(default):
        default = ""
    if parameter.required:
        return code(names + kind), "required"
    variable = f" or `{parameter.envvar}`" if getattr(parameter, "envvar", None) else ""
    return code(names + kind), (code(str(default)) + variable).removeprefix(" or ")


# The assets, their files and their metadata


def assets() -> str:
    """Return the page of the assets."""
    from lc_platform import assets as declared
    from lc_platform.artefacts.layout import OPTIONAL, dimensions
    from lc_platform.artefacts.layout import key as stored_as
    from lc_platform.report.facts import OF_ASSETS

    page = [
        "# Assets\n",
        "Each row of [what is made](../pipeline.md) is a Dagster asset. Each partition of it is "
        "one object of the store. Dagster's UI shows the same, with pictures. "
        "[Metadata](metadata.md) says what the names mean.\n",
    ]
    for asset in declared.ALL:
        of = [d for d in ("patch", "year") if d in dimensions(asset.name)]
        page.append(f"(asset-{asset.name})=\n## {asset.name}\n")
        page.append(_text(inspect.getdoc(asset.body) or "") + "\n")
        rows = [
            ("partitions", " x ".join(of) or "none"),
            ("stored as", code(_place(stored_as(asset.name, "PATCH", 0)))),
            ("depends on", ", ".join(f"[{n}](#asset-{n})" for n in asset.inputs) or "nothing"),
            ("metadata", ", ".join(code(_shown(one)) for one in OF_ASSETS[asset.name])),
            ("group", asset.group),
            ("kinds", ", ".join(sorted(asset.kinds))),
            ("code version", code(asset.code_version)),
        ]
        if asset.name in OPTIONAL:
            rows.append(("made", "only where the configuration asks for it"))
        page.append(table(("", ""), rows))
    return "\n".join(page)


def _place(key: str) -> str:
    return re.sub(r"(?<=/)0(?=[/.]|$)", "{year}", key).replace("PATCH", "{patch}")


def files() -> str:
    """Return the page of the files of a store."""
    from lc_platform.artefacts.layout import FILES

    rows = [(code(path), _text(what[:1].upper() + what[1:] + ".")) for path, what in FILES.items()]
    return "\n".join([
        "# Files\n",
        "The layout is the same in a folder and in an object store. [Files and object "
        "stores](../storage.md) says how they are opened.\n",
        table(("file", "what is in it"), rows),
    ])  # fmt: skip


def metadata() -> str:
    """Return the page of the metadata that partitions have in the UI."""
    from lc_platform.report.facts import FACTS, OF_ASSETS, SHARE

    rows = []
    for name, fact in sorted(FACTS.items()):
        shown = _shown(name)
        unit = "percent" if fact.unit == SHARE else fact.unit
        of_record = "" if shown == name else f" (in a record {code(name)}, 0 to 1)"
        assets = [f"[{one}](#asset-{one})" for one, names in OF_ASSETS.items() if name in names]
        rows.append((code(shown) + of_record, _text(fact.what), unit, ", ".join(assets) or "all"))
    return "\n".join([
        "# Metadata\n",
        "These stand on the page of an asset's partition in Dagster's UI, and in the artefact's "
        "record below `.records/`. An artefact has those that apply to it.\n",
        table(("key", "what it says", "unit", "of"), rows),
    ])  # fmt: skip


def _shown(name: str) -> str:
    """Return the name of a fact as the UI shows it."""
    from lc_platform.report.facts import FACTS, SHARE

    share = FACTS[name].unit == SHARE
    return f"{name.removesuffix('_fraction')}_percent" if share else name


class MetricOf(NamedTuple):
    """A metric of Prometheus."""

    name: str
    kind: str
    labels: tuple[str, ...]
    text: str


def exported() -> list[MetricOf]:
    """Return every metric that `lc-platform metrics` serves, as it serves them of an empty store,
    and those of the web map, which it passes on."""
    import dagster as dg
    import yaml
    from prometheus_client import start_http_server

    from lc_platform.assets import ALL
    from lc_platform.commands.metrics import Exporter
    from lc_platform.platform import Platform
    from lc_platform.viewer.map_metrics import MapMetrics

    of_map = MapMetrics().registry
    server, _ = start_http_server(0, "127.0.0.1", registry=of_map)
    with tempfile.TemporaryDirectory() as folder:
        data = yaml.safe_load(config.template("simulated"))
        (Path(folder) / "data").mkdir()
        platform = Platform(config.parse(data, Path(folder)), [asset.recipe for asset in ALL])
        with dg.DagsterInstance.ephemeral() as instance:
            web_map = f"http://127.0.0.1:{server.server_port}/metrics"
            exporter = Exporter(instance, platform, web_map)
            exporter.refresh()
            families = [one for one in exporter.collect() if one.name not in _names(of_map)]
    server.shutdown()
    server.server_close()
    return sorted(_metric(one) for one in [*families, *of_map._collector_to_names])


def _names(registry: Any) -> set[str]:
    return {one.name for one in registry.collect()}


def _metric(one: Any) -> MetricOf:
    """Return what is said of a metric, whether it is collected already or not."""
    kind = getattr(one, "type", None) or one._type
    name = getattr(one, "name", None) or one._name
    text = one.documentation if hasattr(one, "documentation") else one._documentation
    return MetricOf(
        name + ("_total" if kind == "counter" else ""), kind, tuple(one._labelnames), text
    )


def metrics() -> str:
    """Return the page of the metrics."""
    rows = [
        (code(one.name), _text(one.text), ", ".join(map(code, one.labels)), one.kind)
        for one in exported()
    ]
    return "\n".join([
        "# Metrics\n",
        "`lc-platform metrics` serves these for Prometheus under `/metrics`; "
        "`infra/dashboards/` has a Grafana dashboard of them.\n",
        table(("metric", "what it counts", "labels", "type"), rows),
    ])  # fmt: skip


def literature() -> str:
    """Return the page of the publications that a report cites."""
    from lc_platform.report import references

    found: set[str] = set()
    for value in vars(references).values():
        values = value if isinstance(value, tuple) else (value,)
        found |= {one for one in values if isinstance(one, str) and re.search(r"\(\d{4}\)", one)}
    return "\n".join(["# Literature\n", *(f"- {_text(one)}" for one in sorted(found)), ""])


# Python


def modules() -> dict[str, str]:
    """Return the modules of the science by name, with the first sentence of each."""
    found = {}
    for one in iter_modules([str(PACKAGE / "eo")]):
        tree = ast.parse((PACKAGE / "eo" / f"{one.name}.py").read_text("utf-8"))
        found[one.name] = " ".join((ast.get_docstring(tree) or "").split("\n\n")[0].split())
    return found


def python() -> dict[str, str]:
    """Return the pages of what is imported, by name."""
    found = {
        "python": "\n".join([
            "# Python\n",
            "`lc_platform.open` reads what was made ([recipes](../how-to/read-results.md)); "
            "[the science](science.md) takes and returns arrays.\n",
            "```{eval-rst}\n.. autofunction:: lc_platform.open\n\n"
            ".. autoclass:: lc_platform.reading.reader.Reader\n   :members:\n```\n",
        ]),
        "science": "\n".join([
            "# The science\n",
            "`lc_platform.eo` knows neither Dagster nor files nor the configuration: arrays in, "
            "arrays out.\n",
            table(
                ("module", "what it does"),
                [(f"[{name}](eo/{name}.md)", _text(text)) for name, text in modules().items()],
            ),
            "```{toctree}\n:hidden:\n:glob:\n\neo/*\n```\n",
        ]),
    }  # fmt: skip
    for name in modules():
        found[f"eo/{name}"] = (
            f"# eo.{name}\n\n```{{eval-rst}}\n.. automodule:: lc_platform.eo.{name}\n"
            "   :members:\n   :member-order: bysource\n```\n"
        )
    return found


PAGES: Mapping[str, Callable[[], str]] = {
    "configuration": configuration,
    "command-line": command_line,
    "assets": assets,
    "files": files,
    "metadata": metadata,
    "metrics": metrics,
    "literature": literature,
}


def write(folder: Path) -> None:
    """Write all pages into a folder; those that are there already as they would be are left."""
    pages = {name: make() for name, make in PAGES.items()} | python()
    for name, text in pages.items():
        path = folder / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


_PARAMETER = re.compile(r"^(?P<names>[A-Za-z_*][\w*]*(?:, [A-Za-z_*][\w*]*)*) {2,}(?P<text>\S.*)$")


def parameters(lines: list[str]) -> list[str]:
    """Return the lines of a docstring with `name  what it is` as a definition each, as
    reStructuredText has them."""
    found: list[str] = []
    within = False
    for line in lines:
        matched = _PARAMETER.match(line)
        if matched:
            if not within and found and found[-1].strip():
                found.append("")
            found += [f"``{matched['names']}``", f"    {matched['text']}"]
            within = True
        elif within and line.startswith("  ") and line.strip():
            found.append(f"    {line.strip()}")
        else:
            if within and line.strip():
                found.append("")
            within = False
            found.append(line)
    return found
