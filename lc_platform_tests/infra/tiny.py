"""A code location small enough to start often."""

import time

import dagster as dg


@dg.asset
def answer(context: dg.AssetExecutionContext) -> int:
    print("forty-two")
    context.log.info("a line that nobody reads in a year")
    time.sleep(float(context.run.tags.get("seconds", "0")))
    return 42


@dg.asset(pool="acquisition")
def fetched() -> None: ...


defs = dg.Definitions(
    assets=[answer, fetched],
    jobs=[
        dg.define_asset_job("tiny", [answer], executor_def=dg.in_process_executor),
        dg.define_asset_job("fetching", [fetched], executor_def=dg.in_process_executor),
    ],
    resources={"io_manager": dg.mem_io_manager},
)
