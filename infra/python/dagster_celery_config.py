"""Settings of a Celery worker; `dagster_celery.app` reads the module of this name.

The broker's password is in its URL, so that URL is read from the environment. (`dagster-celery
worker start -y FILE` would write it to a file below DAGSTER_HOME at every start.)
"""

import os

broker_url = os.environ["LC_PLATFORM_BROKER"]
result_backend = os.environ["LC_PLATFORM_BROKER"]

# The same in dagster.yaml, which sets them for the processes that launch runs.
broker_transport_options = {"visibility_timeout": 43200}
result_expires = 604800

# A broker that is away for a night must find its workers there in the morning.
broker_connection_retry_on_startup = True
broker_connection_max_retries = None

# A run is taken when it can start, not before: another worker may be free.
worker_prefetch_multiplier = 1
# What libraries leak goes back to the system.
worker_max_tasks_per_child = 50
# Dagster captures what runs print, and needs the real files for it.
worker_redirect_stdouts = False
