"""``python -m benchmarks``: what the platform takes, and what others take for the same."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import peer, report
from benchmarks.agreement import DisagreementError
from benchmarks.settings import Settings

PARTS = {
    "kernels": "each kernel against s2cloudless, eo-learn, numpy and LightGBM",
    "forests": "prediction by random forests, against scikit-learn",
    "postprocessing": "smoothing and applicability, against numpy, scipy, zeit-cdts and LightGBM",
    "patch": "a patch-year from stored bands to the stored map, against eo-learn",
    "area": "more patches, larger patches, more workers; the mosaic and what is stored",
    "limits": "each step against what memory, disk and processor allow",
    "stac_acquisition": "a patch-year from a STAC archive over HTTP, against odc.stac.load",
    "detector_resolution": "the cloud detector's error and speed by its resolution",
    "masks": "clouds, shadows and bright ground that are found, and the features' error by masks",
    "season": "series and features of the season, against scipy, numpy and others' kernels",
    "change": "change planted in three years that is found, against two maps laid over one another",
    "accuracy": "maps of before and now on ground that training has not seen",
    "ablation": "what families, masks, classifiers, padding and terrain bring, and what they take",
    "sampling": "samples of eroded polygons against all of their pixels",
    "segments": "maps of segments on ground that training has not seen, against those of pixels",
    "intervals": "how often intervals of areas and accuracies hold the truth",
    "wrong_labels": "how many wrong labels are found, and the map without them",
    "story": "a pixel's story, from a click to its answer",
    "map": "tiles of a country's map for several people at once, against titiler.core",
}
"""Modules of this package with ``run(settings)``, which gives tables."""
PEERS = {
    peer.EO_LEARN: {"kernels", "patch"},
    peer.ZEIT: {"postprocessing", "season"},
    peer.TITILER: {"map"},
    peer.SEASON: {"season"},
}
"""The parts that need a peer's environment, which is made for them alone."""


def main() -> int:
    arguments = _arguments()
    data = arguments.data.resolve()
    if not (data / "slovenia" / "l1c").is_dir():
        print(
            f"{data} has no real imagery (slovenia/l1c). Name its folder: --data", file=sys.stderr
        )
        return 2
    if arguments.write is not None and not arguments.write.is_file():
        print(f"{arguments.write} is not there. Name the document: --write", file=sys.stderr)
        return 2
    with _folder(arguments.folder) as folder:
        settings = Settings(
            arguments.size, arguments.pairs, tuple(arguments.threads), folder, data, arguments.full
        )
        parts = arguments.parts or list(PARTS)
        peers = [one for one, of in PEERS.items() if not of.isdisjoint(parts)]
        _show([report.machine(*(one.versions() for one in peers))], arguments.write)
        for part in parts:
            try:
                tables = import_module(f"benchmarks.{part}").run(settings)
            except DisagreementError as error:
                print(f"{part}: {error}. These figures are worth nothing", file=sys.stderr)
                return 1
            _show(tables, arguments.write)
    return 0


def _arguments() -> argparse.Namespace:
    parts = "\n".join(f"  {name:20} {what}" for name, what in PARTS.items())
    parser = argparse.ArgumentParser(
        "python -m benchmarks",
        description=__doc__,
        epilog=f"parts:\n{parts}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="which to run; all by default")
    parser.add_argument(
        "--size", type=_count, default=500, help="pixels along a patch's side (500)"
    )
    parser.add_argument("--pairs", type=_count, default=3, help="how often each is timed (3)")
    parser.add_argument("--threads", type=_count, nargs="+", default=[1, 2], help="(1 2)")
    parser.add_argument("--folder", type=Path, help="for inputs and stores; temporary by default")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="real imagery")
    parser.add_argument("--full", action="store_true", help="the largest sizes too")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the tables into FILE")
    arguments = parser.parse_intermixed_args()
    unknown = sorted(set(arguments.parts) - set(PARTS))
    if unknown:
        parser.error(f"{', '.join(unknown)}: no such part; there are {', '.join(PARTS)}")
    return arguments


def _count(given: str) -> int:
    if not given.isdecimal() or int(given) < 1:
        raise argparse.ArgumentTypeError(f"{given} is no whole number from 1 on")
    return int(given)


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given.resolve()
        return
    with TemporaryDirectory(prefix="lc-benchmarks-") as temporary:
        yield Path(temporary)


def _show(tables: Iterable[report.Table], document: Path | None) -> None:
    """Print, and write down at once what hours may have gone into."""
    for table in tables:
        print(f"\n## {table.title}\n\n{report.markdown(table)}", flush=True)
        if document is not None:
            report.write([table], document)


if __name__ == "__main__":
    sys.exit(main())
