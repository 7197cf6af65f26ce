"""infra/helm/values.yaml. What the values become is checked against the classes that the chart
configures and, where LC_PLATFORM_DAGSTER_CHART names the chart's folder or .tgz, in the chart."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from click.testing import CliRunner
from dagster._cli.instance import migrate_command
from dagster._config import validate_config
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.instance.config import dagster_instance_config_schema
from dagster._core.instance.ref import InstanceRef
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.storage.dagster_run import DagsterRun
from dagster._core.workspace.load import location_origins_from_yaml_paths
from typer.testing import CliRunner as TyperRunner

from lc_platform.cli import app
from lc_platform.config import FILE_NAME
from lc_platform_tests.infra import servers
from lc_platform_tests.infra.deployment import deploy
from lc_platform_tests.production.areas import Area

CHART = "LC_PLATFORM_DAGSTER_CHART"
OF_THE_CHART = {
    "global", "generatePostgresqlPasswordSecret", "postgresql", "rabbitmq", "redis", "flower",
    "telemetry", "migrate", "dagsterWebserver", "dagsterDaemon", "dagster-user-deployments",
    "runLauncher", "computeLogManager", "retention", "additionalInstanceConfig", "serviceAccount",
    "imagePullSecrets", "pythonLogs",
}  # fmt: skip
OF_EVERY_POD = {"AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_S3", "LC_PLATFORM_BUCKET"}
MEMORY_OF_A_RUN = "4Gi"


@pytest.fixture
def values(infra: Path) -> Any:
    return yaml.safe_load((infra / "helm" / "values.yaml").read_text(encoding="utf-8"))


def strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [s for v in value.values() for s in strings(v)]
    if isinstance(value, list):
        return [s for v in value for s in strings(v)]
    return [value] if isinstance(value, str) else []


def snake(value: Any) -> Any:
    """Keys of the chart as Dagster names them."""
    if isinstance(value, dict):
        return {"".join(f"_{c.lower()}" if c.isupper() else c for c in k): snake(v)
                for k, v in value.items()}  # fmt: skip
    return [snake(v) for v in value] if isinstance(value, list) else value


def launcher_settings(values: Any) -> Any:
    """Of the run launcher, as the chart writes them into dagster.yaml."""
    given = snake(values["runLauncher"]["config"]["k8sRunLauncher"])
    given["env_secrets"] = [secret["name"] for secret in given["env_secrets"]]
    return given | {
        "job_namespace": "platform",
        "service_account_name": values["global"]["serviceAccountName"],
        "dagster_home": values["global"]["dagsterHome"],
        "instance_config_map": "lc-platform-dagster-instance",
        "postgres_password_secret": values["global"]["postgresqlSecretName"],
    }


def job_of_a_run(
    launcher: Any, image: str, context: Any = None, tags: Mapping[str, str] | None = None
) -> Any:
    """The Kubernetes job that a launcher makes for a run of a code location; it is valid."""
    k8s = servers.module("dagster_k8s.job", "dagster-k8s")
    kubernetes_validate = servers.module("kubernetes_validate", "kubernetes-validate")
    location = RepositoryPythonOrigin(
        executable_path="python",
        code_pointer=ModuleCodePointer("lc_platform.definitions", "defs"),
        container_image=image,
        container_context=context,
    )
    run = DagsterRun("maps", job_code_origin=JobPythonOrigin("maps", location), tags=tags)
    settings = launcher.get_container_context_for_run(run)
    job = k8s.construct_dagster_k8s_job(
        settings.get_k8s_job_config(job_image=image, run_launcher=launcher),
        args=["dagster", "api", "execute_run"],
        job_name="dagster-run-1",
        user_defined_k8s_config=settings.run_k8s_config,
    )
    client = servers.module("kubernetes.client", "kubernetes")
    written = client.ApiClient().sanitize_for_serialization(job)
    kubernetes_validate.validate(written, "1.33", strict=True)
    return written


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Launchers can be made although there is no cluster."""
    config = servers.module("kubernetes.config", "kubernetes")
    monkeypatch.setattr(config, "load_incluster_config", lambda: None)


def assert_restricted(pod: Any) -> None:
    """The pod security standard "restricted", and no container without limits."""
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        rights = container["securityContext"]
        assert rights == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        assert container["resources"]["requests"], container["name"]
        assert container["resources"]["limits"]["memory"], container["name"]


def names(variables: Any) -> set[str]:
    return {variable["name"] for variable in variables}


def test_every_section_is_one_of_the_chart(values: Any) -> None:
    assert set(values) <= OF_THE_CHART


def test_no_password_is_in_the_values(values: Any) -> None:
    assert values["postgresql"]["enabled"] is False
    assert "postgresqlPassword" not in values["postgresql"]
    assert values["generatePostgresqlPasswordSecret"] is False
    assert values["global"]["postgresqlSecretName"]
    secrets = values["dagster-user-deployments"]["deployments"][0]["envSecrets"]
    assert [s["name"] for s in secrets] == ["lc-platform-object-store", "lc-platform-imagery"]


def test_every_process_is_of_the_same_image_and_no_root(values: Any) -> None:
    parts = [values["dagsterWebserver"], values["dagsterDaemon"],
             *values["dagster-user-deployments"]["deployments"]]  # fmt: skip
    assert len({str(p["image"]) for p in parts}) == 1
    assert parts[0]["image"]["tag"] != "latest"
    for part in parts:
        container = {"name": "main", **part}
        assert_restricted(
            {"securityContext": part["podSecurityContext"], "containers": [container]}
        )
    for part in parts[:2]:  # the chart puts others before these
        assert part["initContainerResources"]["limits"]["memory"]


def test_the_database_is_migrated_by_the_image_before_the_daemon_starts(values: Any) -> None:
    """The chart's own job cannot be upgraded."""
    assert values["migrate"]["enabled"] is False
    daemon = values["dagsterDaemon"]
    (migrate,) = daemon["extraPrependedInitContainers"]
    assert migrate["image"] == "{repository}:{tag}".format(**daemon["image"])
    assert migrate["command"] == ["dagster", "instance", "migrate"]
    assert_restricted({"securityContext": daemon["podSecurityContext"], "containers": [migrate]})
    password, bucket = migrate["env"]
    secret = password["valueFrom"]["secretKeyRef"]["name"]
    assert secret == values["global"]["postgresqlSecretName"]
    assert bucket in daemon["env"]
    (mount,) = migrate["volumeMounts"]
    assert mount["mountPath"] == f"{values['global']['dagsterHome']}/dagster.yaml"


def test_the_code_location_is_checked_by_the_image_before_it_starts(values: Any) -> None:
    (location,) = values["dagster-user-deployments"]["deployments"]
    (check,) = location["initContainers"]
    assert check["image"] == "{repository}:{tag}".format(**location["image"])
    assert check["command"] == ["lc-platform", "check", "--deployment"]
    assert check["resources"] == location["resources"]
    assert_restricted({"securityContext": location["podSecurityContext"], "containers": [check]})
    password, *variables = check["env"]
    assert password["name"] == "DAGSTER_PG_PASSWORD"
    assert [v for v in variables if v not in location["env"]] == []
    assert OF_EVERY_POD | {"LC_PLATFORM_CONFIG"} == names(variables)
    assert check["envFrom"] == [{"secretRef": secret} for secret in location["envSecrets"]]
    mounts = [m for m in check["volumeMounts"] if m["name"] != "dagster-instance"]
    assert mounts == location["volumeMounts"]


@pytest.mark.parametrize("name", ["metrics", "map"])
def test_what_stands_beside_the_chart_is_of_the_same_image_and_settings(
    infra: Path, values: Any, name: str
) -> None:
    kubernetes_validate = servers.module("kubernetes_validate", "kubernetes-validate")
    text = (infra / "helm" / f"{name}.yaml").read_text(encoding="utf-8")
    deployment, service = objects = list(yaml.load_all(text, OnceOnly))
    for one in objects:
        kubernetes_validate.validate(one, "1.33", strict=True)
    pod = deployment["spec"]["template"]
    labels = pod["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels == service["spec"]["selector"]
    assert_restricted(pod["spec"])
    assert pod["spec"]["serviceAccountName"] == values["global"]["serviceAccountName"]
    assert pod["spec"]["imagePullSecrets"] == values["imagePullSecrets"]
    (container,) = pod["spec"]["containers"]
    (location,) = values["dagster-user-deployments"]["deployments"]
    (check,) = location["initContainers"]
    for part in ("image", "env", "envFrom", "volumeMounts"):
        assert container[part] == check[part], part
    assert pod["spec"]["volumes"] == location["volumes"]
    assert container["command"][:2] == ["lc-platform", name]
    (port,) = container["ports"]
    (served,) = service["spec"]["ports"]
    command = container["command"]
    assert command[command.index("--port") + 1] == str(port["containerPort"])
    assert served["targetPort"] == port["name"]
    if name == "metrics":
        scraped = service["metadata"]["annotations"]["prometheus.io/port"]
        assert scraped == str(served["port"]) == str(port["containerPort"])
        _, of_map = yaml.safe_load_all((infra / "helm" / "map.yaml").read_text(encoding="utf-8"))
        assert of_map["spec"]["ports"][0]["port"] == 80
        assert command[command.index("--map") + 1] == (
            f"http://{of_map['metadata']['name']}/metrics"
        )


def test_runs_write_the_same_lines_as_on_plain_machines(infra: Path, values: Any) -> None:
    file = infra / "compose" / "dagster.yaml"
    theirs = yaml.safe_load(file.read_text(encoding="utf-8"))["python_logs"]
    assert snake(values["pythonLogs"]) == theirs
    assert "python_logs" not in values["additionalInstanceConfig"]


def test_runs_are_launched_as_the_launcher_understands(values: Any) -> None:
    launcher = servers.module("dagster_k8s", "dagster-k8s").K8sRunLauncher
    result = validate_config(launcher.config_type(), launcher_settings(values))
    assert result.success, result.errors


@pytest.mark.usefixtures("cluster")
def test_a_run_has_its_own_resources_and_the_code_locations_settings(values: Any) -> None:
    """What the code location hands to its runs would win over what the launcher gives them."""
    launcher = servers.module("dagster_k8s", "dagster-k8s").K8sRunLauncher
    (location,) = values["dagster-user-deployments"]["deployments"]
    assert location["includeConfigInLaunchedRuns"]["enabled"] is False
    job = job_of_a_run(launcher(**launcher_settings(values)), "lc-platform:0.1.0")
    spec = job["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert_restricted(pod)
    assert container["resources"]["limits"]["memory"] == MEMORY_OF_A_RUN
    assert names(location["env"]) | {"DAGSTER_HOME", "DAGSTER_PG_PASSWORD"} <= names(
        container["env"]
    )
    assert [{"secretRef": secret} for secret in location["envSecrets"]] == container["envFrom"]
    assert [m for m in container["volumeMounts"] if m in location["volumeMounts"]]
    assert [v for v in pod["volumes"] if v in location["volumes"]]
    assert spec["backoffLimit"] == 0
    assert spec["ttlSecondsAfterFinished"] == 86400


@pytest.mark.usefixtures("cluster")
def test_the_tag_of_a_run_wins_over_what_all_runs_get(values: Any) -> None:
    launcher = servers.module("dagster_k8s", "dagster-k8s").K8sRunLauncher
    tag = {"container_config": {"resources": {"limits": {"memory": "16Gi"}}}}
    job = job_of_a_run(
        launcher(**launcher_settings(values)),
        "lc-platform:0.1.0",
        tags={"dagster-k8s/config": json.dumps(tag)},
    )
    resources = job["spec"]["template"]["spec"]["containers"][0]["resources"]
    assert resources["limits"]["memory"] == "16Gi"
    assert resources["requests"]["memory"] == "3Gi"


def test_every_process_gets_the_same_variables(values: Any) -> None:
    parts = [values["dagsterWebserver"], values["dagsterDaemon"],
             *values["dagster-user-deployments"]["deployments"],
             values["runLauncher"]["config"]["k8sRunLauncher"]["runK8sConfig"]["containerConfig"],
             ]  # fmt: skip
    for part in parts:
        assert part["env"] == parts[0]["env"]
    assert OF_EVERY_POD | {"LC_PLATFORM_CONFIG"} <= names(parts[0]["env"])


def test_dagster_takes_the_queue_and_the_limits_together(values: Any, tmp_path: Path) -> None:
    """A limit of the queue's own next to `concurrency` would stop every process at its start."""
    coordinator = values["dagsterDaemon"]["runCoordinator"]
    settings = {
        **values["additionalInstanceConfig"],
        "run_coordinator": coordinator["config"]["customRunCoordinator"],
    }
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    assert coordinator["type"] == "CustomRunCoordinator"
    queue = InstanceRef.from_dir(str(tmp_path)).run_coordinator
    assert type(queue).__name__ == "QueuedRunCoordinator"


def test_the_additional_settings_are_dagsters(values: Any) -> None:
    schema = dagster_instance_config_schema()
    given = values["additionalInstanceConfig"]
    result = validate_config({name: schema[name] for name in given}, given)
    assert result.success, result.errors
    assert given["run_monitoring"]["max_runtime_seconds"] > 0
    assert given["concurrency"]["pools"]["default_limit"] > 0
    # What the chart writes by itself would stand in dagster.yaml twice.
    assert values["dagsterDaemon"]["runMonitoring"]["enabled"] is False
    assert values["dagsterDaemon"]["runRetries"]["enabled"] is False


def test_the_retention_is_dagsters(values: Any) -> None:
    given = snake(values["retention"])
    del given["enabled"]
    result = validate_config(
        {"retention": dagster_instance_config_schema()["retention"]}, {"retention": given}
    )
    assert result.success, result.errors


def test_helm_reads_the_values(infra: Path, tmp_path: Path) -> None:
    """Anchors and types survive Helm's own reader, in a chart that writes them all out again."""
    chart = tmp_path / "chart"
    (chart / "templates").mkdir(parents=True)
    text = "apiVersion: v2\nname: check\nversion: 1.0.0\n"
    (chart / "Chart.yaml").write_text(text, encoding="utf-8")
    (chart / "templates" / "all.yaml").write_text("{{ toYaml .Values }}\n", encoding="utf-8")
    file = infra / "helm" / "values.yaml"
    done = subprocess.run(
        [servers.helm(tmp_path), "template", "lc-platform", str(chart), "-f", str(file)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    seen = yaml.safe_load(done.stdout)
    expected = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert seen == expected


def test_dagster_and_the_chart_are_of_one_release(infra: Path) -> None:
    text = (infra / "helm" / "values.yaml").read_text(encoding="utf-8")
    assert f"--version {dg.__version__}" in text


class OnceOnly(yaml.SafeLoader):
    """Refuses a key that stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        mapping = super().construct_mapping(node, deep)
        assert len(mapping) == len(node.value), f"a key stands twice: {node.start_mark}"
        return mapping


class Rendered:
    """The objects that the chart makes of the values."""

    def __init__(self, infra: Path, folder: Path, *options: str) -> None:
        chart = os.environ.get(CHART)
        if not chart:
            pytest.skip(f"{CHART} names no chart (helm pull dagster, see infra/README.md)")
        done = subprocess.run(
            [servers.helm(folder), "template", "lc-platform", chart, "--namespace", "platform",
             "-f", str(infra / "helm" / "values.yaml"), *options],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        loaded = yaml.load_all(done.stdout, OnceOnly)
        self.objects: list[Any] = [one for one in loaded if one]

    def of(self, kind: str) -> dict[str, Any]:
        return {o["metadata"]["name"]: o for o in self.objects if o["kind"] == kind}

    def file(self, name: str) -> str:
        """A file of one of the config maps."""
        (text,) = (
            m["data"][name] for m in self.of("ConfigMap").values() if name in (m["data"] or {})
        )
        assert isinstance(text, str)
        return text

    def pods(self) -> dict[str, Any]:
        return {n: d["spec"]["template"]["spec"] for n, d in self.of("Deployment").items()}

    def variables(self, container: Any) -> dict[str, str]:
        """What a container sees, but for secrets; those are in none of the objects."""
        maps = self.of("ConfigMap")
        known: dict[str, str] = {}
        for source in container.get("envFrom", []):
            if "configMapRef" in source:
                known |= maps[source["configMapRef"]["name"]]["data"] or {}
        return known | {v["name"]: v.get("value", "") for v in container["env"]}


@pytest.fixture
def rendered(infra: Path, tmp_path: Path) -> Rendered:
    return Rendered(infra, tmp_path)


def test_the_chart_makes_valid_objects_and_no_secret(rendered: Rendered) -> None:
    kubernetes_validate = servers.module("kubernetes_validate", "kubernetes-validate")
    for one in rendered.objects:
        kubernetes_validate.validate(one, "1.33", strict=True)
    assert not rendered.of("Secret")
    assert list(rendered.of("ServiceAccount")) == ["lc-platform"]
    for service in rendered.of("Service").values():
        wanted = service["spec"]["selector"].items()
        pods = [d["spec"]["template"] for d in rendered.of("Deployment").values()]
        assert sum(wanted <= pod["metadata"]["labels"].items() for pod in pods) == 1
    assert "lc-platform-dagster-webserver-read-only" in rendered.of("Service")


def test_the_chart_makes_restricted_pods_that_have_their_variables(rendered: Rendered) -> None:
    for name, pod in rendered.pods().items():
        assert_restricted(pod)
        assert pod["serviceAccountName"] == "lc-platform"
        (container,) = pod["containers"]
        needed = OF_EVERY_POD | {"DAGSTER_HOME", "DAGSTER_PG_PASSWORD"}
        assert needed <= set(rendered.variables(container)), name
        assert {"secretRef": {"name": "lc-platform-object-store"}} in container["envFrom"]
        volumes = names(pod["volumes"])
        for one in [*pod.get("initContainers", []), container]:
            assert names(one.get("volumeMounts", [])) <= volumes, name
    commands = [str(p["containers"][0].get("command")) for p in rendered.pods().values()]
    assert sum("--read-only" in command for command in commands) == 1


def test_the_chart_writes_a_workspace_of_the_code_location(
    rendered: Rendered, tmp_path: Path
) -> None:
    file = tmp_path / "workspace.yaml"
    file.write_text(rendered.file("workspace.yaml"), encoding="utf-8")
    (origin,) = location_origins_from_yaml_paths([str(file)])
    (port,) = rendered.of("Service")["lc-platform"]["spec"]["ports"]
    assert (origin.host, origin.port) == ("lc-platform", port["port"])  # type: ignore[attr-defined]


def test_the_code_location_is_called_the_same_wherever_it_runs(infra: Path, values: Any) -> None:
    """Dagster keeps the states of schedules and sensors by its name."""
    (location,) = values["dagster-user-deployments"]["deployments"]
    files = [infra / "compose", infra / "cluster", infra.parent]
    origins = location_origins_from_yaml_paths([str(f / "workspace.yaml") for f in files])
    assert {origin.location_name for origin in origins} == {location["name"]}
    starts = [infra / "Dockerfile", infra / "compose" / "compose.yaml",
              infra / "cluster" / "lc-platform-code.service"]  # fmt: skip
    for file in starts:
        named = re.findall(r'--location-name[", ]+([\w-]+)', file.read_text(encoding="utf-8"))
        assert named == [location["name"]], file


def test_the_charts_dagster_yaml_is_dagsters(rendered: Rendered) -> None:
    given = OnceOnly(rendered.file("dagster.yaml")).get_data()
    schema = dagster_instance_config_schema()
    result = validate_config({name: schema[name] for name in given}, given)
    assert result.success, result.errors
    assert given["python_logs"]["managed_python_loggers"] == ["lc_platform"]


@pytest.mark.usefixtures("cluster")
def test_a_run_of_the_chart_has_its_own_resources_and_the_code_locations_settings(
    rendered: Rendered, tmp_path: Path
) -> None:
    (tmp_path / "dagster.yaml").write_text(rendered.file("dagster.yaml"), encoding="utf-8")
    launcher = InstanceRef.from_dir(str(tmp_path)).run_launcher
    location = rendered.pods()["lc-platform-dagster-user-deployments-lc-platform"]
    (server,) = location["containers"]
    seen = rendered.variables(server)
    context = json.loads(seen.pop("DAGSTER_CLI_API_GRPC_CONTAINER_CONTEXT", "null"))
    job = job_of_a_run(launcher, seen.pop("DAGSTER_CURRENT_IMAGE"), context)
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert_restricted(pod)
    assert container["resources"]["limits"]["memory"] == MEMORY_OF_A_RUN
    own = {name for name in seen if not name.startswith("DAGSTER_K8S_")}
    assert own <= names(container["env"])
    assert {"secretRef": {"name": "lc-platform-imagery"}} in container["envFrom"]
    mounted = names(container["volumeMounts"])
    assert names(server["volumeMounts"]) <= mounted <= names(pod["volumes"])


@pytest.mark.usefixtures("cluster")
def test_the_chart_starts_on_an_empty_database(
    rendered: Rendered,
    infra: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """What `migrate` and `check` are given is enough for them, and for the instance."""
    migrate, check = (
        next(c for p in rendered.pods().values() for c in p["initContainers"] if c["name"] == name)
        for name in ("migrate", "check")
    )
    server = request.getfixturevalue("postgres")
    server.create("chart")
    here = {"postgresqlHost": "127.0.0.1", "service.port": server.port,
            "postgresqlUsername": server.user, "postgresqlDatabase": "chart",
            "postgresqlParams.sslmode": "disable"}  # fmt: skip
    options = [o for name, value in here.items() for o in ("--set", f"postgresql.{name}={value}")]
    file = tmp_path / "dagster.yaml"
    file.write_text(Rendered(infra, tmp_path, *options).file("dagster.yaml"), encoding="utf-8")
    given = {**rendered.variables(migrate), "DAGSTER_PG_PASSWORD": server.password}
    deployment = deploy(file, tmp_path / "home", monkeypatch, given)
    done = CliRunner().invoke(migrate_command, [])
    assert done.exit_code == 0, done.output
    with deployment.instance() as instance:
        assert instance.run_storage.alembic_version()
        assert type(instance.run_coordinator).__name__ == "QueuedRunCoordinator"
        assert type(instance.compute_log_manager).__name__ == "S3ComputeLogManager"
        assert instance.get_concurrency_config().run_queue_config is not None
        assert instance.run_retries_max_retries > 0
    store = request.getfixturevalue("object_store")
    settings = Area(1, 1, (2023,), 1).settings(storage=f"s3://{store['LC_PLATFORM_BUCKET']}/chart")
    configuration = tmp_path / FILE_NAME
    configuration.write_text(yaml.safe_dump(settings), encoding="utf-8")
    given = {**rendered.variables(check), **store, "LC_PLATFORM_CONFIG": str(configuration)}
    for name, value in given.items():
        monkeypatch.setenv(name, server.password if name == "DAGSTER_PG_PASSWORD" else value)
    checked = TyperRunner().invoke(app, check["command"][1:])
    assert checked.exit_code == 0, (checked.output, checked.exception)
    assert "ready, s3://" in checked.output
