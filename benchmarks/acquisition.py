"""``python -m benchmarks.acquisition``: how fast imagery comes over the network, by the tests'
stand-ins on this machine, beside what others do with the same requests.

``sentinel_hub``, beside sentinelhub's own ``get_data``
-------------------------------------------------------
256 x 256 pixels of six bands an acquisition (0.66 MB as they come), on a machine with two
processors; the stand-in in a process of its own has the other one, and the last column is a thread
for each connection that calls ``get_data``:

latency  connections  acquisitions/s      MB/s         get_data
  50 ms            1            16.7      11.0      16.5 (x 1.01)
  50 ms            4            61.0      40.3      60.8 (x 1.00)
  50 ms           16           137.8      91.1     139.7 (x 0.99)
 200 ms            1             4.7       3.1       4.7 (x 1.00)
 200 ms            4            17.3      11.4      17.1 (x 1.01)
 200 ms           16            67.1      44.3      65.3 (x 1.03)

1200 requests a minute configured: 1165 made (97.1%), 0 refused

With few connections the latency is all there is. With 16 of them decoding is: 7.3 ms of processor
time an acquisition, of which most is inflating the TIFF (``get_data`` takes 8.8). Connections are
kept; what that saves, the handshakes of TLS, does not show without TLS.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from sentinelhub.api.process import SentinelHubRequest
from sentinelhub.config import SHConfig
from sentinelhub.constants import CRS, MimeType
from sentinelhub.data_collections import DataCollection
from sentinelhub.geometry import BBox

from benchmarks import report, stac_acquisition
from benchmarks.settings import Settings
from lc_platform.sources.protocol import Acquisition
from lc_platform.sources.sentinel_hub.archive import SentinelHubArchive
from lc_platform.sources.sentinel_hub.evalscript import encodings, evalscript
from lc_platform_tests import sentinel_hub_server

BANDS = ("B02", "B03", "B04", "B08", "B11", "B12")
GRID = GeoBox((256, 256), Affine(10, 0, 460_000, 0, -10, 5_100_000), "EPSG:32633")
PERIOD = (datetime(2019, 5, 1, tzinfo=UTC), datetime(2019, 7, 1, tzinfo=UTC))
LATENCIES = (0.05, 0.2)
CONNECTIONS = (1, 4, 16)
SECONDS = 1.5
"""That one measurement takes if nothing but the latency takes time."""
MOST = 160
"""Requests of one measurement."""
REPEATED = 3
"""Measurements of each kind in turns; the median counts."""
RATE = 1200
"""Requests a minute, of the last part."""


def main() -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.acquisition")
    parts = {"sentinel_hub": _sentinel_hub, "stac": _stac}
    parser.add_argument("parts", nargs="*", metavar="PART", help=" or ".join(parts))
    parser.add_argument("--pairs", type=int, default=3, help="of stac: how often each is timed (3)")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="real imagery")
    parser.add_argument("--write", type=Path, metavar="FILE", help="of stac: put the table there")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(parts):
        parser.error(f"{', '.join(unknown)}: no such part; there are {', '.join(parts)}")
    return max(parts[part](arguments) for part in arguments.parts or parts)


def _stac(arguments: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="lc-benchmarks-") as folder:
        settings = Settings(1000, arguments.pairs, (), Path(folder), arguments.data.resolve())
        tables = stac_acquisition.run(settings)
    for table in tables:
        print(f"{table.title}\n\n{report.markdown(table)}")
    if arguments.write is not None:
        report.write(tables, arguments.write)
    return 0


def _sentinel_hub(_: argparse.Namespace) -> int:
    with _server_process() as set_latency:
        print(f"{GRID.shape[0]} x {GRID.shape[1]} pixels of {len(BANDS)} bands an acquisition")
        print("latency  connections  acquisitions/s      MB/s         get_data")
        for latency in LATENCIES:
            for connections in CONNECTIONS:
                _measure(latency, connections, set_latency)
    return _rate()


def _measure(latency: float, connections: int, set_latency: Callable[[float], None]) -> None:
    ours = SentinelHubArchive("sentinel-2-l1c", connections=connections, retries=0)
    set_latency(0.0)
    acquisitions = ours.search(GRID.extent, *PERIOD)
    theirs = [_request(acquisition) for acquisition in acquisitions]
    size = 0
    for acquisition, request in zip(acquisitions, theirs, strict=True):
        size += ours.read(acquisition, GRID, BANDS).cost.bytes  # the stand-in remembers it
        request.get_data()
    set_latency(latency)
    number = min(int(SECONDS / latency * connections), MOST)
    rates: list[tuple[float, float]] = []
    for _ in range(REPEATED):
        of_ours = _per_second(
            connections,
            lambda a: ours.read(a, GRID, BANDS),
            list(islice(cycle(acquisitions), number)),
        )
        of_theirs = _per_second(
            connections, lambda r: r.get_data(), list(islice(cycle(theirs), number))
        )
        rates.append((of_ours, of_theirs))
    mine, other = np.median(rates, axis=0)
    megabytes = size / len(acquisitions) / 1e6
    print(
        f"{latency * 1000:4.0f} ms  {connections:11}  {mine:14.1f}  {mine * megabytes:8.1f}"
        f"  {other:8.1f} (x {mine / other:.2f})"
    )


def _request(acquisition: Acquisition) -> SentinelHubRequest:
    known = encodings(DataCollection.SENTINEL2_L1C)
    box = GRID.boundingbox
    second = timedelta(seconds=1)
    config = SHConfig()
    data = SentinelHubRequest.input_data(
        DataCollection.SENTINEL2_L1C.define_from("stand_in", service_url=config.sh_base_url),
        time_interval=(acquisition.datetime - second, acquisition.datetime + second),
    )
    return SentinelHubRequest(
        evalscript=evalscript([known[band] for band in BANDS]),
        input_data=[data],
        responses=[SentinelHubRequest.output_response("default", MimeType.TIFF)],
        bbox=BBox((box.left, box.bottom, box.right, box.top), CRS("32633")),
        size=(GRID.shape[1], GRID.shape[0]),
        config=config,
    )


def _per_second(connections: int, read: Callable[[Any], Any], wanted: Sequence[Any]) -> float:
    with ThreadPoolExecutor(connections) as pool:
        started = time.perf_counter()
        list(pool.map(read, wanted))
        return len(wanted) / (time.perf_counter() - started)


def _rate() -> int:
    """Against a stand-in that refuses what comes faster."""
    with sentinel_hub_server.started(requests_per_minute=RATE, latency=0.05) as server:
        _find(server.environment(Path(tempfile.mkdtemp())))
        server.remembers = True
        archive = SentinelHubArchive(
            "sentinel-2-l1c", connections=16, requests_per_minute=RATE, retries=3
        )
        acquisition = archive.search(GRID.extent, *PERIOD)[0]
        archive.read(acquisition, GRID, BANDS)
        _per_second(16, lambda a: archive.read(a, GRID, BANDS), [acquisition] * (RATE // 6))
        times = [request.time for request in server.requests if request.kind == "process"][1:]
        reached = (len(times) - 1) / (times[-1] - times[0]) * 60
        print(f"\n{RATE} requests a minute configured: {reached:.0f} made", end="")
        print(f" ({reached / RATE:.1%}), {server.too_many} refused")
        return int(server.too_many > 0 or not 0.9 <= reached / RATE <= 1)


def _find(environment: dict[str, str]) -> None:
    os.environ.pop("SH_PROFILE", None)
    os.environ.update(environment)


@contextmanager
def _server_process() -> Iterator[Callable[[float], None]]:
    """A stand-in in a process of its own, so that it does not share the interpreter's lock with
    what is measured; gives what sets its latency."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    with tempfile.TemporaryDirectory() as folder:
        process = context.Process(target=_serve, args=(there, folder), daemon=True)
        process.start()
        try:
            _find(here.recv())

            def set_latency(seconds: float) -> None:
                here.send(seconds)
                here.recv()

            yield set_latency
        finally:
            here.close()
            process.terminate()
            process.join()


def _serve(pipe: Connection, folder: str) -> None:
    with sentinel_hub_server.started(remembers=True) as server:
        pipe.send(server.environment(Path(folder)))
        while True:
            try:
                server.latency = pipe.recv()
            except EOFError:
                return
            pipe.send(None)


if __name__ == "__main__":
    sys.exit(main())
