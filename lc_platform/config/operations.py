"""The section `operations`."""

from __future__ import annotations

import contextlib
import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from lc_platform.config.fields import Number, Section, Text, Truth, Whole, fraction
from lc_platform.config.problems import nearest, shown


def _zone(value: Any) -> Any:
    from zoneinfo import ZoneInfo, available_timezones

    if isinstance(value, str) and value in available_timezones():
        return ZoneInfo(value).key
    hint = nearest(str(value), sorted(available_timezones()))
    raise ValueError(f"{shown(value)} is no time zone. Write for example Europe/Ljubljana.{hint}")


def _cron(value: Any) -> Any:
    import dagster as dg

    # Dagster is to run it: what it takes for a cron string counts.
    with contextlib.suppress(dg.DagsterInvalidDefinitionError):
        if isinstance(value, str):
            dg.ScheduleDefinition(job_name="any", cron_schedule=value)
            return value
    raise ValueError(
        f"{shown(value)} is no cron string: minute, hour, day of month, month, day of week. Write "
        'for example "0 3 * * *", which is every night at three'
    )


def _from_environment(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}", value):
        return value
    raise ValueError(
        "a secret never stands in this file. Write ${NAME}, and set the environment variable NAME"
    )


Cron = Annotated[Text, BeforeValidator(_cron)]
Secret = Annotated[Text, BeforeValidator(_from_environment)]
Days = Annotated[Number, Field(gt=0)]


class Updating(Section):
    """The schedule that keeps the current year up to date."""

    enabled: Truth = False
    """Whether it runs as soon as it is deployed; in the UI it can be started at any time."""
    cron: Cron = "0 3 * * *"
    """When it runs: minute, hour, day of month, month, day of week."""
    late_days: Whole = Field(31, ge=0, le=180)
    """Days after the end of its season in which a year is kept up to date too: archives are
    late."""


class Rebuilding(Section):
    """The schedule that makes the model and the map anew."""

    enabled: Truth = False
    """Whether it runs as soon as it is deployed."""
    cron: Cron = "0 9 * * 1"
    """When it is asked whether a new map is due."""
    changed_share: Number = Field(0.2, gt=0, le=1)
    """Share of the patches whose samples are not those that the model has learnt from."""
    max_age: Days = 92.0
    """Days after which any change is enough: a season."""

    _fraction_unit = field_validator("changed_share", mode="before")(fraction)


class Watching(Section):
    """The sensor that asks the archive for new acquisitions.

    What it has asked for, and what was not made, it asks for again after a day.
    """

    enabled: Truth = False
    """Whether it runs as soon as it is deployed."""
    every: Whole = Field(3600, ge=30)
    """Seconds between two looks."""
    seconds: Number = Field(40.0, gt=0, le=50)
    """That one look may take; Dagster ends one after 60. The next one goes on where it stopped."""


class Checking(Section):
    """The schedule of the completeness checks: what is missing, stale or failed."""

    enabled: Truth = False
    """Whether it runs as soon as it is deployed."""
    cron: Cron = "30 6 * * *"
    """When it runs."""


class Email(Section):
    """A mail server, and who gets mail."""

    host: Text
    """The mail server."""
    port: Whole = Field(587, ge=1, le=65535)
    """The mail server's port."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """The encryption of the connection."""
    user: Text | None = None
    """The user name at the mail server."""
    password: Secret | None = None
    """The environment variable that has it."""
    sender: Text
    """The address that mail comes from."""
    to: tuple[Text, ...] = Field(min_length=1)
    """Addresses that mail goes to."""

    @model_validator(mode="after")
    def _no_password_in_the_clear(self) -> Self:
        if (self.user is None) != (self.password is None):
            absent = "user" if self.user is None else "password"
            raise ValueError(f"{absent}: this key is missing. Give user and password, or neither")
        if self.password is not None and self.security == "none":
            raise ValueError(
                "security: none would send the password readable to all. Take starttls or tls"
            )
        return self


class Notifying(Section):
    """Who gets messages about failures, and how often.

    They are about runs that failed and are not started again; ticks of schedules and sensors that
    failed, or could not search the archive; backfills that failed as a whole. A channel that does
    not take a message is tried again, ever less often; what fails meanwhile is in the same message.
    """

    slack: Secret | None = None
    """The URL of a Slack webhook (or of a service that takes the same)."""
    email: Email | None = None
    ui: Text | None = None
    """Address of Dagster's UI, for the links in a message."""
    quiet: Number = Field(6.0, gt=0)
    """Hours in which one cause is told once, whatever it strikes; what came after is told together
    when they end."""
    timeout: Number = Field(10.0, gt=0, le=25)
    """Seconds that a message may take."""


class Operations(Section):
    """Schedules and sensors. They are off unless they are enabled here or in the UI."""

    timezone: Annotated[Text, BeforeValidator(_zone)] = "UTC"
    """Of the cron strings, and of where a year begins; east of Greenwich it begins with UTC's."""
    update: Updating = Updating()
    rebuild: Rebuilding = Rebuilding()
    acquisitions: Watching = Watching()
    checks: Checking = Checking()
    notify: Notifying = Notifying()
    map_age: tuple[Days, Days] = (100.0, 130.0)
    """Days after which a map is late, and overdue; told where `rebuild` is enabled."""

    @field_validator("map_age")
    @classmethod
    def _late_before_overdue(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] >= value[1]:
            raise ValueError(
                f"{list(value)}: a map is late before it is overdue. Write the smaller number first"
            )
        return value
