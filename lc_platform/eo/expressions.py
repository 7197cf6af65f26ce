"""Arithmetic over bands, read from text: an allowed syntax tree, and a program for its kernel."""

from __future__ import annotations

import ast
import difflib
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from random import Random

_LONGEST = 600
"""Characters of an expression: what is longer is a mistake, or an attack on the parser."""
_TRIALS = 64
"""Reflectances at which an expression is tried before it is believed."""


class ExpressionError(ValueError):
    """An expression cannot be used; the message says at which character, and what to write."""


class Operation(IntEnum):
    """The operations of a program."""

    ADD = 0
    SUBTRACT = 1
    MULTIPLY = 2
    DIVIDE = 3
    POWER = 4
    NEGATE = 5
    SQUARE = 6
    ROOT = 7
    EXPONENTIAL = 8


_BINARY: Mapping[type[ast.operator], Operation] = {
    ast.Add: Operation.ADD,
    ast.Sub: Operation.SUBTRACT,
    ast.Mult: Operation.MULTIPLY,
    ast.Div: Operation.DIVIDE,
    ast.Pow: Operation.POWER,
}
_Operand = tuple[str, int]
"""A band, a constant or a result, and which of them."""
_KERNEL_FUNCTION = "exp"
"""The one function of formulas that the platform writes itself."""


@dataclass(frozen=True)
class Expression:
    """An expression that was read."""

    formula: str
    """As Python writes it, the constants' values in place of their names: equal expressions have
    equal formulas, whatever their spaces."""
    bands: tuple[str, ...]
    """In order of first appearance."""


@dataclass(frozen=True)
class Program:
    """An expression as operations on registers, in order."""

    constants: tuple[float, ...]
    """The registers after those of the bands."""
    steps: tuple[tuple[int, int, int, int], ...]
    """(operation, target, left, right), registers by number; of one operand, right is left."""
    registers: int
    """How many there are: bands, constants, and results."""
    result: int
    """The register that has the value."""


def read(
    text: str,
    band: Callable[[str], str | None],
    constants: Mapping[str, float] | None = None,
    names: Collection[str] = (),
    *,
    functions: bool = False,
) -> Expression:
    """Return the expression that a text stands for.

    text       numbers, names, + - * / ** and parentheses
    band       gives the band that a name stands for, None where there is none
    constants  further names, and their values
    names      that a mistaken name may have meant
    functions  whether ``exp`` may be called, as formulas of the platform itself do

    Raises ExpressionError, which names the character (from 1), for anything else: an unknown name,
    a call, no band at all, a division by what is zero whatever the bands, no value at any
    reflectance.
    """
    known = {} if constants is None else constants
    bands: dict[str, None] = {}
    try:
        tree = _allowed(_parsed(text), text, band, known, names, bands, functions)
        if not bands:
            raise ExpressionError("there is no band in it. Name one, such as B08")
        _try(tree, text, tuple(bands))
        return Expression(ast.unparse(tree), tuple(bands))
    except RecursionError:
        raise ExpressionError("it is too deeply nested. Write it with fewer levels") from None


def compiled(formula: str, bands: tuple[str, ...]) -> Program:
    """Return the program of an `Expression`'s formula, whose first registers are ``bands``."""
    return _compiled(formula, bands)


def _parsed(text: str) -> ast.expr:
    if len(text) > _LONGEST:
        raise ExpressionError(
            f"it has {len(text)} characters, and {_LONGEST} are the most. Write a shorter one"
        )
    if not text.strip():
        raise ExpressionError("there is nothing in it. Write for example (B08 - B04) / B02")
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth < 0:
            raise ExpressionError(f"{_at(text, place)} closes what is not open. Remove it")
    try:
        # In parentheses, so that lines and spaces at the beginning mean nothing.
        return ast.parse(f"({text}\n)", mode="eval").body
    except SyntaxError as error:
        at = _position(text, (error.lineno or 1) - 1, (error.offset or 1) - 1)
        raise ExpressionError(
            f"{_at(text, at)} cannot be read as arithmetic. Write numbers, bands, + - * / ** and "
            "parentheses that close"
        ) from None
    except (ValueError, RecursionError, MemoryError):
        raise ExpressionError(
            "it cannot be read as arithmetic. Write numbers, bands, + - * / ** and parentheses"
        ) from None


def _position(text: str, line: int, column: int) -> int:
    """Return which character of a text a place in its parenthesized lines is."""
    lines = text.split("\n")
    before = sum(len(one) + 1 for one in lines[:line])
    place = before + column - (1 if line == 0 else 0)
    return max(0, min(place, len(text) - 1))


def _start(text: str, node: ast.expr) -> int:
    line = node.lineno - 1
    row = ("(" + text).split("\n")[line].encode()
    return _position(text, line, len(row[: node.col_offset].decode(errors="ignore")))


def _at(text: str, place: int) -> str:
    return f"character {place + 1} ({text[place : place + 12].split(chr(10))[0]!r})"


def _allowed(
    node: ast.expr,
    text: str,
    band: Callable[[str], str | None],
    constants: Mapping[str, float],
    names: Collection[str],
    bands: dict[str, None],
    functions: bool,
) -> ast.expr:
    """Return a tree of bands and numbers alone, and note the bands."""

    def refuse(why: str) -> ExpressionError:
        return ExpressionError(f"{_at(text, _start(text, node))}: {why}")

    def here(new: ast.expr) -> ast.expr:
        return ast.copy_location(new, node)

    def part(of: ast.expr) -> ast.expr:
        return _allowed(of, text, band, constants, names, bands, functions)

    if isinstance(node, ast.BinOp):
        if isinstance(node.op, ast.BitXor):
            raise refuse("^ is no power. Write ** for one")
        if type(node.op) not in _BINARY:
            raise refuse("this operator is not known. There are + - * / and **")
        return here(ast.BinOp(part(node.left), node.op, part(node.right)))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        operand = part(node.operand)
        return here(ast.UnaryOp(node.op, operand)) if isinstance(node.op, ast.USub) else operand
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        try:
            number = float(node.value)  # type: ignore[arg-type]
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise refuse("this number is too large. Write one below 1e308")
        return here(ast.Constant(number))
    if isinstance(node, ast.Name):
        if node.id in constants:
            return here(ast.Constant(float(constants[node.id])))
        found = band(node.id)
        if found is None:
            near = difflib.get_close_matches(node.id, [*names, *constants], n=1, cutoff=0.5)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise refuse(
                f"{node.id} is neither a band nor a constant that is given.{hint} Bands are "
                f"{', '.join(names) or 'those of the catalog'}"
            )
        bands[found] = None
        return here(ast.Name(found, ast.Load()))
    if isinstance(node, ast.Call):
        if functions and isinstance(node.func, ast.Name) and node.func.id == _KERNEL_FUNCTION:
            return here(ast.Call(node.func, [part(node.args[0])], []))
        raise refuse("functions cannot be called. There are + - * / ** and parentheses")
    raise refuse("this is no arithmetic. There are numbers, bands, + - * / ** and parentheses")


def _try(tree: ast.expr, text: str, bands: tuple[str, ...]) -> None:
    """Raises ExpressionError where an expression has no value whatever the reflectances are."""
    random = Random(1)
    divisors: dict[ast.BinOp, bool] = {}
    any_value = False
    for _ in range(_TRIALS):
        at = {band: random.uniform(0.005, 0.9) for band in bands}
        any_value |= math.isfinite(_value(tree, at, divisors))
    for division, none in divisors.items():
        if none:
            raise ExpressionError(
                f"{_at(text, _start(text, division.right))}: this is zero whatever the bands are, "
                "and nothing can be divided by it. Correct the divisor"
            )
    if not any_value:
        raise ExpressionError(
            "it has no value at any reflectance between 0 and 1, such as a root of what is always "
            "negative. Correct it"
        )


def _value(node: ast.expr, at: Mapping[str, float], divisors: dict[ast.BinOp, bool]) -> float:
    """Return a tree's value, NaN where it has none; ``divisors`` learns of each division whether
    its divisor was zero every time."""
    if isinstance(node, ast.Name):
        return at[node.id]
    if isinstance(node, ast.Constant):
        return float(node.value)  # type: ignore[arg-type]
    if isinstance(node, ast.UnaryOp):
        return -_value(node.operand, at, divisors)
    if isinstance(node, ast.Call):
        return math.exp(_value(node.args[0], at, divisors))
    assert isinstance(node, ast.BinOp)
    a, b = _value(node.left, at, divisors), _value(node.right, at, divisors)
    if isinstance(node.op, ast.Div):
        # Terms that cancel out may leave a rounding error.
        none = abs(b) < 1e-14 or math.isnan(b)
        divisors[node] = divisors.get(node, True) and none
        return math.nan if none else a / b
    if isinstance(node.op, ast.Pow):
        try:
            raised = a**b
        except (OverflowError, ZeroDivisionError):
            return math.nan
        return raised if isinstance(raised, float) else math.nan
    if isinstance(node.op, ast.Mult):
        return a * b
    return a + b if isinstance(node.op, ast.Add) else a - b


@lru_cache(maxsize=256)
def _compiled(formula: str, bands: tuple[str, ...]) -> Program:
    """Registers are the bands, the constants, then results; what is computed twice is kept."""
    tree = ast.parse(formula, mode="eval").body
    constants: list[float] = []
    steps: list[tuple[Operation, _Operand, _Operand]] = []
    named: dict[tuple[Operation, _Operand, _Operand], int] = {}

    def step(operation: Operation, left: _Operand, right: _Operand) -> _Operand:
        key = (operation, left, right)
        if key not in named:
            named[key] = len(steps)
            steps.append(key)
        return ("result", named[key])

    def number(value: float) -> _Operand:
        if value not in constants:
            constants.append(value)
        return ("constant", constants.index(value))

    def operand(node: ast.expr) -> _Operand:
        if isinstance(node, ast.Name):
            return ("band", bands.index(node.id))
        folded = _folded(node)
        if folded is not None:
            return number(folded)
        if isinstance(node, ast.UnaryOp):
            inner = operand(node.operand)
            return step(Operation.NEGATE, inner, inner)
        if isinstance(node, ast.Call):
            assert isinstance(node.func, ast.Name)
            assert node.func.id == _KERNEL_FUNCTION
            inner = operand(node.args[0])
            return step(Operation.EXPONENTIAL, inner, inner)
        assert isinstance(node, ast.BinOp)
        left, power = operand(node.left), _folded(node.right)
        if isinstance(node.op, ast.Pow) and power in (2.0, 0.5):
            return step(Operation.SQUARE if power == 2 else Operation.ROOT, left, left)
        return step(_BINARY[type(node.op)], left, operand(node.right))

    result = operand(tree)
    start = {"band": 0, "constant": len(bands), "result": len(bands) + len(constants)}

    def register(of: _Operand) -> int:
        return start[of[0]] + of[1]

    return Program(
        tuple(constants),
        tuple(
            (int(operation), start["result"] + i, register(left), register(right))
            for i, (operation, left, right) in enumerate(steps)
        ),
        start["result"] + len(steps),
        register(result),
    )


def _folded(node: ast.expr) -> float | None:
    """Return the value of a part without bands, None where there are some."""
    if any(isinstance(one, ast.Name) for one in ast.walk(node)):
        return None
    return _value(node, {}, {})
