"""What of earlier acquisitions is the same imagery, and may be reused."""

from __future__ import annotations

from typing import Any

from lc_platform.acquisition.read_plan import plans
from lc_platform.products.options import AcquisitionOptions
from lc_platform_tests.acquisition.patches import configured, patch


def digest(**simulation: Any) -> str:
    given = {"source": "simulated", "catalog": None, "simulation": simulation}
    config = configured(given)
    return plans(patch(), AcquisitionOptions.of(config))[0].digest()


def test_imagery_of_ground_on_which_other_things_change_is_another() -> None:
    felled, built = ({"since": 2020, name: 0.1} for name in ("felled", "built"))
    seen = {digest(), digest(seed=7), digest(bright_surfaces=0.1), digest(changes=felled)}
    seen |= {digest(changes=built), digest(changes={**felled, "since": 2021})}
    assert len(seen) == 6
    assert digest(changes=felled) == digest(changes=dict(felled))
