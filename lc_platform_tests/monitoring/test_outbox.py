"""Every channel gets every message once, also one that fails for a while."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import pytest

from lc_platform.config import parse
from lc_platform.monitoring.notify import Channel, Slack
from lc_platform.monitoring.outbox import Outbox, deliver
from lc_platform.monitoring.run_failures import Failure
from lc_platform_tests.automation.deployments import YEAR, settings
from lc_platform_tests.receivers import free_port, mail, mail_server, webhook

pytestmark = pytest.mark.slow

CONFIG = parse(settings())
BROKEN = Failure("raw_bands", "a 2023", "the archive is away", "r1")


def outboxes(channels: Sequence[Channel], *failures: Failure) -> list[Outbox]:
    found = [Outbox(channel) for channel in channels]
    for outbox in found:
        outbox.add(failures)
    return found


def tick(boxes: Sequence[Outbox], now: float, seconds: float = 60) -> list[Outbox]:
    """Send what is due; the outboxes as the next tick has them, which reads them from text."""
    deliver(boxes, CONFIG, now, time.monotonic() + seconds)
    texts = [json.dumps(box.to_json()) for box in boxes]
    return [Outbox.from_json(b.channel, json.loads(t)) for b, t in zip(boxes, texts, strict=True)]


def test_one_cause_is_one_message_whatever_assets_it_affects() -> None:
    failures = [
        Failure(asset, f"p{n} {YEAR}", f"s3://maps/{asset}/{YEAR}/p{n}.zarr: ExpiredToken", f"r{n}")
        for n, asset in enumerate(["raw_bands", "raw_bands", "cloud_masks", "features"])
    ]
    with webhook() as hook:
        tick(outboxes([Slack(hook.url, 5)], *failures), 1e9)
        assert hook.received == [
            "*small: raw_bands, cloud_masks, features failed (4 partitions): # ExpiredToken*\n"
            f"s3://maps/raw_bands/{YEAR}/p0.zarr: ExpiredToken\n\n"
            f"raw_bands (2 partitions): p0 {YEAR}, p1 {YEAR}\n"
            f"cloud_masks: p2 {YEAR}\n"
            f"features: p3 {YEAR}\n"
            "Runs: r0, r1, r2"
        ]


def test_what_was_not_sent_is_sent_after_a_restart_and_nothing_twice() -> None:
    with webhook() as hook:
        boxes = outboxes([Slack(hook.url, 1)], BROKEN, Failure("", "", "died", "2"))
        boxes = tick(boxes, 1e9, seconds=0)  # there is no time left
        assert hook.received == []
        boxes = tick(boxes, 1e9 + 60)
        tick(boxes, 1e9 + 120)
        subjects = [text.splitlines()[0] for text in hook.received]
    assert subjects == [
        "*small: raw_bands failed (a 2023): the archive is away*",
        "*small: a run failed (once): died*",
    ]


def test_a_channel_that_fails_gets_the_message_later_and_the_other_gets_it_once() -> None:
    port = free_port()
    with webhook() as hook:
        boxes = outboxes([mail(port), Slack(hook.url, 5)], BROKEN)
        deliver(boxes, CONFIG, 1e9, time.monotonic() + 60)
        assert "operations.notify.email" in boxes[0].problem
        assert boxes[1].problem == ""
        with mail_server(port=port) as server:
            for minute in range(1, 4):
                boxes = tick(boxes, 1e9 + 60 * minute)
            subjects = [one["Subject"] for one in server.received]
        assert subjects == ["small: raw_bands failed (a 2023): the archive is away"]
        assert len(hook.received) == 1


def test_what_fails_while_a_channel_is_away_is_one_message_when_it_is_back() -> None:
    with webhook() as hook:
        hook.status = 500
        boxes = outboxes([Slack(hook.url, 5)], BROKEN)
        for minute in range(3):
            boxes = tick(boxes, 1e9 + 60 * minute)
            boxes[0].add([Failure("raw_bands", f"p{minute} 2023", BROKEN.reason, "r2")])
        hook.status = 200
        tick(boxes, 1e9 + 86400)
        [text] = hook.received
    assert "raw_bands (4 partitions): a 2023, p0 2023, p1 2023, p2 2023" in text


def test_a_channel_that_fails_is_tried_ever_less_often() -> None:
    tried = []
    boxes = outboxes([mail(free_port())], BROKEN)
    for minute in range(24 * 60):
        deliver(boxes, CONFIG, 1e9 + 60 * minute, time.monotonic() + 60)
        tried += [minute] if boxes[0].problem else []
        boxes = [Outbox.from_json(box.channel, box.to_json()) for box in boxes]
    assert tried[:7] == [0, 1, 2, 4, 8, 16, 32]
    assert {later - before for before, later in pairwise(tried[8:])} == {60}


def test_a_channel_that_fails_is_left_alone_for_the_rest_of_a_tick() -> None:
    with webhook() as hook:
        hook.status, hook.delay = 500, 1.0
        others = [Failure("", "", f"cause {name}", "r") for name in "abcde"]
        boxes = outboxes([Slack(hook.url, 5)], *others)
        began = time.monotonic()
        boxes = tick(boxes, 1e9)
        assert time.monotonic() - began < 5 * 1.0
        hook.status = 200
        tick(boxes, 1e9 + 60)
        assert len(hook.received) == 5


def test_a_cause_that_is_quiet_for_long_is_new_again() -> None:
    with webhook() as hook:
        boxes = tick(outboxes([Slack(hook.url, 5)], BROKEN), 1e9)
        for now in (1e9 + 3600, 1e9 + 86400):
            boxes = tick(boxes, now)
        boxes[0].add([BROKEN])
        tick(boxes, 1e9 + 90000)
        assert [" again " in text for text in hook.received] == [False, False]


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


@pytest.mark.parametrize("slow", [True, False], ids=["a mail server", "a webhook"])
def test_no_channel_takes_longer_than_it_may(slow: bool) -> None:
    with dawdling() as port, webhook() as hook:
        hook.delay = 8
        channel: Channel = mail(port, timeout=1) if slow else Slack(hook.url, 1)
        boxes = outboxes([channel], BROKEN)
        began = time.monotonic()
        deliver(boxes, CONFIG, 1e9, began + 60)
        assert time.monotonic() - began < 6  # the mail server would take 12 s, the webhook 8
        assert f"operations.notify.{channel.name}" in boxes[0].problem
