"""People judge points through the web map's interface."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from lc_platform.products.judgements import JudgementRecords, Records
from lc_platform.reading.reader import Reader
from lc_platform.viewer.app import create_app
from lc_platform_tests.judged_maps import CLASSES, YEAR, JudgedMap, map_of_three

SITE = "http://map.example"
HEADERS = {"X-LC-Platform": "1", "Origin": SITE}
SAMPLE = f"/api/samples/{YEAR}"


@pytest.fixture
def drawn(tmp_path: Path) -> JudgedMap:
    made = JudgedMap(tmp_path)
    made.write(map_of_three())
    made.sample(points=30)
    return made


class Someone:
    """A person who is logged in, and judges."""

    def __init__(self, client: TestClient, name: str | None) -> None:
        self.client = client
        self.headers = {**HEADERS, **({"Remote-User": name} if name else {})}

    def get(self, path: str = "", **asked: Any) -> Any:
        answer = self.client.get(f"{SAMPLE}{path}", params=asked, headers=self.headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def next(self, **asked: Any) -> Any:
        return self.get("/next", **asked)["point"]

    def post(self, path: str, content: Any, **headers: str) -> Response:
        return self.client.post(
            f"{SAMPLE}{path}", json=content, headers={**self.headers, **headers}
        )

    def judge(self, at: Any, seen: int | None, **more: Any) -> Response:
        content = {
            "id": uuid.uuid4().hex,
            "point": at["id"],
            "mosaic_version": at["mosaic_version"],
            "class_id": seen,
            "opinion": at["opinion"],
            "blind": at["blind"],
        }
        return self.post("/judgements", {**content, **more})

    def undo(self, given: Any, **more: Any) -> Response:
        return self.post("/withdrawals", {"id": uuid.uuid4().hex, "withdraws": given["id"], **more})


@pytest.fixture
def client(drawn: JudgedMap) -> Iterator[TestClient]:
    reader = Reader(drawn.platform.store, drawn.config)
    app = create_app(reader, user_header="Remote-User")
    with TestClient(app, base_url=SITE) as found:
        yield found


@pytest.fixture
def ana(client: TestClient) -> Someone:
    return Someone(client, "ana")


@pytest.fixture
def bor(client: TestClient) -> Someone:
    return Someone(client, "bor")


def test_what_a_person_gives_is_recorded_and_counted(ana: Someone, drawn: JudgedMap) -> None:
    point = ana.next()
    answer = ana.judge(point, 5, remark=" a pond ", confidence="low")
    assert answer.status_code == 201
    (record,) = drawn.records.read().standing
    assert (record.who, record.class_id, record.class_name) == ("ana", 5, "water")
    assert (record.remark, record.confidence, record.blind) == ("a pond", "low", True)
    assert record.mosaic_version == "one0"
    assert record.point == point["id"]
    assert record.point in drawn.codes()
    about = ana.get()
    assert (about["points"], about["judged"], about["waiting"]["first"]) == (30, 1, 29)
    assert about["people"] == [{"name": "ana", "judged": 1}]
    assert sum(one["judged"] for one in about["strata"]) == 1
    assert [(one["id"], one["key"]) for one in about["classes"]] == [(2, "1"), (5, "2"), (9, "3")]


def test_two_people_at_once_share_the_points(ana: Someone, bor: Someone, drawn: JudgedMap) -> None:
    def work(person: Someone) -> int:
        count = 0
        while (point := person.next()) is not None and count < 40:
            count += person.judge(point, 2).status_code == 201
        return count

    with ThreadPoolExecutor(2) as both:
        counts = list(both.map(work, (ana, bor)))
    standing = drawn.records.read().standing
    assert {one.point for one in standing} == set(drawn.codes())
    # At the end both may look at the last points, which have two opinions then.
    assert sum(counts) == len(standing) <= 32
    assert min(counts) > 0
    assert ana.get("/next")["message"] == "Every point has an opinion."


def test_of_two_servers_one_takes_the_first_opinion(ana: Someone, drawn: JudgedMap) -> None:
    app = create_app(Reader(drawn.platform.store, drawn.config), user_header="Remote-User")
    with TestClient(app, base_url=SITE) as elsewhere:
        bor, cai = Someone(elsewhere, "bor"), Someone(elsewhere, "cai")
        point = ana.next()
        # Neither server has seen the other's when it begins: what they read is as it was.
        before = JudgementRecords.read

        def late(log: JudgementRecords) -> Records:
            return Records([], before(log).damaged)

        with patch.object(JudgementRecords, "read", late), ThreadPoolExecutor(3) as all_at_once:
            people = (ana, bor, cai)
            given = list(all_at_once.map(lambda someone: someone.judge(point, 5), people))
        assert [one.status_code for one in given] == [201] * 3
        standing = drawn.records.read().standing
        assert Counter(one.opinion for one in standing) == {"first": 1, "second": 2}
        (first,) = [one for one in standing if one.opinion == "first"]
        own = next(one for one in people if one.headers["Remote-User"] == first.who)
        other = next(one for one in people if one is not own)
        assert own.undo({"id": first.id}).status_code == 201
        assert own.judge(point, 2).json()["opinion"] == "second"
        again = ana.next(opinion="first")
        assert other.judge(again, 5).json()["opinion"] == "first"


def test_who_judges_blind_is_told_neither_the_maps_class_nor_what_another_said(
    ana: Someone, bor: Someone
) -> None:
    strata, asked = set(), list[str]()
    for _ in range(8):
        ana.judge(ana.next(), 9, remark="secret remark")
    after = None
    for _ in range(8):
        answer = bor.get("/next", opinion="second", **({"after": after} if after else {}))
        assert "secret" not in json.dumps(answer)
        assert "ana" not in json.dumps(answer)
        point = answer["point"]
        after = point["id"]
        assert point["map"] is None
        assert point["others"] is None
        seen = bor.get(f"/points/{after}", blind=False)
        assert seen["others"][0]["remark"] == "secret remark"
        strata.add(seen["map"]["name"])
        keys = {name for name, value in point.items() if value != seen[name]}
        assert keys == {"map", "others", "blind", "opinion"}
        asked.append(after)
    assert len(set(asked)) == 8  # who skips a point is given all others first
    assert len(strata) > 1  # the order is not that of the strata
    refused = bor.client.get(f"{SAMPLE}/next?stratum=5", headers=bor.headers)
    assert refused.status_code == 422
    assert "blind=false" in refused.json()["detail"]
    assert bor.next(stratum=5, blind=False)["map"]["name"] == "water"


def test_opinions_that_differ_wait_for_a_consensus(ana: Someone, bor: Someone) -> None:
    point = ana.next()
    ana.judge(point, 2)
    bor.judge(bor.next(opinion="second"), 5)
    about = ana.get()
    assert (about["judged"], about["differ"]) == (0, 1)
    assert bor.next(opinion="second") is None
    open_point = ana.next(opinion="consensus")
    assert open_point["id"] == point["id"]
    assert [(one["who"], one["class_name"]) for one in open_point["others"]] == [
        ("ana", "forest"),
        ("bor", "water"),
    ]
    assert open_point["map"] is None
    (differing,) = ana.get("/review")["differ"]
    assert differing["id"] == point["id"]
    assert ana.judge(open_point, 5).status_code == 201
    about = bor.get()
    assert (about["judged"], about["differ"]) == (1, 0)


def test_the_review_has_the_matrix_and_the_agreement_of_two(
    ana: Someone, bor: Someone, drawn: JudgedMap
) -> None:
    strata = dict(zip(drawn.codes(), drawn.points()["stratum"].tolist(), strict=True))
    expected: Counter[tuple[int, int]] = Counter()
    said = {}
    for number in range(30):
        point = ana.next()
        mapped = strata[point["id"]]
        said[point["id"]] = 2 if mapped == 5 and number % 2 else mapped
        ana.judge(point, said[point["id"]])
        expected[mapped, said[point["id"]]] += 1
    review = ana.get("/review")
    assert [one["id"] for one in review["columns"]] == [2, 5, 9]
    ids = [one["id"] for one in review["rows"]]
    matrix = [[expected[mapped, seen] for seen in (2, 5, 9)] for mapped in ids]
    assert review["matrix"] == matrix
    assert review["not_judged"] == [0, 0, 0]
    assert {(one["map"]["name"], one["holds"]["name"]) for one in review["errors"]} == {
        ("water", "forest")
    }
    assert len(review["errors"]) == expected[5, 2]
    assert review["overall_accuracy"]["low"] < review["overall_accuracy"]["value"] < 1

    for number in range(4):
        point = bor.next(opinion="second")
        other = 9 if said[point["id"]] != 9 else 2
        bor.judge(point, other if number == 3 else said[point["id"]])
    (pair,) = ana.get()["agreement"]
    assert (pair["first"], pair["second"], pair["points"]) == ("ana", "bor", 4)
    assert pair["share"] == 0.75
    assert pair["kappa"] < 0.75  # some of it is chance
    assert len(ana.get("/review")["differ"]) == 1
    assert sum(ana.get("/review")["not_judged"]) == 1


def test_what_is_sent_again_is_not_given_twice(ana: Someone, drawn: JudgedMap) -> None:
    point, identity = ana.next(), uuid.uuid4().hex
    first = ana.judge(point, 5, id=identity)
    again = ana.judge(point, 5, id=identity)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    other = ana.judge(point, 2, id=identity)
    assert other.status_code == 409
    assert "was sent before with something else" in other.json()["detail"]
    assert len(drawn.records.read().every) == 1


def test_a_point_is_judged_a_second_time_only_in_place_of_the_first(
    ana: Someone, bor: Someone
) -> None:
    point = ana.next()
    first = ana.judge(point, 5).json()
    refused = ana.judge(point, 2)
    assert refused.status_code == 409
    assert "was judged already by you, as water" in refused.json()["detail"]
    seen = ana.get(f"/points/{point['id']}")
    assert seen["own"] == first
    assert ana.judge(point, 2, replaces=first["id"]).status_code == 201
    assert ana.get(f"/points/{point['id']}")["own"]["class_name"] == "forest"
    late = ana.judge(point, 9, replaces=first["id"])
    assert late.status_code == 409
    assert bor.get(f"/points/{point['id']}")["own"] is None


def test_a_judgement_is_taken_back_by_who_gave_it(
    ana: Someone, bor: Someone, drawn: JudgedMap
) -> None:
    given = ana.judge(ana.next(), 5).json()
    assert bor.undo(given).status_code == 404
    identity = uuid.uuid4().hex
    assert ana.undo(given, id=identity).status_code == 201
    assert ana.undo(given, id=identity).status_code == 200  # sent again
    twice = ana.undo(given)
    assert twice.status_code == 409
    assert "taken back already" in twice.json()["detail"]
    assert ana.get()["judged"] == 0
    assert len(drawn.records.read().every) == 2  # nothing is removed


@pytest.mark.parametrize(
    ("headers", "status", "words"),
    [
        ({"Origin": "http://elsewhere.example"}, 403, "comes from http://elsewhere.example"),
        ({"Origin": "null"}, 403, "only the map's own page"),
        ({"Origin": ""}, 403, "comes from no page"),
        ({"Sec-Fetch-Site": "cross-site"}, 403, "only the map's own page"),
        ({"X-LC-Platform": ""}, 403, "sends X-LC-Platform: 1"),
        ({"Remote-User": ""}, 401, "Nobody is logged in"),
        ({"Remote-User": "x" * 300}, 401, "300 characters"),
    ],
)
def test_other_sites_and_who_is_not_logged_in_are_refused(
    ana: Someone, drawn: JudgedMap, headers: dict[str, str], status: int, words: str
) -> None:
    point = ana.next()
    content = {"id": "a" * 16, "point": point["id"], "mosaic_version": "one0", "class_id": 5}
    for path, sent in (
        ("/judgements", content),
        ("/withdrawals", {"id": "b" * 9, "withdraws": "c" * 9}),
    ):
        answer = ana.post(path, sent, **headers)
        assert answer.status_code == status
        assert words in answer.json()["detail"]
    assert drawn.records.read().every == []


def test_a_page_may_say_where_it_is_by_its_referer(ana: Someone) -> None:
    del ana.headers["Origin"]
    ana.headers["Referer"] = f"{SITE}/map/judge?year=2023"
    assert ana.judge(ana.next(), 5).status_code == 201


def test_what_is_too_large_is_refused_before_it_is_read(ana: Someone) -> None:
    huge = ana.post("/judgements", {"remark": "x" * 20_000})
    assert huge.status_code == 413
    parts = ana.client.post(f"{SAMPLE}/judgements", content=iter([b"{}"]), headers=ana.headers)
    assert parts.status_code == 411


def test_a_name_that_is_allowed_may_judge(drawn: JudgedMap) -> None:
    app = create_app(Reader(drawn.platform.store, drawn.config), hosts=["Notebook.example"])
    with TestClient(app, base_url="https://notebook.example", client=("127.0.0.1", 5000)) as client:
        someone = Someone(client, None)
        someone.headers["Origin"] = "https://notebook.example"
        assert someone.judge(someone.next(), 5).status_code == 201


def test_at_a_laptop_it_is_the_person_who_started_the_map(
    drawn: JudgedMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "cai")
    app = create_app(Reader(drawn.platform.store, drawn.config))
    for host, status in (("localhost:8000", 201), ("attacker.example", 403)):
        with TestClient(app, base_url=f"http://{host}", client=("127.0.0.1", 5000)) as client:
            someone = Someone(client, None)
            someone.headers["Origin"] = f"http://{host}"
            assert someone.judge(someone.next(), 5).status_code == status
    assert [one.who for one in drawn.records.read().standing] == ["cai"]


@pytest.mark.parametrize(
    ("wrong", "status", "words"),
    [
        ({"class_id": 3}, 422, "class 3: the map has no such class. Give one of 2 (forest), 5"),
        ({"class_id": 0}, 422, "class_id"),
        ({"class_id": "forest"}, 422, "class_id"),
        ({"point": "0123456789ab"}, 404, "is no point of the sample of 2023, or not any more"),
        ({"point": "../../../etc"}, 422, "point"),
        ({"mosaic_version": "two"}, 409, "drawn from another map meanwhile"),
        ({"before_id": 2}, 422, "the sample does not ask for it"),
        ({"replaces": "somewhere"}, 409, "does not stand any more"),
        ({"confidence": "sure"}, 422, "confidence"),
        ({"remark": "x" * 1001}, 422, "remark"),
        ({"id": "../x"}, 422, "id"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_do(
    ana: Someone, drawn: JudgedMap, wrong: dict[str, Any], status: int, words: str
) -> None:
    answer = ana.judge(ana.next(), 5, **wrong)
    assert answer.status_code == status
    assert words in answer.json()["detail"]
    assert drawn.records.read().every == []


def test_a_year_without_a_sample_says_how_one_is_drawn(ana: Someone, drawn: JudgedMap) -> None:
    drawn.file.unlink()
    answer = ana.client.get(SAMPLE)
    assert answer.status_code == 404
    assert "lc-platform sample --year 2023" in answer.json()["detail"]
    assert ana.client.get("/api/samples/1999").status_code == 404


def test_points_that_were_judged_as_a_class_that_is_gone_wait_again(
    ana: Someone, drawn: JudgedMap
) -> None:
    point = ana.next()
    given = ana.judge(point, 5).json()
    classes = [{**one, "name": "lakes"} if one["id"] == 5 else one for one in CLASSES]
    config = JudgedMap(drawn.folder, reference={"classes": classes}).config
    with TestClient(
        create_app(Reader(drawn.platform.store, config), user_header="Remote-User"), base_url=SITE
    ) as changed:
        later = Someone(changed, "ana")
        about = later.get()
        assert about["judged"] == 0
        assert any(
            "judged as water, which the map does not have" in one for one in about["messages"]
        )
        assert about["waiting"]["first"] == 30
        assert later.judge(point, 5, replaces=given["id"]).status_code == 201
        assert later.get()["judged"] == 1


def test_a_sample_of_an_earlier_map_serves_and_says_so(ana: Someone, drawn: JudgedMap) -> None:
    assert ana.get()["messages"] == []
    drawn.write(map_of_three(), version="two")
    assert "drawn from an earlier map" in ana.get()["messages"][0]
    assert ana.judge(ana.next(), 5).status_code == 201


def test_what_was_written_in_the_file_is_judged_already(ana: Someone, drawn: JudgedMap) -> None:
    drawn.edit(lambda points: points.assign(reference=["water", *[""] * 29]))
    about = ana.get()
    assert (about["by_hand"], about["judged"], about["waiting"]["first"]) == (1, 1, 29)


def test_the_class_of_the_year_before_is_taken_where_it_is_asked_for(tmp_path: Path) -> None:
    made = JudgedMap(tmp_path, years=[2022, YEAR], change={"enabled": True})
    made.write(map_of_three())
    made.sample(points=30)
    with TestClient(
        create_app(Reader(made.platform.store, made.config), user_header="Remote-User"),
        base_url=SITE,
    ) as client:
        ana = Someone(client, "ana")
        assert ana.get()["asks_before"] == 2022
        assert ana.judge(ana.next(), 5, before_id=2).status_code == 201
        assert ana.judge(ana.next(), None, before_id=2).status_code == 422
    (record,) = made.records.read().standing
    assert (record.before_id, record.before_name) == (2, "forest")
