"""Run launchers that notice when a run's process is gone without having said so.

Dagster's own leave such a run "started" until its maximum run time is over: the default one never
looks after its runs, and Celery's believes the last state that a worker wrote before it was killed.
What these report as failed, run monitoring fails and run retries start again.
"""
