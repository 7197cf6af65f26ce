"""Messages to people: by Slack, by e-mail."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import smtplib
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any, ClassVar, Protocol

from lc_platform import config as configuration
from lc_platform.config import Config
from lc_platform.errors import PlatformError

_LONGEST = 3000
"""Characters of a message: what one block of Slack takes."""
_KEPT = 86400.0
"""Seconds for which a message is kept for a channel that does not take it."""
_LETTERS = 50
"""That are kept so; the oldest are given up first."""
_REST = 3600.0
"""Seconds that a failing channel is left alone at most."""


class NotifyError(PlatformError):
    """A message did not go out; the words say which way, and what to do."""


@dataclass(frozen=True)
class Message:
    subject: str
    """One line."""
    text: str


class Channel(Protocol):
    """A way to people."""

    name: ClassVar[str]

    @property
    def timeout(self) -> float:
        """Seconds that a message may take."""
        ...

    def send(self, message: Message) -> None:
        """Raises NotifyError where the message was not taken."""
        ...


@dataclass(frozen=True)
class Slack:
    """A webhook: the address is a secret, and no error tells it."""

    name: ClassVar[str] = "slack"
    webhook: str
    timeout: float

    def send(self, message: Message) -> None:
        text = f"*{_escaped(message.subject)}*\n{_escaped(_shortened(message.text))}"
        try:
            request = urllib.request.Request(
                self.webhook,
                data=json.dumps({"text": text}).encode(),
                headers={"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=self.timeout):
                return
        except urllib.error.HTTPError as error:
            why = f"it answers {error.code} {error.reason}"
        except (ValueError, http.client.HTTPException) as error:
            why = type(error).__name__  # its text may hold the address
        except OSError as error:
            why = _reason(error)
        raise NotifyError(
            f"operations.notify.slack: the message was not taken ({why}). Check the webhook's "
            "address in its environment variable, and that the service can be reached"
        )


@dataclass(frozen=True)
class Mail:
    """A mail server."""

    name: ClassVar[str] = "email"
    host: str
    port: int
    security: str
    sender: str
    to: Sequence[str]
    user: str | None
    password: str | None
    timeout: float

    def send(self, message: Message) -> None:
        mail = EmailMessage()
        try:
            mail["Subject"] = " ".join(message.subject.split())
            mail["From"] = self.sender
            mail["To"] = ", ".join(self.to)
            mail.set_content(message.text)
            self._deliver(mail)
        except (OSError, ValueError, smtplib.SMTPException) as error:
            # A ValueError's words have what it is about in them: the password, perhaps.
            why = type(error).__name__ if isinstance(error, ValueError) else _reason(error)
            raise NotifyError(
                f"operations.notify.email: {self.host}:{self.port} did not take the message "
                f"({why}). Check host, port, security, user and password"
            ) from None

    def _deliver(self, mail: EmailMessage) -> None:
        trusted = ssl.create_default_context()
        server: smtplib.SMTP
        if self.security == "tls":
            server = _TimedTls(self.host, self.port, timeout=self.timeout, context=trusted)
        else:
            server = _Timed(self.host, self.port, timeout=self.timeout)
        with contextlib.closing(server):
            if self.security == "starttls":
                server.starttls(context=trusted)
            if self.user is not None and self.password is not None:
                server.login(self.user, self.password)
            server.send_message(mail)
            # It is taken, however the server takes the farewell.
            with contextlib.suppress(OSError, smtplib.SMTPException):
                server.quit()


class _Timed(smtplib.SMTP):
    """A conversation that ends in time; the time-out of `smtplib` is that of each line."""

    def __init__(self, host: str, port: int, *, timeout: float, **settings: Any) -> None:
        self._limit, self._stop = timeout, time.monotonic() + timeout
        super().__init__(host, port, timeout=timeout, **settings)

    def send(self, s: Any) -> None:
        self._hurry()
        super().send(s)

    def getreply(self) -> tuple[int, bytes]:
        self._hurry()
        return super().getreply()

    def _hurry(self) -> None:
        left = self._stop - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"it has taken longer than {self._limit:g} s")
        if self.sock is not None:
            self.sock.settimeout(left)


class _TimedTls(_Timed, smtplib.SMTP_SSL):
    pass


def channels(config: Config) -> list[Channel]:
    """The ways to people that a configuration names; none where it names none.

    Raises ConfigError where an environment variable that it names is not set.
    """
    notify = config.operations.notify
    found: list[Channel] = []
    if notify.slack is not None:
        webhook = configuration.expand(notify.slack, "operations.notify.slack")
        found.append(Slack(webhook, notify.timeout))
    if notify.email is not None:
        mail = notify.email
        password = mail.password and configuration.expand(
            mail.password, "operations.notify.email.password"
        )
        found.append(
            Mail(
                mail.host,
                mail.port,
                mail.security,
                mail.sender,
                mail.to,
                mail.user,
                password,
                notify.timeout,
            )
        )
    return found


def send(channels: Sequence[Channel], message: Message) -> dict[str, str]:
    """Send a message every way at the same time, and wait for none longer than it may take.

    Returns what is wrong, by the names of the ways that did not take it.
    """
    if not channels:
        return {}
    pool = ThreadPoolExecutor(len(channels), thread_name_prefix="notify")
    began = time.monotonic()
    sent = [(channel, pool.submit(channel.send, message)) for channel in channels]
    problems = {}
    for channel, future in sent:
        try:
            future.result(max(0.0, began + channel.timeout + 1 - time.monotonic()))
        except NotifyError as error:
            problems[channel.name] = str(error)
        except ValueError as error:  # of what a password or an address has in it: not shown
            problems[channel.name] = (
                f"operations.notify.{channel.name}: {type(error).__name__}. Check its settings"
            )
        except TimeoutError:
            problems[channel.name] = (
                f"operations.notify.{channel.name}: no answer for {channel.timeout:g} s. Check "
                "that the service can be reached"
            )
    # What hangs, such as a search for the server's address, is not waited for.
    pool.shutdown(wait=False, cancel_futures=True)
    return problems


@dataclass
class Letter:
    """A message that some channels are still to take."""

    subject: str
    text: str
    ways: list[str]
    """The names of these channels."""
    since: float
    """Seconds since 1970 when it was sent first."""


@dataclass
class Rest:
    """How a channel fails."""

    failures: int
    """Since it took a message last."""
    until: float
    """Seconds since 1970; before, it is not tried again."""


@dataclass
class Post:
    """What is sent to people: every channel is told once, one that fails is tried again for a day,
    ever less often."""

    channels: Sequence[Channel]
    letters: list[Letter] = field(default_factory=list)
    rests: dict[str, Rest] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    """What went wrong in this look."""
    _failed: set[str] = field(default_factory=set)
    """The channels that failed in this look: they are left alone until the next."""

    @property
    def seconds(self) -> float:
        """That a message takes at most, however the channels fare."""
        return max((channel.timeout for channel in self.channels), default=0.0) + 1

    def send(self, message: Message, now: float) -> bool:
        """Send a message by all channels that are not left alone; the others get it later.

        now  seconds since 1970

        Returns whether one took it. Where none did it is not kept.
        """
        left = self._try(self.channels, message, now)
        if len(left) == len(self.channels):
            return False
        if left:
            self.letters.append(Letter(message.subject, _shortened(message.text), left, now))
        return True

    def awaited(self, now: float) -> list[Letter]:
        """The letters that may be tried now, without those that are given up."""
        self.letters = [one for one in self.letters if now - one.since < _KEPT][-_LETTERS:]
        return [
            one for one in self.letters if any(not self._is_left_alone(w, now) for w in one.ways)
        ]

    def send_again(self, letter: Letter, now: float) -> None:
        """Try the channels that have not taken a letter."""
        wanted = [channel for channel in self.channels if channel.name in letter.ways]
        letter.ways = self._try(wanted, Message(letter.subject, letter.text), now)
        self.letters = [one for one in self.letters if one.ways]

    def _try(self, channels: Sequence[Channel], message: Message, now: float) -> list[str]:
        """Returns the names of the channels that did not take a message."""
        tried = [channel for channel in channels if not self._is_left_alone(channel.name, now)]
        problems = send(tried, message)
        for channel in tried:
            if channel.name not in problems:
                self.rests.pop(channel.name, None)
                continue
            self._failed.add(channel.name)
            self.problems.append(problems[channel.name])
            before = self.rests.get(channel.name)
            failures = before.failures + 1 if before else 1
            wait = min(60.0 * (2 ** min(failures - 1, 10) - 1), _REST)
            self.rests[channel.name] = Rest(failures, now + wait)
        return [c.name for c in channels if c not in tried or c.name in problems]

    def _is_left_alone(self, name: str, now: float) -> bool:
        rest = self.rests.get(name)
        return name in self._failed or (rest is not None and now < rest.until)

    def to_json(self) -> dict[str, Any]:
        return {
            "letters": [dataclasses.asdict(letter) for letter in self.letters],
            "rests": {name: dataclasses.asdict(rest) for name, rest in self.rests.items()},
        }

    @classmethod
    def from_json(cls, channels: Sequence[Channel], data: Mapping[str, Any]) -> Post:
        letters: Iterable[Mapping[str, Any]] = data.get("letters", ())
        return cls(
            channels,
            [Letter(**one) for one in letters],
            {name: Rest(**one) for name, one in data.get("rests", {}).items()},
        )


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    if isinstance(reason, smtplib.SMTPResponseException):
        told = reason.smtp_error
        words = told.decode(errors="replace") if isinstance(told, bytes) else told
        return f"{reason.smtp_code} {words}"
    return str(getattr(reason, "strerror", None) or reason) or type(reason).__name__


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _escaped(text: str) -> str:
    """Without what Slack takes for mentions and links."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
