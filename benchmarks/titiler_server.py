"""titiler.core's endpoint for COGs, as its documentation serves it. Runs in its environment."""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI  # type: ignore[import-not-found,unused-ignore]
from titiler.core.factory import TilerFactory  # type: ignore[import-not-found]

if __name__ == "__main__":
    app = FastAPI()
    app.include_router(TilerFactory(router_prefix="/cog").router, prefix="/cog")
    uvicorn.run(app, port=int(sys.argv[1]), access_log=False, log_level="warning")
