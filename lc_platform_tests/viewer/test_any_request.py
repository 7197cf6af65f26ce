"""Requests of every kind, made up from the description of the interface."""

from __future__ import annotations

from contextlib import suppress
from importlib.util import find_spec
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable

from lc_platform.reading.reader import Reader
from lc_platform.viewer.app import create_app
from lc_platform.viewer.layers import LAYERS
from lc_platform_tests.graphs import YEAR
from lc_platform_tests.servers import lacking


@pytest.mark.slow
def test_no_request_ends_in_an_error_of_the_server(reader: Reader) -> None:
    if find_spec("schemathesis") is None:
        lacking("schemathesis")
    import schemathesis
    from schemathesis import GenerationMode

    schema = schemathesis.openapi.from_asgi("/openapi.json", create_app(reader))
    asked = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        for mode in GenerationMode:

            @settings(
                max_examples=12,
                deadline=None,
                database=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            )
            @given(
                case=operation.as_strategy(generation_mode=mode),
                layer=st.sampled_from(list(LAYERS)),
                known=st.booleans(),
            )  # fmt: skip
            def ask(case: Any, layer: str, known: bool) -> None:
                nonlocal asked
                if known:  # so that it comes further than to a year or a layer that is not there
                    for place, name, value in (
                        (case.query, "year", YEAR),
                        (case.path_parameters, "year", YEAR),
                        (case.path_parameters, "layer", layer),
                    ):
                        if place and name in place:
                            place[name] = value
                answer = case.call()
                asked += 1
                assert answer.status_code < 500, f"{case.method} {answer.url}: {answer.text[:500]}"

            with suppress(Unsatisfiable):  # where nothing is asked with, nothing can be wrong
                ask()
    assert asked > 100
