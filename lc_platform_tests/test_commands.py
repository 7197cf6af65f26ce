"""Commands on folders as people have them, at a terminal and in a pipe."""

from __future__ import annotations

import pytest

from lc_platform_tests.command_states import finished, given, in_state
from lc_platform_tests.sites import Site


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return finished(tmp_path_factory.mktemp("finished"))


@pytest.mark.parametrize(
    ("state", "terminal", "status", "said"),
    [
        ("new folder", True, 1, "error: Nothing has been made yet."),
        ("finished", False, 0, "18 artefacts read, 0 damaged."),
        ("finished", True, 0, "18 artefacts read, 0 damaged."),
        ("damaged chunk", False, 1, "18 artefacts read, 1 damaged."),
        ("cut COG", True, 1, "18 artefacts read, 1 damaged."),
        ("missing record", False, 0, "17 artefacts read, 0 damaged."),
    ],
)
def test_verify_reads_all_that_is_stored(
    made: Site, state: str, terminal: bool, status: int, said: str
) -> None:
    with in_state(state, made) as one:
        ended = given("verify", state, one, terminal=terminal)
        assert ended.status == status, ended.words
        assert said in ended.words
        assert "Traceback" not in ended.words


@pytest.mark.parametrize("state", ["new folder", "damaged chunk", "cut COG", "missing record"])
def test_status_tells_of_every_folder(made: Site, state: str) -> None:
    with in_state(state, made) as one:
        ended = given("status", state, one, terminal=state == "cut COG")
        assert ended.status == 0, ended.words
        assert "Traceback" not in ended.words
