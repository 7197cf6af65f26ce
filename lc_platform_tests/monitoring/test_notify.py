"""Messages reach real servers, and what does not go out says why without telling a secret."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest

from lc_platform.config import ConfigError, parse
from lc_platform.monitoring.notify import (
    Channel,
    Mail,
    Message,
    NotifyError,
    Post,
    Slack,
    channels,
    send,
)
from lc_platform_tests.automation.test_automation import settings
from lc_platform_tests.receivers import mail_server, webhook

MESSAGE = Message("demo: raw_bands failed (3 partitions)", "no acquisition\n\nPartitions: a, b, c")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def mail(port: int, **changed: object) -> Mail:
    known = {"user": None, "password": None, "security": "none", "timeout": 5, **changed}
    return Mail("127.0.0.1", port, sender="lc@a.org", to=["b@a.org", "c@a.org"], **known)  # type: ignore[arg-type]


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


def test_one_way_that_fails_does_not_keep_the_message_from_the_other() -> None:
    with webhook() as hook:
        problems = send([mail(free_port()), Slack(hook.url, 5)], MESSAGE)
        assert len(hook.received) == 1
    assert list(problems) == ["email"]
    assert "operations.notify.email" in problems["email"]


def looks(ways: list[Channel], times: list[float], *messages: Message) -> Iterator[Post]:
    """What is sent at the first time, and what of it later; remembered as text in between."""
    post = Post(ways)
    for message in messages:
        post.send(message, times[0])
    for now in times[1:]:
        yield post
        post = Post.from_json(ways, json.loads(json.dumps(post.to_json())))
        for letter in post.awaited(now):
            post.send_again(letter, now)
    yield post


def test_a_way_that_failed_gets_the_message_later_and_the_other_does_not_get_it_again() -> None:
    port = free_port()
    with webhook() as hook:
        ways: list[Channel] = [mail(port), Slack(hook.url, 5)]
        later = looks(ways, [0, 60, 120], MESSAGE)
        assert "operations.notify.email" in next(later).problems[0]
        with mail_server(port=port) as server:
            assert next(later).problems == []
            assert [one["Subject"] for one in server.received] == [MESSAGE.subject]
            next(later)
            assert len(server.received) == 1
        assert len(hook.received) == 1


def test_a_way_that_fails_is_tried_ever_less_often_and_no_longer_than_a_day() -> None:
    minutes = range(0, 26 * 60)
    with webhook() as hook, webhook() as refusing:
        refusing.status = 500
        ways: list[Channel] = [mail(free_port()), Slack(hook.url, 5)]
        posts = looks(ways, [60.0 * minute for minute in minutes], MESSAGE)
        tried, post = [], None
        for minute, post in zip(minutes, posts, strict=True):
            tried += [minute] if post.problems else []
        assert post is not None
        assert post.letters == []
        assert len(hook.received) == 1
    assert tried[:6] == [0, 1, 2, 5, 12, 27]
    assert {later - before for before, later in pairwise(tried[8:])} == {60}
    assert tried[-1] < 24 * 60


def test_a_way_that_fails_is_left_alone_for_the_rest_of_a_look() -> None:
    with webhook() as hook:
        others = [Message(f"demo: {n}", "text") for n in range(5)]
        [post] = looks([mail(free_port()), Slack(hook.url, 5)], [0], *others)
    assert len(post.problems) == 1
    assert [letter.ways for letter in post.letters] == [["email"]] * 5


def test_a_message_that_no_way_took_is_not_kept() -> None:
    post = Post([mail(free_port())])
    assert not post.send(MESSAGE, 0)
    assert post.letters == []


@contextmanager
def dawdling() -> Iterator[int]:
    """A server that says a line every now and then, and never comes to an end."""

    def serve() -> None:
        while True:
            try:
                one, _ = listening.accept()
            except OSError:
                return
            with one, contextlib.suppress(OSError):
                for _ in range(40):
                    one.sendall(b"220-wait\r\n")
                    time.sleep(0.3)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(listening.getsockname()[1])


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


@pytest.mark.parametrize("slow", [True, False], ids=["a mail server", "a webhook"])
def test_no_way_takes_longer_than_it_may(slow: bool) -> None:
    with dawdling() as port, webhook() as hook:
        hook.delay = 4
        way: Channel = mail(port, timeout=1) if slow else Slack(hook.url, 1)
        began = time.monotonic()
        problems = send([way], MESSAGE)
        assert time.monotonic() - began < 2.5
        assert list(problems) == [way.name]


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
