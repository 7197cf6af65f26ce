"""infra/helm/values.yaml. The chart itself is not here: what its values become is checked against
the classes that the chart configures."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._config import validate_config
from dagster._core.instance.config import dagster_instance_config_schema

from lc_platform_tests.infra import servers

OF_THE_CHART = {
    "global", "generatePostgresqlPasswordSecret", "postgresql", "rabbitmq", "redis", "flower",
    "telemetry", "migrate", "dagsterWebserver", "dagsterDaemon", "dagster-user-deployments",
    "runLauncher", "computeLogManager", "retention", "additionalInstanceConfig",
}  # fmt: skip


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
        assert part["podSecurityContext"]["runAsNonRoot"] is True
        assert part["podSecurityContext"]["runAsUser"] > 0
        assert part["securityContext"]["allowPrivilegeEscalation"] is False
        assert part["resources"]["requests"]
        assert part["resources"]["limits"]["memory"]


def test_runs_are_launched_as_the_launcher_understands(values: Any) -> None:
    launcher = servers.module("dagster_k8s", "dagster-k8s").K8sRunLauncher
    given = snake(values["runLauncher"]["config"]["k8sRunLauncher"])
    given |= {"service_account_name": "dagster", "instance_config_map": "dagster-instance",
              "postgres_password_secret": values["global"]["postgresqlSecretName"]}  # fmt: skip
    result = validate_config(launcher.config_type(), given)
    assert result.success, result.errors


def test_a_run_is_a_valid_kubernetes_job_with_its_own_resources(values: Any) -> None:
    """What the tag of a run asks for wins over what all runs get."""
    k8s = servers.module("dagster_k8s.job", "dagster-k8s")
    contexts = servers.module("dagster_k8s.container_context", "dagster-k8s")
    client = servers.module("kubernetes.client", "kubernetes")
    kubernetes_validate = servers.module("kubernetes_validate", "kubernetes-validate")
    of_all = snake(values["runLauncher"]["config"]["k8sRunLauncher"]["runK8sConfig"])
    of_tag = {"container_config": {"resources": {"limits": {"memory": "16Gi"}}}}

    def context(settings: Any) -> Any:
        config = k8s.UserDefinedDagsterK8sConfig.from_dict(settings)
        return contexts.K8sContainerContext(run_k8s_config=config)

    job = k8s.construct_dagster_k8s_job(
        k8s.DagsterK8sJobConfig(
            job_image="registry.example.org/lc-platform:0.1.0",
            dagster_home=values["global"]["dagsterHome"],
            instance_config_map="dagster-instance",
            image_pull_policy="IfNotPresent",
        ),
        args=["dagster", "api", "execute_run"],
        job_name="dagster-run-1",
        user_defined_k8s_config=context(of_all).merge(context(of_tag)).run_k8s_config,
    )
    written = client.ApiClient().sanitize_for_serialization(job)
    kubernetes_validate.validate(written, "1.33", strict=True)
    spec = written["spec"]
    resources = spec["template"]["spec"]["containers"][0]["resources"]
    assert resources["limits"]["memory"] == "16Gi"
    assert resources["requests"]["memory"] == "3Gi"
    assert spec["backoffLimit"] == 0
    assert spec["ttlSecondsAfterFinished"] == 86400


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
