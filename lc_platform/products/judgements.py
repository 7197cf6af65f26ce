"""What people judge of a sample's points in the web map.

Each judgement is a record of its own, appended and never changed: an object below
``reference_sample/{year}/``, named by its time and by chance, so that several people write at once
and nobody overwrites another's. Who takes a judgement back appends a record that withdraws it. What
holds of a point follows from all records of it, see `decided`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import threading
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, NamedTuple, get_args

from lc_platform.config.reference import plain_text
from lc_platform.cube import Legend
from lc_platform.errors import DataError
from lc_platform.storage.errors import StorageError
from lc_platform.storage.exclusive import create
from lc_platform.storage.store import Store

Opinion = Literal["first", "second", "consensus"]
"""As what a judgement is given. Who gives a second opinion has not seen the first; a consensus is
given by who knows that two differ, and it decides."""
Confidence = Literal["high", "medium", "low"]

_CELLS = 100
"""Places are told apart to the hundredth of a pixel."""
_SUFFIX = ".json"
_MARK = ".first"


def point_code(x: float, y: float, pixel: float, crs: str) -> str:
    """Return what a point of a sample is called in records: by its place, since the number that it
    has in the sample may change when that is drawn again, and tells its stratum.

    x, y   the pixel's centre, in the map's CRS
    pixel  its side, in the same units
    """
    at = f"{round(x / pixel * _CELLS)} {round(y / pixel * _CELLS)} {pixel:.6g} {crs}"
    return hashlib.sha256(at.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Judgement:
    """What one person saw at one point."""

    id: str
    """Given by who sends it: what is sent again is not another one."""
    who: str
    when: str
    """ISO 8601, UTC."""
    point: str
    """See `point_code`."""
    longitude: float
    latitude: float
    mosaic_version: str
    """Of the map that the sample was drawn from."""
    opinion: Opinion
    blind: bool
    """Whether it was given without seeing the map's class and what others said."""
    class_id: int | None
    """None where it cannot be judged."""
    class_name: str
    """As it was called then; empty where it cannot be judged."""
    before_id: int | None = None
    """The class in the year before, where change is judged too."""
    before_name: str = ""
    confidence: Confidence = "high"
    remark: str = ""
    replaces: str = ""
    """The id of the judgement that this one is put in the place of; empty where of none."""


@dataclass(frozen=True)
class Withdrawal:
    """That a person takes a judgement back."""

    id: str
    who: str
    when: str
    withdraws: str
    """The id of that person's judgement."""


Record = Judgement | Withdrawal


def now() -> str:
    """The time as records have it."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class JudgementRecords:
    """The records of a year's sample.

    Each is read from the store once. Its methods may be called by several threads at once.
    """

    def __init__(self, store: Store, folder: str) -> None:
        """The records that lie in a folder of a store."""
        self._store = store
        self._folder = folder
        self._read: dict[str, Record | str] = {}
        """By name; of one that cannot be read, why."""
        self._marks: dict[str, bytes] = {}
        """By whom each mark of a first opinion was made in this process."""
        self._lock = threading.Lock()

    def append(self, record: Record) -> None:
        """Write a record, in one step. Raises StorageError where it cannot be written."""
        kind = "judgement" if isinstance(record, Judgement) else "withdrawal"
        content = {"kind": kind, **dataclasses.asdict(record)}
        time = "".join(c for c in record.when if c.isalnum())
        name = f"{time}-{uuid.uuid4().hex[:8]}{_SUFFIX}"
        text = json.dumps(content, ensure_ascii=False, indent=1)
        self._store.put(f"{self._folder}/{name}", text.encode())

    def is_first(self, record: Judgement, records: Records) -> bool:
        """Whether nobody else gave the first opinion of a point, in this process or another one.

        Who comes first leaves a mark at the store, which is made once. Where that opinion is taken
        back, there is another mark for the next one.

        records  that were read before

        Raises StorageError where the store cannot be reached.
        """
        gone = sum(
            isinstance(one, Judgement) and one.point == record.point and one.opinion == "first"
            for one in records.every
        )
        mark = f"{self._folder}/{record.point}-{gone}{_MARK}"
        by = json.dumps([record.who, record.id]).encode()
        # Not every store makes a file once alone; within a process it is so in any case.
        with self._lock:
            if self._marks.setdefault(mark, by) != by:
                return False
        try:
            # It may be one's own, of what was sent before and did not arrive.
            return create(self._store, mark, by) or self._store.read_bytes(mark) == by
        except StorageError:
            with self._lock:
                del self._marks[mark]
            raise

    def read(self) -> Records:
        """Return all records. Raises StorageError where the store cannot be read."""
        with self._lock:
            names = [n for n in self._store.names(self._folder) if n.endswith(_SUFFIX)]
            unknown = [name for name in names if name not in self._read]
            paths = [self._store.path(f"{self._folder}/{name}") for name in unknown]
            with self._store.reaching(self._store.path(self._folder)):
                texts = self._store.fs.cat_ranges(
                    paths, [0] * len(paths), [None] * len(paths), on_error="return"
                )
                for name, path, text in zip(unknown, paths, texts, strict=True):
                    if isinstance(text, FileNotFoundError):
                        continue  # somebody has taken it away
                    if isinstance(text, Exception):
                        raise text
                    self._read[name] = _parsed(text, path)
            found = [self._read[name] for name in names if name in self._read]
        return Records(
            [one for one in found if not isinstance(one, str)],
            [one for one in found if isinstance(one, str)],
        )


def _parsed(text: bytes, path: str) -> Record | str:
    """Return a record; where it is none, why."""
    try:
        content = json.loads(text)
        kind = {"judgement": Judgement, "withdrawal": Withdrawal}[content.pop("kind")]
        known = {one.name for one in dataclasses.fields(kind)}
        record: Record = kind(**{name: v for name, v in content.items() if name in known})
        if not all(isinstance(v, str) for v in (record.id, record.who, record.when)):
            raise ValueError("id, who or when is no text")
        if isinstance(record, Judgement) and (
            record.opinion not in get_args(Opinion)
            or not isinstance(record.point, str)
            or not isinstance(record.class_id, int | None)
            or not isinstance(record.class_name, str)
        ):
            raise ValueError("opinion, point or class is of no kind that is known")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return (
            f"{path}: is no record of a judgement ({error}), and does not count. Restore it from a "
            "backup, or move it away"
        )
    return record


@dataclass(frozen=True)
class Records:
    """All records of a sample, in the order of their time."""

    every: Sequence[Record]
    damaged: Sequence[str] = ()
    """What to say of those that cannot be read."""

    def of(self, who: str, identity: str) -> Record | None:
        """Return a person's record of an id; None where there is none."""
        return next((one for one in self.every if (one.who, one.id) == (who, identity)), None)

    @property
    def standing(self) -> list[Judgement]:
        """Those that nobody has withdrawn or replaced, each once; of several of one person at one
        point the latest, and of a point the latest consensus."""
        withdrawn = {(r.who, r.withdraws) for r in self.every if isinstance(r, Withdrawal)}
        given: dict[tuple[str, str], Judgement] = {}
        for one in self.every:
            if isinstance(one, Judgement) and (one.who, one.id) not in withdrawn:
                given.setdefault((one.who, one.id), one)  # it was sent twice, and counts once
        replaced = {(_slot(one), one.replaces) for one in given.values() if one.replaces}
        latest = {_slot(one): one for one in given.values() if (_slot(one), one.id) not in replaced}
        return sorted(latest.values(), key=lambda one: one.when)


def _slot(one: Judgement) -> tuple[str, str]:
    """Where a judgement is the only one: of a person at a point, or the consensus of a point."""
    return one.point, "" if one.opinion == "consensus" else f"by {one.who}"


class Meant(NamedTuple):
    """The classes of a judgement, as the map has them now."""

    now: int
    """0 where it cannot be judged."""
    before: int


State = Literal["judged", "differ", "cannot be judged", "class is gone"]


@dataclass(frozen=True)
class Decision:
    """What holds of a point by all that was judged of it."""

    opinions: Sequence[Judgement]
    """Those that stand, one a person, the consensus left out, in the order of their time."""
    consensus: Judgement | None
    state: State
    """``class is gone`` where nothing is left but classes that the map does not have now."""
    meant: Meant
    """0 where nothing is decided."""
    agreement: str
    """In a word or two."""

    @property
    def all(self) -> list[Judgement]:
        return [*self.opinions, *([self.consensus] if self.consensus else [])]

    @property
    def needs_consensus(self) -> bool:
        return self.agreement.startswith("differ")


def decided(judgements: Iterable[Judgement], classes: Legend) -> dict[str, Decision]:
    """Return what holds of each point, by its code.

    judgements  that stand
    classes     that the map has now

    A consensus decides. Without one, what all who have judged the point say holds; where they
    differ, nothing does until there is a consensus. "Cannot be judged" is an opinion too. What was
    judged as a class that the map does not have any more, by its name, does not count.
    """
    ids = {plain_text(name): one for one, (name, _) in classes.items()}
    at: dict[str, list[Judgement]] = defaultdict(list)
    for one in judgements:
        at[one.point].append(one)
    return {point: _decide(given, ids) for point, given in at.items()}


def _decide(given: Sequence[Judgement], ids: Mapping[str, int]) -> Decision:
    opinions = [one for one in given if one.opinion != "consensus"]
    consensus = next((one for one in given if one.opinion == "consensus"), None)
    agreed = _meant(consensus, ids) if consensus else None
    if agreed is not None:
        return Decision(opinions, consensus, _state(agreed), agreed, "consensus")
    known = [meant for one in opinions if (meant := _meant(one, ids)) is not None]
    if not known:
        return Decision(opinions, consensus, "class is gone", Meant(0, 0), "class is gone")
    said = {meant.now for meant in known}
    before = {meant.before for meant in known}
    if len(said) > 1:
        return Decision(opinions, consensus, "differ", Meant(0, 0), "differ")
    if len(before) > 1:
        meant = Meant(said.pop(), 0)
        return Decision(opinions, consensus, _state(meant), meant, "differ in the year before")
    word = "one opinion" if len(known) == 1 else "agree"
    return Decision(opinions, consensus, _state(known[0]), known[0], word)


def _state(meant: Meant) -> State:
    return "judged" if meant.now else "cannot be judged"


def _meant(one: Judgement, ids: Mapping[str, int]) -> Meant | None:
    """Return the classes that a judgement is of; None where the map has not got them any more."""
    if one.class_id is None:
        return Meant(0, 0)
    now_id = ids.get(plain_text(one.class_name))
    before_id = 0 if one.before_id is None else ids.get(plain_text(one.before_name))
    return None if now_id is None or before_id is None else Meant(now_id, before_id)


def class_of(class_id: int, classes: Legend) -> str:
    """Return a class's name. Raises DataError where the map has no such class."""
    if class_id not in classes:
        names = ", ".join(f"{one} ({name})" for one, (name, _) in classes.items())
        raise DataError(f"class {class_id}: the map has no such class. Give one of {names}")
    return classes[class_id][0]
