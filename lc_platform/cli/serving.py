"""The commands that serve until they are stopped: `metrics`, `ui` and `map`."""

from __future__ import annotations

import os
import re
import sys
from typing import Annotated

import typer

from lc_platform.cli.console import ConfigFile, ConfigFileIfAny, out, warn
from lc_platform.config import ENVIRONMENT_VARIABLE, MAP_PATH, load
from lc_platform.errors import PlatformError
from lc_platform.runtime import signals

_UI_ENDS = 25.0
"""Seconds that Dagster's UI is given to end."""
Host = Annotated[str, typer.Option(help="The address it listens on.")]


def metrics(
    config: ConfigFile,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port.")] = 9464,
    host: Host = "127.0.0.1",
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two refreshes.")] = 60.0,
    web_map: Annotated[
        str | None,
        typer.Option(
            "--map",
            help="The web map's own metrics, for example http://127.0.0.1:3002/metrics: they are "
            "passed on, with whether it answers.",
        ),
    ] = None,
) -> None:
    """Serve metrics for Prometheus, under /metrics."""
    from lc_platform.commands import metrics as exporter

    if web_map is not None and not re.match(r"https?://[^/]", web_map):
        raise PlatformError(
            f"--map {web_map}: is no URL. Give for example http://127.0.0.1:3002/metrics"
        )
    exporter.run(load(config), port=port, host=host, every=every, web_map=web_map)


def ui(
    config: ConfigFile,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port of the web UI.")] = 3000,
    host: Host = "127.0.0.1",
) -> None:
    """Open Dagster's web UI on a configuration, with its history, and the web map under /map."""
    configuration = load(config)
    from lc_platform.commands import ports
    from lc_platform.commands import run as running
    from lc_platform.commands.instance import HOME_VARIABLE, dagster_home
    from lc_platform.commands.launch import workspace

    ports.expect_free(host, port)
    for warning in running.check(configuration):
        warn(warning)
    home = dagster_home(configuration)
    environment = {
        **os.environ,
        ENVIRONMENT_VARIABLE: str(config.resolve()),
        HOME_VARIABLE: str(home.absolute()),
    }
    address = f"http://{ports.in_url(host)}:{port}"
    out.print(
        f"Dagster's UI comes up at {address} in half a minute, and the map at "
        f"{address}{MAP_PATH}/; Ctrl+C ends both."
    )
    file = str(workspace(home.resolve()))
    webserver = sys.executable, "-m", "lc_platform.viewer.beside_dagster", file, host, str(port)
    daemon = sys.executable, "-m", "dagster._daemon", "run", "-w", file
    raise typer.Exit(signals.supervised([webserver, daemon], environment, _UI_ENDS))


def web_map(
    context: typer.Context,
    config: ConfigFileIfAny,
    store: Annotated[
        str | None,
        typer.Argument(
            help="A store, where there is no configuration: a folder, or s3://, gs:// or az:// "
            "with a bucket and a prefix."
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port.")] = 3002,
    host: Host = "127.0.0.1",
    path: Annotated[str, typer.Option(help="The path that the map lies below.")] = MAP_PATH,
    dagster: Annotated[
        str | None, typer.Option(help="The address of Dagster's UI, for links to it.")
    ] = None,
    user_header: Annotated[
        str | None,
        typer.Option(
            help="The header in which the proxy in front says who is logged in; nobody else may "
            "reach the port."
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="Another name by which it may be asked, where it listens on 127.0.0.1 and no "
            "--user-header is given; may be repeated."
        ),
    ] = None,
) -> None:
    """Serve the web map of a configuration, or of a store."""
    given = context.get_parameter_source("config")
    # What the environment names gives way to a store that is named here.
    if store is not None and given is not None and given.name == "COMMANDLINE":
        raise PlatformError("give either a store or --config, which names its own store")
    source = config if store is None else store
    if source is None:
        raise PlatformError(
            "nothing to show is named. Give a configuration (-c lc-platform.yaml), or a store"
        )
    path = path.rstrip("/")
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", path):
        raise PlatformError(f"--path {path}: is no path. Give for example {MAP_PATH}")
    from lc_platform.commands import ports

    with ports.listening(host, port) as listening:
        from lc_platform.reading.reader import opened
        from lc_platform.viewer import server
        from lc_platform.viewer.hosts import is_this_machine

        reader = opened(source)
        if doubt := server.doubt(reader):
            warn(doubt)
        app = server.app_of(
            reader, dagster=dagster, user_header=user_header, hosts=allow_host or ()
        )
        is_open = user_header is not None or not is_this_machine(ports.in_url(host))
        out.print(f"The map is at {ports.url(host, listening)}{path}/; Ctrl+C ends it.")
        hosts = None if is_open else allow_host or ()
        running = server.server_of(app, path=path, hosts=hosts, proxied=user_header is not None)
        server.serve(running, listening)
    if signals.Ended.signal:
        raise typer.Exit(signals.status())
