"""Kinds that each block chooses, with settings that all blocks of one kind share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from nas.space.tree.genotype import Names
from nas.space.tree.matching import Binder, PartialMatch, backtrack
from nas.space.tree.nodes import Choice, Option, Pick, Scope


@dataclass(frozen=True, eq=False)
class JointChoice(Choice):
    """One decision for each copy; below an option the copies that choose it have decisions in common.

    Those exist only where some copy chooses the option. Of `k` copies an option then has `shared * own^k` ways, and one
    way where `k` is 0; the sum over all ways to choose is the coefficient of x^copies in the product of the options'
    exponential generating functions, `1 + shared * (exp(own x) - 1)`.
    """

    def _ways(self, option: Option, copies: int, names: Names) -> int:
        return option.node.size(copies, names) if copies else 1

    def completions(self, counts: Sequence[int], left: int, names: Names) -> int:
        """Return the number of ways to go on when `counts` copies have chosen each option and `left` have not."""
        sums = {0: 1}
        for option, count in zip(self.options, counts, strict=True):
            first, second = (self._ways(option, copies, names) for copies in (1, 2))
            own = second // first
            shared = first // own
            product: dict[int, int] = {}
            for power, factor in sums.items():
                product[power + own] = product.get(power + own, 0) + (factor if count else factor * shared)
                if not count and shared != 1:
                    product[power] = product.get(power, 0) + factor * (1 - shared)
            sums = product
        ahead: int = sum(factor * int(power**left) for power, factor in sums.items())
        return ahead * prod(
            self._ways(option, count, names) for option, count in zip(self.options, counts, strict=True)
        )

    def size(self, copies: int, names: Names) -> int:
        """Return the number of ways to choose for all copies, with what the chosen options leave open."""
        return self.completions([0] * len(self.options), copies, names)

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        """Choose for each copy, then decide each chosen option once for all its copies."""
        groups: list[list[int]] = [[] for _ in self.options]
        for i, copy in enumerate(scope.copies):
            left = len(scope.copies) - i - 1
            view = _NextCopy(self.name, self.options, self.per, joint=self, counts=[*map(len, groups)], left=left)
            groups[pick(view, f"{copy}.{self.name}" if copy else self.name, 1, scope.names)].append(i)
        values: list[Any] = [None] * len(scope.copies)
        for option, group in zip(self.options, groups, strict=True):
            if group:
                some = Scope(scope.shared, tuple(scope.copies[i] for i in group), scope.names)
                for i, value in zip(group, option.node.resolve(some, pick), strict=True):
                    values[i] = value
        return values

    def match(self, scope: Scope, values: Sequence[Any], partial: PartialMatch, bind: Binder) -> Iterator[PartialMatch]:
        """Yield the match with each way to choose copy after copy; common decisions are met again and must agree."""

        def step(index: int, reached: PartialMatch) -> Iterator[PartialMatch]:
            copy = scope.copies[index]
            here = Scope(scope.shared, (copy,), scope.names)
            for option in self.options:
                chosen = reached.decide(f"{copy}.{self.name}" if copy else self.name, option.value)
                yield from option.node.match(here, values[index : index + 1], chosen, bind)

        return backtrack(len(scope.copies), step, partial)

    def decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        """Yield the choice of each copy, then the decisions under each option."""
        for copy in scope.copies:
            yield f"{copy}.{self.name}" if copy else self.name, self
        for option in self.options:
            yield from option.node.decisions(scope)


@dataclass(frozen=True, eq=False, kw_only=True)
class _NextCopy(Choice):
    """The choice of the next copy: the sizes of its options count all that is still to decide after it."""

    joint: JointChoice
    counts: list[int]
    left: int

    def option_sizes(self, copies: int, names: Names) -> tuple[int, ...]:
        """Return the number of ways to go on after each option, the choices of the other copies among them."""
        after = [[count + (i == chosen) for i, count in enumerate(self.counts)] for chosen in range(len(self.options))]
        return tuple(self.joint.completions(counts, self.left, names) for counts in after)
