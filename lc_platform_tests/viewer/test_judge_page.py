"""Two people judge a sample in a browser at once, by keyboard alone, and a run makes the areas."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import uvicorn
import yaml
from odc.geo.geobox import GeoBox

from lc_platform.artefacts.layout import JUDGEMENTS
from lc_platform.config import Config
from lc_platform.products.filled_sample import POINTS as LAYER
from lc_platform.products.judgements import JudgementRecords
from lc_platform.reading.reader import Reader
from lc_platform.sources import open_source
from lc_platform.sources.simulated import SimulatedArchive
from lc_platform.storage.store import Store
from lc_platform.viewer.app import create_app
from lc_platform.viewer.sample_points import Samples
from lc_platform_tests.command_line import Command
from lc_platform_tests.graphs import YEAR, configured
from lc_platform_tests.left_out import REQUIRED
from lc_platform_tests.servers import free_ports, lacking

CHROMIUM = [
    "--headless", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip
POINTS = 30

pytestmark = pytest.mark.skipif(
    not os.environ.get(REQUIRED), reason=f"only where {REQUIRED} is set: it needs Chromium"
)


@contextmanager
def served(config: Config) -> Iterator[str]:
    """The web map on a port of this machine, behind a proxy that says who is logged in."""
    (port,) = free_ports(1)
    app = create_app(Reader(Store.of(config), config), user_header="Remote-User")
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def truth_at_points(config: Config) -> dict[str, int]:
    """The simulated class at each point of the sample, by the points' codes."""
    archive = open_source(config)
    assert isinstance(archive, SimulatedArchive)
    store = Path(config.storage_url)
    points = geopandas.read_file(store / f"reference_sample/{YEAR}.gpkg", layer=LAYER)
    with rasterio.open(store / f"mosaic/{YEAR}/land_cover.tif") as raster:
        truth = archive.truth(GeoBox(raster.shape, raster.transform, raster.crs.to_string()))
        rows, columns = rasterio.transform.rowcol(raster.transform, points["x"], points["y"])
    codes = Samples(Reader(Store.of(config), config)).of(YEAR).points
    found = truth[np.asarray(rows, int), np.asarray(columns, int)].tolist()
    return dict(zip(codes, found, strict=True))


class Judge:
    """A person at a keyboard."""

    def __init__(self, page: Any, name: str, classes: dict[str, int]) -> None:
        self.page = page
        self.name = name
        self.classes = classes
        self.keys: dict[int, str] = {}

    async def open(self, address: str) -> None:
        await self.page.goto(f"{address}/judge")
        await self.settled()
        about = await self.page.evaluate(f"fetch('api/samples/{YEAR}').then((a) => a.json())")
        self.keys = {one["id"]: one["key"] for one in about["classes"]}

    async def settled(self) -> None:
        await self.page.wait_for_selector("#point[aria-busy=false]", state="attached")

    async def point(self) -> str | None:
        """The point that is shown; None where none waits."""
        await self.settled()
        if await self.page.is_visible("#nothing"):
            return None
        found: str = await self.page.get_attribute("#point", "data-point")
        return found

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.page.keyboard.press(key)
        await self.settled()

    async def choose_opinion(self, steps: int) -> None:
        """Go to the choice of opinions by Tab, and on to another by the arrows."""
        await self.page.evaluate("document.activeElement.blur()")
        for _ in range(30):
            await self.page.keyboard.press("Tab")
            if await self.page.evaluate("document.activeElement.name === 'opinion'"):
                break
        await self.press(*["ArrowRight"] * steps)

    async def work(self, mistaken: bool = False) -> int:
        """Judge what waits, by the key of each class; returns how many points that were."""
        count = 0
        while (point := await self.point()) is not None:
            seen = self.classes[point]
            if mistaken and count % 3 == 0:
                seen = next(one for one in self.keys if one != seen)
            await self.press(self.keys[seen])
            count += 1
            assert count <= POINTS + 1
        return count


async def judge_all(address: str, classes: dict[str, int], folder: Path) -> tuple[int, int]:
    from playwright.async_api import async_playwright

    errors: list[str] = []
    own = (address, "blob:", "data:")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=CHROMIUM
        )
        people = []
        for name in ("ana", "bor"):
            context = await browser.new_context(
                extra_http_headers={"Remote-User": name}, viewport={"width": 1360, "height": 860}
            )
            page = await context.new_page()
            page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
            page.on("pageerror", lambda e: errors.append(str(e)))
            page.on("request", lambda r: None if r.url.startswith(own) else errors.append(r.url))
            people.append(Judge(page, name, classes))
        ana, bor = people
        await asyncio.gather(ana.open(address), bor.open(address))
        await ana.page.wait_for_load_state("networkidle")
        await ana.page.screenshot(path=folder / "judge.png")

        # Ana takes one back, and gives it anew with a remark and less confidence.
        first = await ana.point()
        assert first is not None
        wrong = next(key for one, key in ana.keys.items() if one != classes[first])
        await ana.press(wrong)
        await ana.press("u")
        assert await ana.point() == first
        await ana.press("c", "r")
        await ana.page.keyboard.type("1 pond, seen in July")
        await ana.press("Enter", ana.keys[classes[first]])
        await bor.press("s")  # skipped: it comes again

        counts = await asyncio.gather(ana.work(), bor.work())
        await asyncio.gather(ana.choose_opinion(1), bor.choose_opinion(1))
        await asyncio.gather(ana.work(), bor.work(mistaken=True))
        await ana.choose_opinion(1)
        await ana.page.screenshot(path=folder / "consensus.png")
        await ana.work()
        await ana.page.keyboard.press("Shift+Tab")
        await ana.page.click("#review-toggle")
        await ana.settled()
        await ana.page.screenshot(path=folder / "review.png")
        await browser.close()
    assert errors == []
    return counts[0] + 1, counts[1]


def expected_areas(
    config: Config, holding: dict[str, int], hectares: float
) -> dict[int, tuple[float, float]]:
    """Areas and their standard errors by equations 9 and 10 of Olofsson et al. (2014), with the
    share of a stratum's pixels that is sampled, which Stehman (2014) takes into account."""
    points = geopandas.read_file(
        Path(config.storage_url) / f"reference_sample/{YEAR}.gpkg", layer=LAYER
    )
    reference = np.array(list(holding.values()))
    pixels = dict(zip(points["stratum"], points["stratum_pixels"], strict=True))
    total = sum(pixels.values())
    found = {}
    for one in config.class_names:
        area = variance = 0.0
        for stratum, size in pixels.items():
            seen = reference[(points["stratum"] == stratum).to_numpy()] == one
            weight, n, share = size / total, len(seen), seen.mean()
            area += weight * share
            variance += weight**2 * (1 - n / size) * share * (1 - share) / (n - 1)
        found[one] = hectares * area, hectares * float(np.sqrt(variance))
    return found


def test_two_people_judge_thirty_points_by_keyboard_and_a_run_makes_the_areas(
    lc: Command, tmp_path: Path
) -> None:
    if find_spec("playwright") is None or shutil.which("chromium") is None:
        lacking("playwright, or Chromium")
    config = configured(tmp_path, columns=3, rows=2, model={"num_iterations": 30})
    written = tmp_path / "lc-platform.yaml"
    settings = config.model_dump(exclude_unset=True, mode="json")
    written.write_text(yaml.safe_dump(settings), encoding="utf-8")
    assert lc("run", "-c", written).status == 0
    assert lc("sample", "-c", written, "--year", YEAR, "--points", POINTS).status == 0
    classes = truth_at_points(config)
    with served(config) as address:
        counts = asyncio.run(judge_all(address, classes, tmp_path))
    # At the end both may be shown the same last points, which have two opinions then.
    assert POINTS <= sum(counts) <= POINTS + 4
    assert min(counts) > 3

    standing = JudgementRecords(Store.of(config), JUDGEMENTS.format(year=YEAR)).read().standing
    people = {(one.point, one.who) for one in standing if one.opinion != "consensus"}
    assert people == {(point, who) for point in classes for who in ("ana", "bor")}
    assert any(one.opinion == "consensus" for one in standing)
    (remarked,) = (one for one in standing if one.remark)
    assert (remarked.who, remarked.remark, remarked.confidence) == (
        "ana",
        "1 pond, seen in July",
        "medium",
    )

    ran = lc("run", "-c", written)
    assert ran.status == 0, ran.err
    assert "3 artefacts made" in ran.out  # the areas, and the report that shows them
    store = Path(config.storage_url)
    told = json.loads((store / f"area_statistics/{YEAR}.json").read_text())
    assert told["sample"]["judged"] == POINTS
    assert len(told["sample"]["strata"]) > 3
    expected = expected_areas(config, classes, told["total"]["mapped_hectares"])
    for one in told["total"]["classes"]:
        area, error = expected[one["id"]]
        assert one["hectares"]["value"] == pytest.approx(area)
        assert one["hectares"]["standard_error"] == pytest.approx(error)
    filled = geopandas.read_file(store / f"reference_sample/{YEAR}.gpkg", layer=LAYER)
    assert filled["reference"].tolist() == [config.class_names[one] for one in classes.values()]
    assert set(filled["webmap_agreement"]) == {"agree", "consensus"}
    assert "Nothing had to be made" in lc("run", "-c", written).out
