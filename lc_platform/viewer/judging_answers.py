"""What ``/api/samples`` takes and answers."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from lc_platform.products.judgements import Confidence, Opinion


class ClassToChoose(BaseModel):
    """A class that may be seen at a point."""

    id: int
    name: str
    color: str
    key: str | None
    """Of the keyboard; None where there are more classes than keys."""


class Stratum(BaseModel):
    """Points that were drawn from one class of the map."""

    id: int
    name: str
    color: str
    points: int
    judged: int
    """With a class that holds."""
    two_opinions: int
    differ: int
    """That need a consensus."""
    cannot_be_judged: int


class Person(BaseModel):
    """Who has judged."""

    name: str
    judged: int
    """Points of the sample with an opinion of that person."""


class Agreement(BaseModel):
    """Two people, and the points that both have judged."""

    first: str
    second: str
    points: int
    share: float | None
    """Of the points, those that both gave the same class."""
    kappa: float | None
    """Cohen's, what of that is beyond chance; None where it is not defined."""


class Sample(BaseModel):
    """A reference sample, and how far it is judged."""

    year: int
    points: int
    judged: int
    differ: int
    cannot_be_judged: int
    by_hand: int
    """Judged in the file itself."""
    waiting: dict[str, int]
    """By opinion, the points that wait for one of who asks."""
    strata: list[Stratum]
    people: list[Person]
    agreement: list[Agreement]
    classes: list[ClassToChoose]
    asks_before: int | None
    """The year before, where its class is to be judged too."""
    mosaic_version: str
    """Of the map that the sample was drawn from."""
    user: str | None
    messages: list[str]
    """What is to be known of the sample."""


class Given(BaseModel):
    """A judgement, as it was given."""

    id: str
    who: str
    when: str
    class_id: int | None
    """None where it cannot be judged."""
    class_name: str
    before_id: int | None
    before_name: str
    confidence: Confidence
    remark: str
    opinion: Opinion
    blind: bool


class Observed(BaseModel):
    """What an acquisition shows of the point's pixel."""

    time: str
    acquisition: str
    data: bool
    valid: bool | None
    """Whether it shows the ground; None where that is not known yet."""
    cloud: bool | None
    values: dict[str, float | None]
    """Reflectance by band, and indices."""


class MapClass(BaseModel):
    """What the map says."""

    id: int
    name: str
    color: str


class PointToJudge(BaseModel):
    """A point, and what there is to see of it."""

    id: str
    year: int
    longitude: float
    latitude: float
    outline: list[tuple[float, float]]
    """The corners of its pixel, longitude and latitude, the first one again at the end."""
    metres: float
    """The side of the pixel."""
    opinion: Opinion
    """That is asked for."""
    blind: bool
    mosaic_version: str
    observations: list[Observed]
    missing: list[str]
    """What is not made yet of what there would be to see."""
    own: Given | None
    """In whose place a new judgement of who asks would be."""
    others: list[Given] | None
    """What others said; None where it is not to be seen."""
    map: MapClass | None
    """Of the stratum; None where it is not to be seen."""


class Next(BaseModel):
    """The point that is to be judged next."""

    point: PointToJudge | None
    """None where none waits."""
    waiting: int
    message: str | None


class Seen(BaseModel):
    """What somebody saw at a point."""

    id: Annotated[str, Field(pattern="^[A-Za-z0-9_-]{8,64}$")]
    """Chosen by who sends it, by chance: what is sent again is not another one."""
    point: Annotated[str, Field(pattern="^[0-9a-f]{12}$")]
    mosaic_version: Annotated[str, Field(max_length=200)]
    """Of the sample, as it was when the point was looked at."""
    class_id: Annotated[int, Field(ge=1, le=255)] | None
    """None where it cannot be judged."""
    before_id: Annotated[int, Field(ge=1, le=255)] | None = None
    confidence: Confidence = "high"
    remark: Annotated[str, Field(max_length=1000)] = ""
    opinion: Opinion = "first"
    blind: bool = True
    replaces: Annotated[str, Field(pattern="^[A-Za-z0-9_-]{0,64}$")] = ""
    """The own judgement in whose place this one is put; empty where there is none."""


class Undone(BaseModel):
    """That a judgement is taken back."""

    id: Annotated[str, Field(pattern="^[A-Za-z0-9_-]{8,64}$")]
    withdraws: Annotated[str, Field(pattern="^[A-Za-z0-9_-]{8,64}$")]
    """The id of the judgement."""


class Withdrawn(BaseModel):
    """A judgement that was taken back."""

    id: str
    withdraws: str
    point: str
    when: str


class Estimated(BaseModel):
    """A share, estimated from the sample, with its 95 % interval."""

    value: float
    low: float
    high: float


class Contradiction(BaseModel):
    """A point to look at again."""

    id: str
    longitude: float
    latitude: float
    map: MapClass
    holds: MapClass | None
    """What holds of it; None where opinions differ."""
    given: list[Given]


class Review(BaseModel):
    """What the judgements say of the map, up to now."""

    year: int
    rows: list[MapClass]
    """The map's classes, of which the points were drawn."""
    columns: list[MapClass]
    """Classes that people saw."""
    matrix: list[list[int]]
    """Points, (class of the map, class that holds)."""
    not_judged: list[int]
    """(class of the map), points without a class that holds."""
    overall_accuracy: Estimated | None
    """None as long as fewer than two points of a class are judged."""
    agreement: list[Agreement]
    differ: list[Contradiction]
    """Points that need a consensus."""
    errors: list[Contradiction]
    """Points at which another class holds than the map's, at most 500."""
    messages: list[str]
