"""Messages reach real servers, and what does not go out says why without telling a secret."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lc_platform.config import ConfigError, parse
from lc_platform.monitoring.notify import (
    Mail,
    Message,
    NotifyError,
    Slack,
    channels,
)
from lc_platform_tests.automation.deployments import settings
from lc_platform_tests.receivers import free_port, mail, mail_server, webhook

MESSAGE = Message("demo: raw_bands failed (3 partitions)", "no acquisition\n\nPartitions: a, b, c")


def test_slack_takes_the_message() -> None:
    with webhook() as hook:
        Slack(hook.url, 5).send(MESSAGE)
        assert hook.received == [
            "*demo: raw_bands failed (3 partitions)*\nno acquisition\n\nPartitions: a, b, c"
        ]


def test_nothing_in_a_message_calls_a_channel_of_slack() -> None:
    with webhook() as hook:
        Slack(hook.url, 5).send(Message("<!channel>", "a & b <http://x|y>"))
        assert hook.received == ["*&lt;!channel&gt;*\na &amp; b &lt;http://x|y&gt;"]


def test_a_mail_server_takes_the_message() -> None:
    with mail_server() as server:
        mail(server.port).send(MESSAGE)
        [received] = server.received
    assert received["Subject"] == MESSAGE.subject
    assert received["From"] == "lc@a.org"
    assert received["To"] == "b@a.org, c@a.org"
    assert received.get_content().splitlines() == MESSAGE.text.splitlines()


def test_a_subject_of_two_lines_adds_no_header() -> None:
    with mail_server() as server:
        mail(server.port).send(Message("one\nBcc: all@a.org", "text"))
        [received] = server.received
    assert received["Subject"] == "one Bcc: all@a.org"
    assert received["Bcc"] is None


def test_a_mail_server_that_asks_for_a_password_gets_it() -> None:
    with mail_server("lc", "right") as server:
        mail(server.port, user="lc", password="right").send(MESSAGE)
        assert server.senders == ["lc"]


def test_a_wrong_password_is_named_and_not_told() -> None:
    with mail_server("lc", "right") as server, pytest.raises(NotifyError) as error:
        mail(server.port, user="lc", password="wr0ng").send(MESSAGE)
    assert "operations.notify.email" in str(error.value)
    assert "535" in str(error.value)
    assert "wr0ng" not in str(error.value)


def test_a_webhook_that_is_refused_is_named_and_not_told() -> None:
    with webhook() as hook:
        hook.status = 404
        with pytest.raises(NotifyError, match=r"operations\.notify\.slack.*404") as error:
            Slack(hook.url, 5).send(MESSAGE)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("address", ["not-an-address/secret", "http://127.0.0.1:{port}/secret"])
def test_a_webhook_that_cannot_be_reached_is_named_and_not_told(address: str) -> None:
    with pytest.raises(NotifyError, match=r"operations\.notify\.slack") as error:
        Slack(address.format(port=free_port()), 5).send(MESSAGE)
    assert "secret" not in str(error.value)


def test_a_mail_server_without_tls_is_not_spoken_to_where_tls_is_asked_for() -> None:
    with mail_server() as server, pytest.raises(NotifyError, match="STARTTLS"):
        mail(server.port, security="starttls").send(MESSAGE)


@contextmanager
def slow_mail_server(seconds: float) -> Iterator[tuple[int, list[bytes]]]:
    """A mail server that waits before every answer."""
    received: list[bytes] = []

    def serve() -> None:
        with contextlib.suppress(OSError):
            one, _ = listening.accept()
            with one, one.makefile("rb") as lines:
                time.sleep(seconds)
                one.sendall(b"220 slow\r\n")
                for line in lines:
                    time.sleep(seconds)
                    if line.startswith(b"Subject"):
                        received.append(line)
                    one.sendall(b"354 go on\r\n" if line.startswith(b"data") else b"250 ok\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, daemon=True).start()
        yield int(listening.getsockname()[1]), received


def test_a_mail_server_that_answers_line_by_line_too_slowly_gets_no_message() -> None:
    with slow_mail_server(0.4) as (port, received):
        with pytest.raises(NotifyError, match=r"timed out|longer than 1 s"):
            mail(port, timeout=1).send(MESSAGE)
        time.sleep(1)
    assert received == []


def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLACK_WEBHOOK", raising=False)
    config = parse(settings(operations={"notify": {"slack": "${SLACK_WEBHOOK}"}}))
    with pytest.raises(ConfigError, match=r"operations\.notify\.slack.*SLACK_WEBHOOK"):
        channels(config)


def test_the_address_and_the_password_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOOK", "http://127.0.0.1/x")
    monkeypatch.setenv("WORD", "right")
    email = {"host": "a.org", "sender": "a@a.org", "to": ["b@a.org"]}
    email |= {"user": "lc", "password": "${WORD}"}
    config = parse(settings(operations={"notify": {"slack": "${HOOK}", "email": email}}))
    slack, by_mail = channels(config)
    assert slack == Slack("http://127.0.0.1/x", 10.0)
    assert isinstance(by_mail, Mail)
    assert by_mail.password == "right"
