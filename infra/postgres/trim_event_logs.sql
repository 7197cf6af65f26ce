-- Forget how old runs went, step by step, and keep what they made.
--
-- Dagster purges ticks (`retention` in dagster.yaml) but no events, and deleting a run in its UI
-- deletes its materializations with it: the partitions would be missing again. This deletes the log
-- lines and engine events older than :days of runs that are over, and keeps materializations, checks,
-- failures and the runs themselves. Between Dagster releases, try it on a copy first.
--
--   psql -v days=90 -f trim_event_logs.sql

DELETE FROM event_logs
USING runs
WHERE runs.run_id = event_logs.run_id
  AND runs.status IN ('SUCCESS', 'FAILURE', 'CANCELED')
  AND event_logs.timestamp < now() AT TIME ZONE 'utc' - make_interval(days => :days)
  AND (event_logs.dagster_event_type IS NULL
       OR event_logs.dagster_event_type IN (
           'ENGINE_EVENT', 'HANDLED_OUTPUT', 'LOADED_INPUT', 'LOGS_CAPTURED', 'OBJECT_STORE_OPERATION',
           'RESOURCE_INIT_FAILURE', 'RESOURCE_INIT_STARTED', 'RESOURCE_INIT_SUCCESS',
           'STEP_INPUT', 'STEP_OUTPUT', 'STEP_RESTARTED', 'STEP_SKIPPED', 'STEP_START', 'STEP_SUCCESS',
           'STEP_UP_FOR_RETRY', 'STEP_WORKER_STARTED', 'STEP_WORKER_STARTING'));

VACUUM (ANALYZE) event_logs;
