"""Write the indices of Awesome Spectral Indices that Sentinel-2's bands suffice for.

``python .ci/spectral_indices.py spyndex-0.12.0-py3-none-any.whl`` reads the catalogue that the
wheel of spyndex ships (MIT) and writes `lc_platform/eo/spectral_indices.json`, an index a line.
"""

import json
import sys
import zipfile
from pathlib import Path

TARGET = Path(__file__).parents[1] / "lc_platform" / "eo" / "spectral_indices.json"
BANDS = {
    "A": "B01", "B": "B02", "G": "B03", "R": "B04", "RE1": "B05", "RE2": "B06", "RE3": "B07",
    "N": "B08", "N2": "B8A", "WV": "B09", "S1": "B11", "S2": "B12",
}  # fmt: skip


def main(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as files:

        def read(name: str) -> str:
            (path,) = (one for one in files.namelist() if one.endswith(name))
            return files.read(path).decode()

        indices = json.loads(read("data/spectral-indices-dict.json"))["SpectralIndices"]
        constants = json.loads(read("data/constants.json"))
        bands = json.loads(read("data/bands.json"))
        license_text = read("licenses/LICENSE")
    usual = {name: one["default"] for name, one in constants.items() if one["default"] is not None}
    waves = {
        f"lambda{name}": bands[name]["platforms"]["sentinel2a"]["wavelength"] for name in BANDS
    }
    kernels = {"kNN", "kNR"}
    chosen = {
        name: one
        for name, one in sorted(indices.items())
        if set(one["bands"]) <= {*BANDS, *constants, *kernels}
    }
    needed = {symbol for one in chosen.values() for symbol in one["bands"]}
    head = {
        "source": f"Awesome Spectral Indices, as shipped with {wheel.name.split('-py3')[0]}",
        "license": license_text.split("\n"),
        "bands": BANDS,
        "constants": {n: v for n, v in sorted({**usual, **waves}.items()) if n in needed},
    }
    lines = [f'"{key}": {json.dumps(value)},' for key, value in head.items()]
    entries = [
        json.dumps(name)
        + ": "
        + json.dumps(
            {
                "title": one["long_name"],
                "formula": one["formula"],
                "reference": one["reference"],
            }
        )
        for name, one in chosen.items()
    ]
    text = "{\n" + "\n".join(lines) + '\n"indices": {\n' + ",\n".join(entries) + "\n}\n}\n"
    json.loads(text)
    TARGET.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
