"""The page of the web map, in a real browser on a small store of two UTM zones."""

from __future__ import annotations

import gzip
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from fastapi.testclient import TestClient

import lc_platform
from lc_platform.area.grid import Patch, PatchGrid
from lc_platform.artefacts.layout import PATCH, Partition
from lc_platform.assets.jobs import JOBS
from lc_platform.commands import run as running
from lc_platform.commands.run import Task
from lc_platform.eo.polygons import transformer
from lc_platform.reading.reader import Reader
from lc_platform.storage.store import Store
from lc_platform.viewer.app import create_app
from lc_platform_tests.graphs import YEAR
from lc_platform_tests.sites import first_never_seen, footprint, metres, worker_of
from lc_platform_tests.viewer.browser import (
    Watched,
    chromium,
    eventually,
    require_chromium,
    served,
)
from lc_platform_tests.viewer.places import degrees, own_pixel

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SQUARE = {"width": 700, "height": 700}
"""So narrow that the panels are closed: the middle of the map is the middle of the screen."""
SERIOUS = {"serious", "critical"}


@pytest.fixture(scope="module")
def address(reader: Reader) -> Iterator[str]:
    require_chromium()
    with served(create_app(reader, dagster="http://dagster.example")) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    require_chromium()
    with chromium() as found:
        yield found


@pytest.fixture
def opened(address: str, browser: Browser) -> Iterator[Any]:
    """Open pages; afterwards none of them may have written an error or asked another server."""
    pages: list[Watched] = []

    def open_page(
        fragment: str = "", *, at: str = address, fails: bool = False, **options: Any
    ) -> Watched:
        context = browser.new_context(**{"viewport": {"width": 1360, "height": 900}, **options})
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = Watched(context.new_page(), at, may_fail=fails)
        page.open(fragment)
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
        assert page.elsewhere == []
        assert page.errors == [] or page.may_fail


class MapPixel(NamedTuple):
    """A pixel of the map."""

    longitude: float
    latitude: float
    class_id: int
    color: str


def map_pixels(reader: Reader, count: int = 6) -> list[MapPixel]:
    """Pixels of the map, the first ones and the last in zone 33, the others in zone 34."""
    land_cover = reader.land_cover(YEAR).load()
    to_degrees = transformer(str(land_cover.odc.crs), "EPSG:4326")
    values = land_cover.to_numpy()
    known = np.argwhere(values > 0)
    known = known[np.argsort(known[:, 1], kind="stable")]
    chosen = known[np.linspace(0, len(known) - 1, count).astype(int)]
    found = []
    for row, column in chosen:
        x, y = float(land_cover.x[column]), float(land_cover.y[row])
        longitude, latitude = to_degrees.transform(x, y)
        number = int(values[row, column])
        color = reader.artefacts.legend[number][1]
        found.append(MapPixel(float(longitude), float(latitude), number, color))
    return found


def camera(pixel: MapPixel) -> str:
    """The link to a pixel in the middle, so near that it is seen."""
    return f"19/{pixel.latitude:.7f}/{pixel.longitude:.7f}"


def of_patch(reader: Reader, patch: Patch) -> tuple[float, float]:
    """The longitude and latitude of a pixel that is a patch's."""
    row, column = own_pixel(reader, patch)
    return degrees(patch, row + 0.5, column + 0.5)


def serious(page: Watched) -> list[Any]:
    """What axe-core finds that keeps somebody from using the page."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page.page).response["violations"]
    return [
        (one["id"], [node["target"] for node in one["nodes"]])
        for one in found
        if one["impact"] in SERIOUS
    ]


def test_the_page_is_small(reader: Reader) -> None:
    client = TestClient(create_app(reader))
    page = client.get("/").text
    names = re.findall(r'(?:src|href)="((?:static|vendor)/[^"]+)"', page)
    assert {"static/main.js", "vendor/maplibre-gl.js", "static/style.css"} <= set(names)
    files = [client.get(f"/{name}").content for name in names]
    size = sum(len(gzip.compress(content)) for content in [page.encode(), *files])
    assert size < 600_000


def test_every_module_that_is_imported_is_asked_for_at_once(reader: Reader) -> None:
    client = TestClient(create_app(reader))
    page = client.get("/").text
    known = set(re.findall(r'"static/([a-z]+\.js)"', page))
    for name in known:
        imported = set(re.findall(r'from "\./([a-z]+\.js)"', client.get(f"/static/{name}").text))
        assert imported <= known


def test_the_first_view_is_the_latest_map_with_its_legend(opened: Any, reader: Reader) -> None:
    page = opened()
    assert page.page.title() == "small: land cover map"
    assert page.page.text_content("#legend-title") == f"Land cover, {YEAR}"
    names = page.page.locator("#legend tbody th").all_inner_texts()
    assert [name.strip() for name in names] == [
        name for name, _ in reader.artefacts.legend.values()
    ]
    shares = page.page.locator("#legend td.share")
    eventually(lambda: bool(shares.first.text_content().rstrip("% ")[-1:].isdigit()))
    total = sum(float(text.split()[0]) for text in shares.all_inner_texts())
    assert total == pytest.approx(100, abs=1)
    assert serious(page) == []


def test_a_pixels_colour_on_the_screen_is_its_classs_in_both_zones(
    opened: Any, reader: Reader
) -> None:
    page = opened(viewport=SQUARE)
    pixels = map_pixels(reader)
    zones = {reader.pixel(pixel.longitude, pixel.latitude).patch.crs for pixel in pixels}
    assert zones == {"EPSG:32633", "EPSG:32634"}
    for pixel in pixels:
        page.go(camera(pixel))
        eventually(page.color_in_the_middle, pixel.color)


def test_the_panel_says_what_the_store_says(opened: Any, grid: PatchGrid, reader: Reader) -> None:
    longitude, latitude = of_patch(reader, grid.patches[0])
    table = reader.at(longitude, latitude, YEAR)
    page = opened(f"#pixel={longitude:.7f},{latitude:.7f}&series=B08")
    story = page.page.locator("#story")
    assert table.attrs["class_name"] in story.locator(".verdict").inner_text()
    assert f"{table.attrs['confidence']:.0f} %" in story.locator(".figures").inner_text()
    assert table.attrs["patch"] in story.locator(".where").inner_text()
    story.get_by_text("as a table").click()
    rows = story.locator(".observations tbody tr")
    assert rows.count() == len(table)
    shown = [row.split("\t")[1].strip() for row in rows.all_inner_texts()]
    numbers = [float(value) if value[0].isdigit() else np.nan for value in shown]
    assert numbers == pytest.approx(table["B08"].tolist(), abs=6e-4, nan_ok=True)
    states = [row.split("\t")[2].strip() for row in rows.all_inner_texts()]
    assert states.count("cloudy") == int((table["cloud"] & table["data"]).sum())
    assert story.locator(".mark.cloudy").count() > 0
    assert serious(page) == []


def test_the_observations_are_copied_as_a_table(
    opened: Any, grid: PatchGrid, reader: Reader
) -> None:
    longitude, latitude = of_patch(reader, grid.patches[0])
    page = opened(f"#pixel={longitude:.7f},{latitude:.7f}")
    page.page.click("#copy-csv")
    eventually(lambda: "copied as CSV" in page.page.inner_text("#status"))
    copied = page.page.evaluate("() => navigator.clipboard.readText()")
    assert copied.count("\n") == len(reader.at(longitude, latitude, YEAR)) + 1
    page.page.click("#copy-pixel-link")
    eventually(lambda: page.page.evaluate("() => navigator.clipboard.readText()"), page.page.url)


def test_a_point_of_the_curve_and_the_maps_date_are_one(
    opened: Any, grid: PatchGrid, reader: Reader
) -> None:
    longitude, latitude = of_patch(reader, grid.patches[0])
    page = opened(f"#pixel={longitude:.7f},{latitude:.7f}")
    mark = page.page.locator("#chart .mark.used").nth(2)
    date = mark.get_attribute("aria-label").split(":")[0]
    mark.hover()
    assert page.page.inner_text("#chart-reading").startswith(date)
    mark.click()
    eventually(lambda: page.page.inner_text("#left-title"), f"True colour, {date}")
    assert f"acquisition={mark.get_attribute('data-acquisition')}" in page.fragment
    assert "shown" in mark.get_attribute("class")
    page.settle()
    chosen = page.page.locator("#imagery input:checked")
    eventually(lambda: chosen.get_attribute("value"), mark.get_attribute("data-acquisition"))


def test_a_class_that_is_not_chosen_is_not_drawn(opened: Any, reader: Reader) -> None:
    pixel = map_pixels(reader)[0]
    page = opened(f"#{camera(pixel)}", viewport=SQUARE)
    eventually(page.color_in_the_middle, pixel.color)
    page.page.click("#panel-toggle")
    page.page.uncheck(f"#class-{pixel.class_id}")
    page.page.click("#panel-toggle")
    eventually(lambda: page.color_in_the_middle() != pixel.color)
    assert str(pixel.class_id) not in re.search(r"classes=([\d,]+)", page.fragment)[1].split(",")
    page.page.go_back()
    eventually(page.color_in_the_middle, pixel.color)


def test_a_swipe_shows_another_layer_on_its_right(opened: Any, reader: Reader) -> None:
    pixel = map_pixels(reader)[0]
    link = f"#{camera(pixel)}&compare=swipe&right_layer=confidence&swipe=0.8"
    page = opened(link, viewport=SQUARE)
    eventually(page.color_in_the_middle, pixel.color)
    page.page.focus("#divider")
    for _ in range(4):
        page.page.keyboard.press("PageDown")
    assert page.page.get_attribute("#divider", "aria-valuenow") == "40"
    eventually(lambda: page.color_in_the_middle() != pixel.color)
    assert page.page.inner_text("#right-title") == f"Confidence, {YEAR}"
    assert serious(page) == []
    page.page.click("#panel-toggle")
    page.page.check("#compare-off", force=True)
    page.page.click("#panel-toggle")
    eventually(page.color_in_the_middle, pixel.color)


def test_two_maps_side_by_side_move_together(opened: Any) -> None:
    page = opened("#compare=side&right_layer=reference")
    titles = [page.page.inner_text(f"#{side}-title") for side in ("left", "right")]
    assert titles == [f"Land cover, {YEAR}", f"Reference, {YEAR}"]
    before = page.fragment
    page.page.focus("#right canvas")
    page.page.keyboard.press("+")
    eventually(lambda: page.fragment != before)
    page.settle()
    eventually(lambda: page.color_in_the_middle("#right") != page.color_in_the_middle("body"))


def test_search_finds_patches_and_places(opened: Any, grid: PatchGrid, reader: Reader) -> None:
    patch = grid.patches[-1]
    page = opened()
    page.page.fill("#search-text", patch.key)
    page.page.wait_for_selector("#search-results li")
    assert serious(page) == []
    before = page.fragment
    page.page.keyboard.press("Enter")
    eventually(lambda: page.fragment != before)
    longitude, latitude = of_patch(reader, patch)
    page.page.fill("#search-text", f"{latitude:.6f}, {longitude:.6f}")
    page.page.keyboard.press("Enter")
    page.page.wait_for_selector("#story .where")
    assert patch.key in page.page.inner_text("#story .where")


def test_a_link_brings_back_what_was_on_the_screen(
    opened: Any, grid: PatchGrid, reader: Reader
) -> None:
    longitude, latitude = of_patch(reader, grid.patches[0])
    first = opened("#15/46.701/17.999")
    first.page.check("#layer-confidence", force=True)
    first.page.select_option("#patches-asset", "features")
    first.page.fill("#opacity", "60")
    eventually(lambda: "opacity=0.6" in first.fragment)
    link = f"#{first.fragment}&pixel={longitude:.6f},{latitude:.6f}"
    second = opened(link)
    assert second.page.is_checked("#layer-confidence")
    assert second.page.input_value("#patches-asset") == "features"
    assert second.page.input_value("#opacity") == "60"
    assert second.page.is_visible("#story .verdict")
    assert second.fragment == link[1:]


def test_back_and_forward_go_through_what_was_chosen(opened: Any) -> None:
    page = opened()
    page.page.check("#layer-confidence", force=True)
    page.page.check("#layer-reference", force=True)
    page.page.go_back()
    eventually(lambda: page.page.is_checked("#layer-confidence"))
    page.page.go_back()
    eventually(lambda: page.page.is_checked("#layer-land_cover"))
    page.page.go_forward()
    eventually(lambda: page.page.inner_text("#left-title"), f"Confidence, {YEAR}")


def test_a_failed_patch_is_seen_as_failed_then_as_current_without_reloading(
    tmp_path: Path, opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(running.HOME_VARIABLE, raising=False)
    unseen = first_never_seen(tmp_path)
    worker = worker_of(unseen)
    assert not worker.run(Task("grid", JOBS["grid"])).errors
    patches = worker.instance.get_dynamic_partitions(PATCH)
    first, *others = (Partition(name, 2021) for name in patches)
    acquire = Task("patch_year", ("raw_bands",), (first, *others))
    worker._execute(acquire)
    with served(create_app(lc_platform.open(unseen.folder / "lc.yaml"))) as address:
        page = opened("#patches=raw_bands", at=address)

        def counts() -> dict[str, str]:
            page.page.evaluate("() => document.dispatchEvent(new Event('visibilitychange'))")
            rows = page.page.locator("#states tbody tr")
            return dict(row.rstrip("!…↻ ").rsplit(maxsplit=1) for row in rows.all_inner_texts())

        eventually(lambda: counts().get("failed !"), "1")
        assert "no acquisition between 2021-01-01" in page.page.inner_text("#patches .named")
        unseen.acquire("2021-06-06", footprint(*metres(0.1, 0, 2.9, 1)))
        assert not worker_of(unseen).run(Task("patch_year", ("raw_bands",), (first,))).errors
        eventually(lambda: (counts()["failed !"], counts()["missing"]), ("0", "0"))
        assert page.page.locator(f"#go-{first.patch}").count() == 0
        page.close()


def test_each_patch_is_linked_to_its_partition(
    opened: Any, grid: PatchGrid, reader: Reader
) -> None:
    longitude, latitude = of_patch(reader, grid.patches[0])
    page = opened(f"#patches=predictions&pixel={longitude:.6f},{latitude:.6f}")
    link = page.page.get_by_role("link", name="This patch in Dagster").get_attribute("href")
    assert link.startswith("http://dagster.example/assets/predictions")
    assert grid.patches[0].key in link


def test_the_keyboard_reaches_the_map_and_reads_a_pixel(
    opened: Any, grid: PatchGrid, reader: Reader
) -> None:
    longitude, latitude = of_patch(reader, grid.patches[0])
    page = opened(f"#19/{latitude:.7f}/{longitude:.7f}")
    page.page.keyboard.press("Tab")
    assert page.page.evaluate("document.activeElement.id") == "skip"
    page.page.keyboard.press("Enter")
    page.page.keyboard.press("Enter")
    page.page.wait_for_selector("#story .verdict")
    first = page.page.inner_text("#story .where")
    assert grid.patches[0].key in first
    page.page.keyboard.press("Shift+ArrowRight")
    eventually(lambda: page.page.inner_text("#story .where") != first)
    page.page.keyboard.press("Escape")
    eventually(lambda: page.page.is_hidden("#story"))


def test_a_phone_and_dark_colours_work(opened: Any, grid: PatchGrid, reader: Reader) -> None:
    longitude, latitude = of_patch(reader, grid.patches[0])
    page = opened(viewport={"width": 390, "height": 800}, color_scheme="dark")
    wide = "() => document.documentElement.scrollWidth"
    assert page.page.evaluate(wide) == 390
    assert np.mean(page.pixels()[20:100]) < 80
    assert serious(page) == []
    page.page.click("#panel-toggle")
    assert page.page.is_visible("#legend")
    assert serious(page) == []
    page.go(f"pixel={longitude:.6f},{latitude:.6f}")
    page.page.wait_for_selector("#story .verdict")
    assert page.page.evaluate(wide) == 390
    assert serious(page) == []
    page.page.click("#theme")
    eventually(lambda: bool(np.mean(page.pixels()[20:100]) > 160))


def test_an_area_without_a_map_says_what_to_run(
    reader: Reader, tmp_path: Path, opened: Any
) -> None:
    shutil.copy(Path(str(reader.store)) / "patch_grid.parquet", tmp_path)
    with served(create_app(Reader(Store(str(tmp_path)), reader.config))) as address:
        page = opened(at=address)
        assert "lc-platform run" in page.page.inner_text("#notice")
        assert "lc-platform run" in page.page.inner_text("#status")
        assert serious(page) == []
        page.close()


def test_a_place_in_no_patch_is_said_without_an_error(opened: Any, reader: Reader) -> None:
    west, _, _, north = reader.patches.total_bounds
    page = opened(f"#pixel={west - 0.0005:.6f},{north:.6f}")
    eventually(lambda: "lies in none of the" in page.page.inner_text("#story"))


def test_the_legend_is_seen_on_a_laptop(opened: Any) -> None:
    page = opened(viewport={"width": 1280, "height": 800})
    box = page.page.locator("#legend tbody tr").nth(3).bounding_box()
    assert box["y"] + box["height"] < 800
    assert serious(page) == []


def test_a_server_that_is_gone_is_said(reader: Reader, opened: Any, grid: PatchGrid) -> None:
    longitude, latitude = of_patch(reader, grid.patches[0])
    with served(create_app(reader)) as address:
        page = opened(at=address, fails=True)
    page.go(f"pixel={longitude:.6f},{latitude:.6f}")
    eventually(lambda: "does not answer" in page.page.inner_text("#story"))
