"""Commands on folders as people have them, at a terminal and in a pipe."""

from __future__ import annotations

import pytest

from lc_platform_tests.command_states import finished, given, in_state
from lc_platform_tests.sites import Site

pytestmark = pytest.mark.slow

_RECORDS = "site/dagster: Dagster's records cannot be written there. Have the folder"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return finished(tmp_path_factory.mktemp("finished"))


@pytest.mark.parametrize(
    ("state", "terminal", "status", "said"),
    [
        pytest.param(
            "new folder", True, 1, "error: Nothing has been made yet.", marks=pytest.mark.proof
        ),
        ("finished", False, 0, "26 artefacts read, 0 damaged."),
        pytest.param("finished", True, 0, "26 artefacts read, 0 damaged.", marks=pytest.mark.proof),
        pytest.param(
            "damaged chunk", False, 1, "26 artefacts read, 1 damaged.", marks=pytest.mark.proof
        ),
        ("cut COG", True, 1, "26 artefacts read, 1 damaged."),
        ("missing record", False, 0, "25 artefacts read, 0 damaged."),
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


@pytest.mark.parametrize(
    "state",
    [
        "cut COG",
        *(
            pytest.param(name, marks=pytest.mark.proof)
            for name in ("new folder", "damaged chunk", "missing record")
        ),
    ],
)
def test_status_tells_of_every_folder(made: Site, state: str) -> None:
    with in_state(state, made) as one:
        ended = given("status", state, one, terminal=state == "cut COG")
        assert ended.status == 0, ended.words
        assert "Traceback" not in ended.words


@pytest.mark.proof
def test_verify_says_what_is_wrong_with_a_cut_file_in_words_of_its_own(made: Site) -> None:
    with in_state("cut COG", made) as one:
        ended = given("verify", "cut COG", one, terminal=False)
        assert "is damaged (TIFFFillTile:Read error" in ended.words
        assert "See previous exception" not in ended.words


@pytest.mark.proof
def test_verify_names_a_cut_map_without_a_warning_of_a_library(made: Site) -> None:
    with in_state("finished", made) as one:
        land_cover = (one.store / "mosaic/2021/land_cover.tif").resolve()
        land_cover.write_bytes(land_cover.read_bytes()[: land_cover.stat().st_size // 2])
        ended = given("verify", "finished", one, terminal=False)
        assert ended.status == 1, ended.words
        assert "land_cover.tif is damaged (it has no coordinate system)." in ended.words
        assert "NotGeoreferencedWarning" not in ended.words


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        ("init", 1, "error: another: cannot be written (Permission denied). Give a folder that"),
        pytest.param("check", 1, _RECORDS, marks=pytest.mark.proof),
        ("run", 1, _RECORDS),
        ("status", 0, "site/dagster: Dagster's records cannot be read, as nothing can be written"),
        pytest.param("metrics", 1, _RECORDS, marks=pytest.mark.proof),
        pytest.param("ui", 1, _RECORDS, marks=pytest.mark.proof),
        ("demo", 1, "error: demonstration: cannot be written (Permission denied). Give a folder"),
    ],
)
def test_a_folder_in_which_nothing_can_be_written_is_named(
    made: Site, command: str, status: int, said: str
) -> None:
    with in_state("read-only folder", made) as one:
        ended = given(command, "read-only folder", one, terminal=False)
        assert ended.status == status, ended.words
        assert said in ended.words
        assert "Traceback" not in ended.words
        assert "sqlalche.me" not in ended.words
