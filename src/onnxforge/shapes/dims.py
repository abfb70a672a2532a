"""Sizes of tensors as exact integer expressions over named symbols.

A dimension is an `int` where it is constant, a `Dim` where it is an expression, and None where
nothing is known.  Equal expressions compare equal, and only proof counts: `known_equal` and
`at_least` say False whenever they cannot tell.

Two things are taken for granted.  A symbol is the size of a dimension: at least its *minimum*,
0 unless said otherwise.  And division by an expression presupposes that it is not zero, since
the model would have failed there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache, total_ordering
from typing import Any, TypeAlias

MAX_TERMS = 48
"""Expressions with more terms are given up: what is longer helps nobody and costs time."""
MAX_DEPTH = 12
"""Divisions and maxima nested deeper are given up."""
MAX_BROADCAST = 8
"""Broadcasts of more sizes that may be different are given up."""
MAX_SIZE = 2**63 - 1
"""The largest size, and the largest coefficient, ONNX's int64 can hold."""
UNNAMED = "\0"
"""What the name of a symbol begins with that stands for a size no file has a name for."""

# The layers of a model have the same sizes, so the same expressions come up again and again.
_remembered = lru_cache(maxsize=1 << 14)


@total_ordering
@dataclass(frozen=True, eq=False)
class Atom:
    """What a polynomial is made of: a symbol, a floor division, a maximum, or a broadcast.

    `args` are (numerator, denominator) or what is compared; a symbol has none.
    """

    kind: str
    name: str
    minimum: int
    args: tuple[Known, ...]

    @cached_property
    def key(self) -> tuple[Any, ...]:
        """Equal for equal atoms only; gives the order of the terms of a sum."""
        return self.kind, self.name, self.minimum, tuple(map(_key, self.args))

    @cached_property
    def depth(self) -> int:
        """How deeply divisions and maxima are nested below, a symbol being 0."""
        return 1 + max(map(_depth, self.args)) if self.args else 0

    @cached_property
    def lower(self) -> int | None:
        """A bound the atom never falls below."""
        if self.kind == "symbol":
            return self.minimum
        if self.kind == "max":
            return max(
                (low for low in map(lower_bound, self.args) if low is not None), default=None
            )
        if self.kind == "broadcast":
            lows = [low for low in map(lower_bound, self.args) if low is not None]
            return min(lows) if len(lows) == len(self.args) else None
        numerator, denominator = self.args
        low = lower_bound(numerator)
        if isinstance(denominator, int) and low is not None:
            return low // denominator
        return 0 if at_least(numerator, 0) and at_least(denominator, 0) else None

    @cached_property
    def _hash(self) -> int:
        return hash(self.key)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Atom) and self.key == other.key

    def __lt__(self, other: Atom) -> bool:
        return self.key < other.key

    def __str__(self) -> str:
        if self.kind == "symbol":
            return self.name.replace(UNNAMED, "?")
        if self.kind != "//":
            return f"{self.kind}({', '.join(map(str, self.args))})"
        return "//".join(map(_operand, self.args))


Monomial: TypeAlias = tuple[Atom, ...]
"""A product of atoms, sorted; an atom occurs as often as its power says."""
Terms: TypeAlias = dict[Monomial, int]


class TooComplexError(ArithmeticError):
    """An expression outgrew the limits of this module; to be treated as unknown."""


@dataclass(frozen=True, eq=False)
class Dim:
    """An integer expression that is not constant; made by `dim` and by arithmetic.

    Immutable and hashable.  Arithmetic gives an `int` where the symbols cancel, follows Python
    (`//` floors, `%` has the sign of the divisor), and raises `TooComplexError` beyond limits
    no real model reaches.
    """

    terms: tuple[tuple[Monomial, int], ...]

    @cached_property
    def symbols(self) -> tuple[str, ...]:
        """The names of the symbols it depends on, each once, sorted."""
        found: dict[str, None] = {}
        for monomial, _ in self.terms:
            for atom in monomial:
                names = (atom.name,) if atom.kind == "symbol" else _symbols(atom.args)
                found.update(dict.fromkeys(names))
        return tuple(sorted(found))

    @cached_property
    def is_named(self) -> bool:
        """Whether it depends on nothing but symbols of the model's own."""
        return not any(name.startswith(UNNAMED) for name in self.symbols)

    @cached_property
    def depth(self) -> int:
        """How deeply divisions and maxima are nested in it."""
        return max(atom.depth for monomial, _ in self.terms for atom in monomial)

    @cached_property
    def lower(self) -> int | None:
        """A bound it never falls below, whatever the symbols are."""
        try:
            return _lower(self)
        except TooComplexError:
            return None

    def subs(self, sizes: Mapping[str, Known]) -> Known:
        """The expression with symbols replaced by sizes, or by expressions for sizes.

        Raises ArithmeticError where the sizes make a divisor zero, or do not broadcast.
        """
        return _rebuilt(self, lambda atom: sizes.get(atom.name) if not atom.args else None)

    @cached_property
    def _hash(self) -> int:
        return hash(self.terms)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Dim) and self.terms == other.terms)

    def __add__(self, other: Known) -> Known:
        if not isinstance(other, int | Dim):
            return NotImplemented
        return _plus(self, other, 1)

    __radd__ = __add__

    def __sub__(self, other: Known) -> Known:
        if not isinstance(other, int | Dim):
            return NotImplemented
        return _plus(self, other, -1)

    def __rsub__(self, other: int) -> Known:
        return _plus(other, self, -1) if isinstance(other, int) else NotImplemented

    def __neg__(self) -> Known:
        return _plus(0, self, -1)

    def __mul__(self, other: Known) -> Known:
        if not isinstance(other, int | Dim):
            return NotImplemented
        return _times(self, other)

    __rmul__ = __mul__

    def __floordiv__(self, other: Known) -> Known:
        return _floor(self, other) if isinstance(other, int | Dim) else NotImplemented

    def __rfloordiv__(self, other: int) -> Known:
        return _floor(other, self) if isinstance(other, int) else NotImplemented

    def __mod__(self, other: Known) -> Known:
        if not isinstance(other, int | Dim):
            return NotImplemented
        return self - other * _floor(self, other)

    def __rmod__(self, other: int) -> Known:
        return other - self * _floor(other, self) if isinstance(other, int) else NotImplemented

    def __str__(self) -> str:
        text = ""
        for monomial, number in sorted(self.terms, key=lambda term: -len(term[0])):
            term, negative = _term_text(monomial, number)
            sign = (" - " if negative else " + ") if text else ("-" if negative else "")
            text += sign + term
        return text

    def __repr__(self) -> str:
        return f"Dim({str(self)!r})"


Known: TypeAlias = int | Dim
"""A size that is known, as a number or as an expression."""
DimLike: TypeAlias = int | Dim | None
"""A size, or None where nothing is known of it."""
Shape: TypeAlias = tuple[DimLike, ...]
"""The sizes of a tensor whose rank is known."""


@_remembered
def dim(name: str, minimum: int = 0) -> Dim:
    """The symbol *name*, standing for a size of *minimum* or more.

    Symbols of one name are equal, so a name must come from where equal names mean equal sizes,
    such as the `dim_param`s of a graph's declared inputs.
    """
    return _dim((((Atom("symbol", name, minimum, ()),), 1),))


def unnamed(number: int) -> Dim:
    """A symbol for a size that has no name, told from others by *number*."""
    return dim(f"{UNNAMED}{number}")


def is_named(size: DimLike) -> bool:
    """Whether *size* is a number, or depends on nothing but symbols of the model's own."""
    return isinstance(size, int) or (size is not None and size.is_named)


def known_equal(a: DimLike, b: DimLike) -> bool:
    """Whether both are known, and equal whatever the symbols are."""
    return a is not None and a == b


def known_different(a: DimLike, b: DimLike) -> bool:
    """Whether both are known, and differ whatever the symbols are."""
    return a is not None and b is not None and (at_least(a - b, 1) or at_least(b - a, 1))


def at_least(a: DimLike, bound: int) -> bool:
    """Whether *a* is known never to fall below *bound*."""
    low = None if a is None else lower_bound(a)
    return low is not None and low >= bound


def lower_bound(a: Known) -> int | None:
    """A bound that *a* never falls below, or None where none was found."""
    return a if isinstance(a, int) else a.lower


def is_constant(a: DimLike) -> bool:
    """Whether *a* is a number."""
    return isinstance(a, int)


def as_int(a: DimLike) -> int | None:
    """The number *a* is, or None where it is none."""
    return a if isinstance(a, int) else None


def exact_quotient(a: Known, b: Known) -> Known | None:
    """The polynomial q with q * b == a, or None where there is none."""
    if isinstance(a, int) and isinstance(b, int):
        return a // b if b and a % b == 0 else None
    if b == 0:
        return None
    rest, divisor, quotient = _terms(a), _terms(b), Terms()
    atoms = sorted({atom for terms in (rest, divisor) for monomial in terms for atom in monomial})

    def power(monomial: Monomial) -> tuple[int, ...]:
        return tuple(map(monomial.count, atoms))

    head = max(divisor, key=power)
    while rest:
        # Lexicographic long division: each step cancels the leading term of what is left.
        lead = max(rest, key=power)
        factor = _without(lead, head)
        if factor is None or rest[lead] % divisor[head] or len(quotient) > MAX_TERMS:
            return None
        coefficient = rest[lead] // divisor[head]
        quotient[factor] = coefficient
        for monomial, number in divisor.items():
            key = tuple(sorted(monomial + factor))
            rest[key] = rest.get(key, 0) - coefficient * number
            if not rest[key]:
                del rest[key]
    return _known(quotient)


def ceil_div(a: Known, b: Known) -> Known:
    """The quotient, rounded up."""
    return -(-a // b)


def maximum(sizes: Iterable[Known]) -> Known:
    """The largest of one or more *sizes*."""
    return _maximum(tuple(sizes))


@_remembered
def _maximum(sizes: tuple[Known, ...]) -> Known:
    arguments: dict[Known, None] = {}
    for size in sizes:
        constant = _terms(size).get((), 0)
        only = size - constant
        inner = only.terms[0] if isinstance(only, Dim) and len(only.terms) == 1 else ((), 0)
        if inner[1] == len(inner[0]) == 1 and inner[0][0].kind == "max":
            # The maximum of a maximum is one of all their arguments.
            arguments.update(dict.fromkeys(arg + constant for arg in inner[0][0].args))
        else:
            arguments[size] = None
    largest: list[Known] = []
    for size in sorted(arguments, key=_sort_key):
        if not any(at_least(other - size, 0) for other in largest):
            largest = [other for other in largest if not at_least(size - other, 0)]
            largest.append(size)
    if len(largest) == 1:
        return largest[0]
    # max(N + 1, 4) and max(N, 3) + 1 are one expression: the first carries no constant.
    offset = _terms(largest[0]).get((), 0)
    moved = tuple(size - offset for size in largest)
    return _single(Atom("max", "", 0, moved)) + offset


def minimum(sizes: Iterable[Known]) -> Known:
    """The smallest of one or more *sizes*."""
    return -maximum([-size for size in sizes])


def broadcast(sizes: Iterable[Known]) -> Known:
    """What *sizes* broadcast to, provided they do: the one all are equal to that are not 1.

    Raises ArithmeticError for two numbers that do not broadcast, and `TooComplexError` for more
    sizes than any real model has.
    """
    return _broadcast(tuple(sizes))


@_remembered
def _broadcast(sizes: tuple[Known, ...]) -> Known:
    found: dict[Known, None] = {}
    for size in sizes:
        only = size.terms[0] if isinstance(size, Dim) and len(size.terms) == 1 else ((), 0)
        if only[1] == len(only[0]) == 1 and only[0][0].kind == "broadcast":
            found.update(dict.fromkeys(only[0][0].args))
        elif size != 1:
            found[size] = None
    numbers = [size for size in found if isinstance(size, int)]
    if len(numbers) > 1:
        raise ArithmeticError(f"{numbers[0]} and {numbers[1]} do not broadcast")
    if numbers:
        return numbers[0]
    kept: list[Known] = []
    for size in sorted(found, key=_key):
        if known_different(size, 1):
            return size
        if not any(_is_one_with(other, size) for other in kept):
            kept = [other for other in kept if not _is_one_with(size, other)]
            kept.append(size)
    if len(kept) < 2:
        return kept[0] if kept else 1
    if len(kept) > MAX_BROADCAST:
        raise TooComplexError(f"a broadcast of {len(kept)} sizes")
    return _single(Atom("broadcast", "", 0, tuple(kept)))


def _is_one_with(size: Known, other: Known) -> bool:
    """Whether *other* must be 1 where *size* is, so that what they broadcast to is *size*."""
    if isinstance(size, int) or isinstance(other, int):
        return False
    for monomial, number in size.terms:
        if len(monomial) == abs(number) == 1:
            # Solved for one atom of it, which what is left may depend on as well.
            value = number * (1 - (size - number * _single(monomial[0])))
            with suppress(ArithmeticError):
                if _rebuilt(other, _one(monomial[0], value)) == 1:
                    return True
    return False


def _one(atom: Atom, value: Known) -> Callable[[Atom], Known | None]:
    return lambda each: value if each == atom else None


def _is_minimum(atom: Atom) -> bool:
    return atom.kind == "max" and all(
        number < 0 for a in atom.args for monomial, number in _terms(a).items() if monomial
    )


def _operand(value: Known | Atom) -> str:
    text = str(value)
    whole = text.isidentifier() or text.isdecimal()
    if isinstance(value, Atom):
        whole = value.kind != "//"
    elif isinstance(value, Dim) and len(value.terms) == 1:
        (monomial, number), *_ = value.terms
        whole = len(monomial) == number == 1 and monomial[0].kind != "//"
    return text if whole else f"({text})"


def _term_text(monomial: Monomial, number: int) -> tuple[str, bool]:
    """A term without its sign, and whether that is negative."""
    if not monomial:
        return str(abs(number)), number < 0
    if len(monomial) == 1 and number < 0 and _is_minimum(monomial[0]):
        text = f"min({', '.join(str(-arg) for arg in monomial[0].args)})"
        return (text if number == -1 else f"{-number}*{text}"), False
    if len(monomial) == abs(number) == 1:
        return str(monomial[0]) if number > 0 else _operand(monomial[0]), number < 0
    factors = [str(abs(number))] * (abs(number) != 1) + [_operand(atom) for atom in monomial]
    return "*".join(factors), number < 0


def _symbols(sizes: Iterable[Known]) -> list[str]:
    return [name for size in sizes if isinstance(size, Dim) for name in size.symbols]


def _depth(size: Known) -> int:
    return 0 if isinstance(size, int) else size.depth


def _key(size: Known) -> tuple[Any, ...]:
    return tuple((tuple(atom.key for atom in m), n) for m, n in _terms(size).items())


def _sort_key(size: Known) -> tuple[Any, ...]:
    """Ordered by all but the constant term, numbers last."""
    constant = _terms(size).get((), 0)
    return isinstance(size, int), _key(size - constant), constant


def _terms(size: Known) -> Terms:
    if isinstance(size, int):
        return {(): int(size)} if size else {}
    return dict(size.terms)


def _known(terms: Terms) -> Known:
    kept = {monomial: number for monomial, number in terms.items() if number}
    if not kept:
        return 0
    if len(kept) == 1 and () in kept:
        return kept[()]
    if len(kept) > MAX_TERMS or max(map(abs, kept.values())) > MAX_SIZE or max(map(len, kept)) > 16:
        raise TooComplexError(f"an expression of {len(kept)} terms")
    return _dim(tuple(sorted(kept.items())))


@_remembered
def _dim(terms: tuple[tuple[Monomial, int], ...]) -> Dim:
    return Dim(terms)


def _single(atom: Atom) -> Dim:
    if atom.depth > MAX_DEPTH:
        raise TooComplexError(f"{atom.depth} divisions and maxima nested")
    return _dim((((atom,), 1),))


@_remembered
def _times(a: Dim, b: Known) -> Known:
    product: Terms = {}
    for left, x in a.terms:
        for right, y in _terms(b).items():
            monomial = tuple(sorted(left + right)) if left and right else left or right
            product[monomial] = product.get(monomial, 0) + x * y
    return _known(product)


@_remembered
def _plus(a: Known, b: Known, sign: int) -> Known:
    total = _terms(a)
    for monomial, number in _terms(b).items():
        total[monomial] = total.get(monomial, 0) + sign * number
    return _known(total)


def _without(monomial: Monomial, factor: Monomial) -> Monomial | None:
    rest = list(monomial)
    for atom in factor:
        if atom not in rest:
            return None
        rest.remove(atom)
    return tuple(rest)


def _rebuilt(size: Known, find: Callable[[Atom], Known | None]) -> Known:
    """The expression with each atom replaced by what *find* has for it, if it has something."""
    if isinstance(size, int):
        return size
    result: Known = 0
    for monomial, coefficient in size.terms:
        product: Known = coefficient
        for atom in monomial:
            found = find(atom)
            product = product * (_with_arguments(atom, find) if found is None else found)
        result = result + product
    return result


def _with_arguments(atom: Atom, find: Callable[[Atom], Known | None]) -> Known:
    if atom.kind == "symbol":
        return _single(atom)
    arguments = [_rebuilt(arg, find) for arg in atom.args]
    if atom.kind == "broadcast":
        return broadcast(arguments)
    return maximum(arguments) if atom.kind == "max" else arguments[0] // arguments[1]


@_remembered
def _floor(a: Known, b: Known) -> Known:
    if isinstance(b, int):
        return _floor_by_number(a, b)
    quotient = exact_quotient(a, b)
    return _single(Atom("//", "", 0, (a, b))) if quotient is None else quotient


def _floor_by_number(a: Known, b: int) -> Known:
    if b < 0:
        return _floor_by_number(-a, -b)
    whole, rest = Terms(), Terms()
    for monomial, number in _terms(a).items():
        # (3*N + 5) // 2 == N + 2 + (N + 1) // 2: what divides leaves, so equal quotients look equal.
        whole[monomial], rest[monomial] = divmod(number, b)
    remainder = _known(rest)
    if isinstance(remainder, int):
        return _known(whole)  # already below b
    for monomial, number in _terms(remainder).items():
        if number == len(monomial) == 1 and monomial[0].kind == "//":
            numerator, divisor = monomial[0].args
            if isinstance(divisor, int):
                # n//m + k == (n + k*m) // m, and dividing twice is dividing by the product.
                others = remainder - _single(monomial[0])
                return _known(whole) + _floor_by_number(numerator + others * divisor, divisor * b)
    return _known(whole) + _single(Atom("//", "", 0, (remainder, b)))


def _lower(size: Known, left_alone: tuple[Atom, ...] = (), splits: int = 4) -> int | None:
    """A bound on *size*: the best of those with and without looking into its first atom."""
    if isinstance(size, int):
        return size
    for monomial, number in size.terms:
        if len(monomial) != 1 or monomial[0].kind == "symbol" or monomial[0] in left_alone:
            continue
        if not splits or len(size.terms) > 8:
            break
        known = [
            _lower(size, (*left_alone, monomial[0]), splits - 1),
            _lower_inside(size, monomial[0], number, left_alone, splits - 1),
        ]
        return max((low for low in known if low is not None), default=None)
    if all(len(monomial) < 2 for monomial, _ in size.terms):
        return _sum_of_bounds(size)
    # Every atom as its bound plus something that is not negative.
    for atom in sorted({atom for monomial, _ in size.terms for atom in monomial}):
        if atom.lower:
            size = _replaced(size, atom, _single(atom) + atom.lower)
            assert isinstance(size, Dim)
    if all(not m or (n > 0 and all(a.lower is not None for a in m)) for m, n in size.terms):
        return _terms(size).get((), 0)
    return None


def _sum_of_bounds(size: Dim) -> int | None:
    """A bound on a sum without products."""
    total = 0
    for monomial, number in size.terms:
        low = monomial[0].lower if monomial else 1
        if low is None or (monomial and number < 0):
            return None
        total += number * low
    return total


def _lower_inside(
    size: Dim, atom: Atom, number: int, left_alone: tuple[Atom, ...], splits: int
) -> int | None:
    if atom.kind == "broadcast":
        return None
    if atom.kind == "max":
        # A maximum is at least each of its arguments, and is one of them.
        cases = [_lower(_replaced(size, atom, arg), left_alone, splits) for arg in atom.args]
        found = [low for low in cases if low is not None]
        if number > 0 and sum(atom in monomial for monomial, _ in size.terms) == 1:
            return max(found, default=None)
        return min(found) if len(found) == len(cases) else None
    numerator, divisor = atom.args
    if not isinstance(divisor, int):
        return None
    # (n - d + 1)/d <= n//d <= n/d, so n - d*(n//d), a remainder, is seen not to be negative.
    extreme = numerator - (divisor - 1 if number > 0 else 0)
    others = size - number * _single(atom)
    low = _lower(others * divisor + number * extreme, left_alone, splits)
    return None if low is None else -(-low // divisor)


def _replaced(size: Dim, atom: Atom, by: Known) -> Known:
    result: Known = 0
    for monomial, number in size.terms:
        product: Known = number
        for factor in monomial:
            product = product * (by if factor == atom else _single(factor))
        result = result + product
    return result
