"""A year that grows: what is there is taken over, what is new or was reprocessed is acquired."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from lc_platform import config
from lc_platform.artefacts.layout import Partition
from lc_platform.commands.run import RunError
from lc_platform.commands.verify import Verification, Verified
from lc_platform.sources.protocol import QuotaError, SourceError, TransientSourceError
from lc_platform.storage.errors import StorageError
from lc_platform.storage.prune import prune
from lc_platform_tests.storage.growing import YEAR, Archive, Site, acquisition, fresh, same

pytestmark = pytest.mark.slow


def test_a_year_that_grew_is_acquired_where_it_is_new(tmp_path: Path) -> None:
    site, archive = Site.at(tmp_path), Archive([acquisition(n) for n in (1, 3, 4)])
    assert site.made(archive)["acquisitions_new"] == 3
    archive.asked.clear()
    # One in between, which moves what follows, and one at the end.
    archive.acquisitions = [acquisition(n) for n in (1, 2, 3, 4, 5)]
    facts = site.made(archive)
    assert sorted(archive.asked) == [
        "A02",
        "A02",
        "A05",
        "A05",
    ]  # on the patch's grid, the detector's
    assert (facts["acquisitions"], facts["acquisitions_new"]) == (5, 2)
    assert facts["requests"] == 4
    assert facts["processing_units"] == 1.0
    same(site.stack(), fresh(tmp_path, archive.acquisitions))


def test_what_was_reprocessed_is_acquired_again(tmp_path: Path) -> None:
    site, archive = Site.at(tmp_path), Archive([acquisition(n) for n in (1, 2, 3)])
    site.made(archive)
    archive.asked.clear()
    archive.acquisitions[1] = acquisition(2, "05.11")
    site.made(archive)
    assert set(archive.asked) == {"A02"}
    same(site.stack(), fresh(tmp_path, archive.acquisitions))


def test_what_the_archive_has_no_more_is_gone(tmp_path: Path) -> None:
    site, archive = Site.at(tmp_path), Archive([acquisition(n) for n in (1, 2, 3)])
    site.made(archive)
    archive.asked.clear()
    del archive.acquisitions[0]
    site.made(archive)
    assert archive.asked == []
    same(site.stack(), fresh(tmp_path, archive.acquisitions))


@pytest.mark.parametrize(
    "change", [{"bands": ["B04", "B08", "B11"]}, {"bands": ["B08", "B04"]}, {"clouds": 160.0}]
)
def test_what_was_read_in_another_way_is_acquired_again(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    site, archive = Site.at(tmp_path), Archive([acquisition(n) for n in (1, 2)])
    site.made(archive)
    archive.asked.clear()
    settings = site.config.model_dump(exclude_unset=True)
    if "clouds" in change:
        settings["clouds"] = {"resolution": change["clouds"]}
    else:
        settings["imagery"] |= change
    other = replace(site, config=config.parse(settings, tmp_path))
    other.made(archive)
    assert sorted(archive.asked) == ["A01", "A01", "A02", "A02"]
    assert other.stack().bands == tuple(other.config.acquired_bands)


@pytest.mark.parametrize(
    "failure",
    [TransientSourceError("A03 did not answer"), SourceError("A03 is damaged")],
    ids=["for now", "for good"],
)
def test_what_has_come_before_a_failure_is_kept(tmp_path: Path, failure: Exception) -> None:
    site = Site.at(tmp_path)
    archive = Archive([acquisition(n) for n in range(1, 9)], failing={"A03": failure})
    with pytest.raises(type(failure), match="A03"):
        site.made(archive)
    assert not site.store.exists(site.key)
    # With the third three were under way: the fourth and the fifth have come, no other was asked.
    came = set(archive.asked) - {"A03"}
    assert {"A01", "A02"} <= came <= {"A01", "A02", "A04", "A05"}
    archive.asked.clear()
    archive.failing.clear()
    site.made(archive)
    assert set(archive.asked) == {f"A{n:02d}" for n in range(1, 9)} - came
    same(site.stack(), fresh(tmp_path, archive.acquisitions))
    assert site.store.versions(site.key) == []  # nothing of the failed try is left


def test_what_has_come_is_kept_where_the_last_step_fails(tmp_path: Path) -> None:
    site, archive = Site.at(tmp_path), Archive([acquisition(n) for n in (1, 2, 3)])
    in_the_way = tmp_path / "data" / site.key
    in_the_way.mkdir(parents=True)
    with pytest.raises(StorageError, match="is a folder, and the platform keeps a link there"):
        site.made(archive)
    in_the_way.rmdir()
    archive.asked.clear()
    site.made(archive)
    assert archive.asked == []
    same(site.stack(), fresh(tmp_path, archive.acquisitions))
    version = Path(site.store.physical(site.key))
    assert not (version / ".marks").exists()


def test_a_try_that_got_nothing_new_leaves_nothing(tmp_path: Path) -> None:
    site = Site.at(tmp_path, connections=1)
    archive = Archive(
        [acquisition(n) for n in (1, 2, 3)], failing={"A03": TransientSourceError("A03")}
    )
    for _ in range(3):
        with pytest.raises(TransientSourceError):
            site.made(archive)
        assert len(site.store.versions(site.key)) == 1
    assert archive.asked.count("A01") == 2  # on its two grids, once


def test_a_failure_leaves_what_was_there_and_keeps_what_is_new(tmp_path: Path) -> None:
    site, archive = Site.at(tmp_path), Archive([acquisition(n) for n in (1, 2)])
    site.made(archive)
    archive.acquisitions = [acquisition(n) for n in (1, 2, 3, 4)]
    archive.failing["A04"] = QuotaError("the quota is spent")
    with pytest.raises(QuotaError):
        site.made(archive)
    assert [one["key"] for one in site.stack().acquisitions] == ["A01", "A02"]
    archive.asked.clear()
    archive.failing.clear()
    site.made(archive)
    assert set(archive.asked) == {"A04"}
    same(site.stack(), fresh(tmp_path, archive.acquisitions))


def aged(site: Site, hours: float) -> None:
    """Have all there is be older."""
    root = site.folder / "data"
    for path in (root, *root.rglob("*")):
        then = path.lstat().st_mtime - hours * 3600
        os.utime(path, (then, then), follow_symlinks=False)


def broken_off(site: Site, *numbers: int) -> Archive:
    """Have the last of a year's acquisitions refused for want of budget."""
    last = numbers[-1]
    refused = {f"A{last:02d}": QuotaError("the budget is spent")}
    archive = Archive([acquisition(n) for n in numbers], failing=refused)
    with pytest.raises(QuotaError):
        site.made(archive)
    archive.failing.clear()
    archive.asked.clear()
    return archive


def test_what_a_spent_budget_left_is_not_pruned_before_the_month_is_over(tmp_path: Path) -> None:
    site = Site.at(tmp_path, connections=1)
    archive = broken_off(site, 1, 2, 3)
    aged(site, 31 * 24)
    assert prune(site.store, timedelta(hours=24)) == []
    site.made(archive)
    assert set(archive.asked) == {"A03"}


def test_what_nobody_has_gone_on_from_is_pruned_in_the_end(tmp_path: Path) -> None:
    site = Site.at(tmp_path, {"object_store": {"keep_unfinished": 2}}, connections=1)
    broken_off(site, 1, 2, 3)
    aged(site, 47)
    assert prune(site.store, timedelta(hours=24)) == []
    aged(site, 2)
    assert len(prune(site.store, timedelta(hours=24))) == 1
    assert site.store.versions(site.key) == []


def test_an_unfinished_version_beside_a_finished_one_is_kept_while_it_is_the_newer(
    tmp_path: Path,
) -> None:
    site = Site.at(tmp_path, connections=1)
    site.made(Archive([acquisition(n) for n in (1, 2)]))
    aged(site, 1)
    broken_off(site, 1, 2, 3, 4)
    [unfinished] = site.store.versions(site.key)
    aged(site, 25)
    assert prune(site.store, timedelta(hours=24)) == []
    # As in an object store, where what is replaced is left to `prune`.
    shutil.copytree(unfinished, tmp_path / "aside", copy_function=shutil.copy2)
    site.made(Archive([acquisition(n) for n in (1, 2, 3, 4)]))
    shutil.move(tmp_path / "aside", unfinished)
    aged(site, 25)
    assert [one.key for one in prune(site.store, timedelta(hours=24))] == [
        str(Path(unfinished).relative_to(tmp_path / "data"))
    ]
    assert len(site.stack().acquisitions) == 4


KILLED = """
import os, signal, sys
from pathlib import Path
from lc_platform_tests.storage.growing import Archive, Site, acquisition

class Ends(Archive):
    def read(self, acquisition, geobox, bands):
        if acquisition.key == "A06" and geobox.shape[0] == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(acquisition, geobox, bands)

Site.at(Path(sys.argv[1]), connections=1).made(Ends([acquisition(n) for n in range(1, 9)]))
"""


def test_what_has_come_before_the_process_was_killed_is_kept(tmp_path: Path) -> None:
    site = Site.at(tmp_path)
    rows = site.patch.geobox.shape[0]
    ended = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), str(rows)], check=False)
    assert ended.returncode == -signal.SIGKILL
    archive = Archive([acquisition(n) for n in range(1, 9)])
    site.made(archive)
    # The fifth was on its way to the disk when the sixth was asked for; all before it had come.
    assert {"A06", "A07", "A08"} <= set(archive.asked) <= {"A05", "A06", "A07", "A08"}
    same(site.stack(), fresh(tmp_path, archive.acquisitions))


def changed(file: Path) -> None:
    """One bit of a file, as a disk may do it."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def parts(site: Site, array: str, position: int) -> list[Path]:
    version = Path(site.store.physical(site.key))
    return [file for file in version.glob(f"{array}/c/{position}/**/*") if file.is_file()]


@pytest.mark.parametrize("array", ["bands", "data_mask", "detector/bands", "detector/data_mask"])
def test_what_was_damaged_is_found_and_acquired_again(tmp_path: Path, array: str) -> None:
    site, archive = Site.at(tmp_path), Archive([acquisition(n) for n in (1, 2, 3)])
    site.made(archive)
    where = Partition(site.patch.key, YEAR)
    assert list(Verification(site.config)) == [Verified("raw_bands", where)]

    changed(parts(site, array, 1)[0])
    (found,) = Verification(site.config)
    assert (found.asset, found.partition) == ("raw_bands", where)
    assert found.problem.endswith("damaged are A02")
    assert list(Verification(site.config)) == []  # it is no artefact until it is made again

    archive.asked.clear()
    site.made(archive)
    assert set(archive.asked) == {"A02"}
    same(site.stack(), fresh(tmp_path, archive.acquisitions))
    assert list(Verification(site.config)) == [Verified("raw_bands", where)]


def test_what_is_damaged_is_not_taken_over_from_a_try_that_has_linked_it(tmp_path: Path) -> None:
    site, archive = Site.at(tmp_path), Archive([acquisition(n) for n in (1, 2)])
    site.made(archive)
    archive.acquisitions = [acquisition(n) for n in (1, 2, 3, 4)]
    archive.failing["A04"] = TransientSourceError("A04")
    with pytest.raises(TransientSourceError):
        site.made(archive)
    changed(parts(site, "bands", 1)[0])
    (found,) = Verification(site.config)
    assert found.problem.endswith("damaged are A02")
    archive.asked.clear()
    archive.failing.clear()
    site.made(archive)
    assert set(archive.asked) == {"A02", "A04"}
    same(site.stack(), fresh(tmp_path, archive.acquisitions))


def test_what_is_not_there_cannot_be_verified(tmp_path: Path) -> None:
    site = Site.at(tmp_path)
    with pytest.raises(StorageError, match="Materialize it first"):
        Verification(site.config)
    site.laid()
    for years, patches in (([1999], []), ([], ["33N-r1-c1"])):
        with pytest.raises(RunError, match="is none of the"):
            Verification(site.config, years, patches)


def test_what_is_missing_is_found_and_acquired_again(tmp_path: Path) -> None:
    site, archive = Site.at(tmp_path), Archive([acquisition(n) for n in (1, 2, 3)])
    site.made(archive)
    parts(site, "bands", 2)[0].unlink()
    (found,) = Verification(site.config)
    assert found.problem.endswith("damaged are A03")
    archive.asked.clear()
    site.made(archive)
    assert set(archive.asked) == {"A03"}
    same(site.stack(), fresh(tmp_path, archive.acquisitions))


def test_what_is_recorded_is_taken_over_without_being_read(tmp_path: Path) -> None:
    site, archive = Site.at(tmp_path), Archive([acquisition(n) for n in (1, 2)])

    def files() -> set[int]:
        version = Path(site.store.physical(site.key))
        found = [f for name in ("bands", "data_mask") for f in version.glob(f"**/{name}/c/**/*")]
        return {file.stat().st_ino for file in found if file.is_file()}

    site.made(archive)
    before = files()
    archive.acquisitions.append(acquisition(3))
    site.made(archive)
    assert before < files()  # the same files, and those of the third


def test_no_more_is_under_way_than_the_configuration_says(tmp_path: Path) -> None:
    archive = Archive([acquisition(n) for n in range(1, 9)], seconds=0.1)
    Site.at(tmp_path, connections=2).made(archive)
    assert archive.together == 2
    alone = Archive([acquisition(n) for n in range(1, 5)], remote=False, seconds=0.1)
    Site.at(tmp_path / "alone", connections=8).made(alone)
    assert alone.together == 1


def test_an_acquisition_that_shows_nothing_where_it_should_is_named(tmp_path: Path) -> None:
    one = replace(acquisition(1), coverage=0.9)
    archive = Archive([one, acquisition(2)], empty={"A01", "A02"})
    with pytest.raises(TransientSourceError, match=r"A01.*90%.*imagery\.exclude"):
        Site.at(tmp_path).made(archive)
    facts = Site.at(tmp_path, exclude=["A01"]).made(archive)
    # Of the second nothing is known but that it touches the patch.
    assert facts["acquisitions"] == 1
    assert facts["valid_fraction"] == 0.0
