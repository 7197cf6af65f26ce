"""Messages to people, by Slack and by e-mail."""

from __future__ import annotations

import contextlib
import smtplib
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any, ClassVar, Protocol

import requests

from lc_platform import config as configuration
from lc_platform.config import Config
from lc_platform.errors import PlatformError

_LONGEST = 3000
"""Characters of a message that one block of Slack takes."""


class NotifyError(PlatformError):
    """A message did not go out. The text names the channel and says what to do."""


@dataclass(frozen=True)
class Message:
    subject: str
    """One line."""
    text: str


class Channel(Protocol):
    """A service that takes messages to people."""

    name: ClassVar[str]

    @property
    def timeout(self) -> float:
        """Seconds that a message may take."""
        ...

    def send(self, message: Message) -> None:
        """Send a message. Raises NotifyError where the service did not take it."""
        ...


@dataclass(frozen=True)
class Slack:
    """A webhook. Its address is a secret, which no error shows."""

    name: ClassVar[str] = "slack"
    webhook: str
    timeout: float

    def send(self, message: Message) -> None:
        text = f"*{_escaped(message.subject)}*\n{_escaped(_shortened(message.text))}"
        try:
            answer = requests.post(self.webhook, json={"text": text}, timeout=self.timeout)
        except (requests.RequestException, ValueError) as error:
            reason = type(error).__name__  # its text may hold the address
        else:
            if answer.ok:
                return
            reason = f"it answers {answer.status_code} {answer.reason}"
        raise NotifyError(
            f"operations.notify.slack: the message was not taken ({reason}). Check the webhook's "
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
            # The text of a ValueError may quote the password.
            reason = type(error).__name__ if isinstance(error, ValueError) else _reason(error)
            raise NotifyError(
                f"operations.notify.email: {self.host}:{self.port} did not take the message "
                f"({reason}). Check host, port, security, user and password"
            ) from None

    def _deliver(self, mail: EmailMessage) -> None:
        trusted = ssl.create_default_context()
        server: smtplib.SMTP
        if self.security == "tls":
            server = _SmtpTls(self.host, self.port, timeout=self.timeout, context=trusted)
        else:
            server = _Smtp(self.host, self.port, timeout=self.timeout)
        with contextlib.closing(server):
            if self.security == "starttls":
                server.starttls(context=trusted)
            if self.user is not None and self.password is not None:
                server.login(self.user, self.password)
            server.send_message(mail)
            # The message is taken, however the server answers QUIT.
            with contextlib.suppress(OSError, smtplib.SMTPException):
                server.quit()


class _Smtp(smtplib.SMTP):
    """A conversation whose time-out is that of all its lines together, where that of `smtplib` is
    that of each."""

    def __init__(self, host: str, port: int, *, timeout: float, **options: Any) -> None:
        self._limit, self._end = timeout, time.monotonic() + timeout
        super().__init__(host, port, timeout=timeout, **options)

    def getreply(self) -> tuple[int, bytes]:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"it has taken longer than {self._limit:g} s")
        if self.sock is not None:
            self.sock.settimeout(left)
        return super().getreply()


class _SmtpTls(_Smtp, smtplib.SMTP_SSL):
    pass


def channels(config: Config) -> list[Channel]:
    """Return the channels that a configuration names.

    Raises ConfigError where an environment variable that it names is not set.
    """
    notify = config.operations.notify
    found: list[Channel] = []
    if notify.slack is not None:
        webhook = configuration.expand(notify.slack, "operations.notify.slack")
        found.append(Slack(webhook, notify.timeout))
    if (mail := notify.email) is not None:
        password = mail.password and configuration.expand(
            mail.password, "operations.notify.email.password"
        )
        server = mail.host, mail.port, mail.security
        found.append(Mail(*server, mail.sender, mail.to, mail.user, password, notify.timeout))
    return found


def _reason(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        text = error.smtp_error
        text = text.decode(errors="replace") if isinstance(text, bytes) else text
        return f"{error.smtp_code} {text}"
    return str(getattr(error, "strerror", None) or error) or type(error).__name__


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _escaped(text: str) -> str:
    """Escape what Slack takes for mentions and links."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
