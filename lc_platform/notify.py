"""Messages to people: by Slack, by e-mail."""

from __future__ import annotations

import http.client
import json
import smtplib
import ssl
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Protocol

from lc_platform import config as configuration
from lc_platform.config import Config
from lc_platform.errors import PlatformError

_LONGEST = 3000
"""Characters of a message: what one block of Slack takes."""


class NotifyError(PlatformError):
    """A message did not go out; the words say which way, and what to do."""


@dataclass(frozen=True)
class Message:
    subject: str
    """One line."""
    text: str


class Channel(Protocol):
    """A way to people."""

    def send(self, message: Message) -> None:
        """Raises NotifyError where the message was not taken."""
        ...


@dataclass(frozen=True)
class Slack:
    """A webhook: the address is a secret, and no error tells it."""

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
        mail["Subject"] = " ".join(message.subject.split())
        mail["From"] = self.sender
        mail["To"] = ", ".join(self.to)
        mail.set_content(message.text)
        try:
            self._deliver(mail)
        except (OSError, smtplib.SMTPException) as error:
            raise NotifyError(
                f"operations.notify.email: {self.host}:{self.port} did not take the message "
                f"({_reason(error)}). Check host, port, security, user and password"
            ) from None

    def _deliver(self, mail: EmailMessage) -> None:
        trusted = ssl.create_default_context()
        server: smtplib.SMTP
        if self.security == "tls":
            server = smtplib.SMTP_SSL(self.host, self.port, timeout=self.timeout, context=trusted)
        else:
            server = smtplib.SMTP(self.host, self.port, timeout=self.timeout)
        with server:
            if self.security == "starttls":
                server.starttls(context=trusted)
            if self.user is not None and self.password is not None:
                server.login(self.user, self.password)
            server.send_message(mail)


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


def send(channels: Sequence[Channel], message: Message) -> list[str]:
    """Send a message every way.

    Returns what is wrong with the ways that did not take it. Raises NotifyError where none did.
    """
    problems = []
    for channel in channels:
        try:
            channel.send(message)
        except NotifyError as error:
            problems.append(str(error))
    if len(problems) == len(channels):
        raise NotifyError("\n".join(problems))
    return problems


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
