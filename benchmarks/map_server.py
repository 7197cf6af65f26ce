"""The platform's web map of a store, as `lc-platform map` serves it."""

from __future__ import annotations

import sys

import uvicorn

import lc_platform
from lc_platform.viewer.app import create_app

if __name__ == "__main__":
    store, port = sys.argv[1:]
    app = create_app(lc_platform.open(store))
    uvicorn.run(app, port=int(port), access_log=False, log_level="warning")
