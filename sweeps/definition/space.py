"""The search space, in the vocabulary of W&B sweeps, enumerated by us or sampled by Optuna.

lr: {values: [1e-4, 1e-3], set: {1e-3: {epochs: 10}}}     choices; a choice may set other parameters
momentum: {values: [0.0, 0.9], when: {optimizer: sgd}}    exists only where the condition holds
lr:                                                       alternatives, told apart by their conditions
  - {values: [1e-6, 1e-5], when: {head: linear}}
  - {values: [1e-4], when: {head: mlp_relu}}
weight_decay: {distribution: log_uniform_values, min: 1e-6, max: 1e-2}
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from resnet_tl.config import TrialConfig
from resnet_tl.errors import ConfigError
from resnet_tl.option_text import brief
from sweeps.definition.dimension import Dimension, parse_dimension, same_value
from sweeps.definition.names import instead
from sweeps.study_trial import PARAMETERS, SHOWN

Params = dict[str, Any]
"""A point: parameter name to value, only those that exist under its conditions."""

MOST_PROBES = 2000
MOST_LISTED = 100_000
"""Points that are listed: more trials than that are no request that can be carried out."""
MOST_DIMENSIONS = 200
LONG_RANGE = 50
"""Values from which on a range is shown by its ends and middle."""


def describe(params: Mapping[str, Any]) -> str:
    """A point in one line: `lr=0.001 head=linear`."""
    return " ".join(f"{name}={describe_value(value)}" for name, value in params.items()) or "(base)"


def describe_value(value: Any) -> str:
    """One value of a point."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, kw_only=True, slots=True)
class Space:
    """Dimensions in an order in which every condition speaks of earlier parameters or of the base."""

    dimensions: tuple[Dimension, ...]
    base: dict[str, Any]
    """Values of the `trial:` block, which conditions may speak of."""

    @classmethod
    def parse(cls, written: Any, base: dict[str, Any]) -> "Space":
        """Reads `study.space`.

        Raises:
            ConfigError: every problem at once.
        """
        if not isinstance(written, dict):
            raise ConfigError(f"`study.space` must map parameters to values, but got {brief(written)}.")
        problems: list[str] = []
        dimensions: list[Dimension] = []
        for name, content in written.items():
            where = f"`study.space.{name}`"
            if name not in PARAMETERS:
                problems.append(f"{where} is not a parameter; {instead(name)}")
                continue
            if name in base:
                problems.append(f"{where} and `trial.{name}` must not both be given.")
            alternatives = content if isinstance(content, list) else [content]
            for number, alternative in enumerate(alternatives):
                label = name if len(alternatives) == 1 else f"{name}#{number}"
                try:
                    dimensions.append(parse_dimension(name, label, alternative, where))
                except ConfigError as error:
                    problems += error.problems
        if len(dimensions) > MOST_DIMENSIONS:
            problems.append(f"`study.space` must have at most {MOST_DIMENSIONS} parameters, but has {len(dimensions)}.")
        names = set(PARAMETERS)
        for dimension in dimensions:
            problems += [
                f"`study.space.{dimension.name}.when` speaks of `{other}`, no parameter; {instead(other)}"
                for other in dimension.when
                if other not in names
            ]
            for _, others in dimension.sets:
                problems += [
                    f"`study.space.{dimension.name}.set` sets `{other}`, which is itself searched."
                    for other in others
                    if other in written
                ]
                problems += [
                    f"`study.space.{dimension.name}.set` sets `{other}`, no parameter; {instead(other)}"
                    for other in others
                    if other not in names
                ]
        if problems:
            raise ConfigError(*problems)
        return cls(dimensions=_in_order(dimensions), base=dict(base))

    @property
    def names(self) -> set[str]:
        """Parameters that are searched, or set by the value of another one."""
        set_by_others = {other for dimension in self.dimensions for _, others in dimension.sets for other in others}
        return {dimension.name for dimension in self.dimensions} | set_by_others

    @property
    def varies_images(self) -> bool:
        """Whether trials differ in how they are shown the images."""
        return not self.names.isdisjoint(SHOWN)

    def _known(self) -> dict[str, Any]:
        """What conditions may speak of before any parameter of the space is chosen."""
        defaults = {n: f.default for n, f in TrialConfig.model_fields.items() if not f.is_required()}
        searched = {dimension.name for dimension in self.dimensions}
        return {name: value for name, value in (defaults | self.base).items() if name not in searched}

    def active(self, params: Mapping[str, Any]) -> Iterator[tuple[Dimension, Any]]:
        """The dimensions that exist at a point, each with its value."""
        known = self._known()
        for dimension in self.dimensions:
            # of alternatives whose conditions overlap the first one holds, here as in `_walk`
            if dimension.name in params and dimension.name not in known and dimension.applies(known):
                known[dimension.name] = params[dimension.name]
                yield dimension, params[dimension.name]

    def require_finite(self) -> None:
        """Raises ConfigError when a dimension has no list of values, or one that nobody can try."""
        listed = [(dimension, dimension.enumerate()) for dimension in self.dimensions]
        endless = [f"`study.space.{dimension.name}`" for dimension, values in listed if values is None]
        if endless:
            raise ConfigError(f"A grid needs `values`, an int_uniform or a q_uniform for {', '.join(endless)}.")
        long = next((d.name for d, values in listed if values is not None and len(values) > MOST_LISTED), None)
        if long is not None:
            raise ConfigError(f"`study.space.{long}` must have at most {MOST_LISTED:,} values to be tried one by one.")

    def require_grid(self) -> None:
        """Raises ConfigError when not all points can be listed."""
        self.require_finite()
        if not self.is_finite():
            sizes = " × ".join(f"{len(dimension.enumerate() or ()):,}" for dimension in self.dimensions)
            raise ConfigError(
                f"A grid must have at most {MOST_LISTED:,} points, but this space has more ({sizes} values); "
                "`study.method: random` or `bayes` with `study.trials` try some of them."
            )

    def require_unconditional(self) -> None:
        """Raises ConfigError when a parameter exists under conditions: it cannot be switched alone."""
        bound = dict.fromkeys(f"`study.space.{d.name}`" for d in self.dimensions if d.when)
        if bound:
            raise ConfigError(f"An ablation switches each parameter alone, so {', '.join(bound)} must have no `when`.")

    def grid(self) -> Iterator[Params]:
        """Every point, the last parameter varying fastest."""
        yield from self._walk(0, {}, self._known(), lambda dimension: dimension.enumerate() or ())

    def one_at_a_time(self) -> Iterator[Params]:
        """The first value of every parameter, which is the base, and then each other value alone."""
        listed = {dimension.label: dimension.enumerate() or () for dimension in self.dimensions}
        yield from self._walk(0, {}, self._known(), lambda d: listed[d.label][:1])
        for target in self.dimensions:
            for value in listed[target.label][1:]:
                pick = lambda d, t=target, v=value: (v,) if d is t else listed[d.label][:1]  # noqa: E731
                yield from self._walk(0, {}, self._known(), pick)

    def _walk(self, depth: int, params: Params, known: dict[str, Any], values: Any) -> Iterator[Params]:
        if depth == len(self.dimensions):
            yield dict(params)
            return
        dimension = self.dimensions[depth]
        if dimension.name in params or not dimension.applies(known):
            yield from self._walk(depth + 1, params, known, values)
            return
        for value in values(dimension):
            here = {dimension.name: value}
            yield from self._walk(depth + 1, params | here, known | here, values)

    def is_finite(self) -> bool:
        """Whether all points can be listed, and are few enough to be."""
        listed = [dimension.enumerate() for dimension in self.dimensions]
        if any(values is None for values in listed):
            return False
        if math.prod(len(values) for values in listed if values is not None) <= MOST_LISTED:
            return True
        # alternatives and conditions may leave fewer
        return sum(1 for _ in itertools.islice(self.grid(), MOST_LISTED + 1)) <= MOST_LISTED

    def probes(self) -> list[Params]:
        """Points that show every value and both ends of every range; for small spaces, all points."""
        points = self._walk(0, {}, self._known(), _shown)
        few = list(itertools.islice(points, MOST_PROBES + 1))
        if len(few) <= MOST_PROBES:
            return few
        # one value at a time, the others at their first, or where the one exists
        chosen = [next(self._walk(0, {}, self._known(), lambda d: _shown(d)[:1]))]
        for target in self.dimensions:
            around = self._where_exists(target)
            if around is None:
                continue
            held = {dimension.label: (value,) for dimension, value in self.active(around)}
            for value in _shown(target):
                pick = lambda d, h=held | {target.label: (value,)}: h.get(d.label, _shown(d)[:1])  # noqa: E731
                chosen += list(self._walk(0, {}, self._known(), pick))
        return chosen

    def _where_exists(self, target: Dimension) -> Params | None:
        """A point at which one alternative of a parameter exists: its own condition holds, and no earlier one's."""
        asked = {target.name}
        while more := {other for d in self.dimensions if d.name in asked for other in d.when} - asked:
            asked |= more
        conditions = [dimension.when for dimension in self.dimensions if dimension.name in asked]

        def values(dimension: Dimension) -> Sequence[Any]:
            shown = _shown(dimension)
            if dimension.name not in asked or dimension.name == target.name:
                return shown[:1]
            spoken = [v for when in conditions for v in when.get(dimension.name, ()) if dimension.contains(v)]
            # values that no condition speaks of are alike
            others = [v for v in shown if not any(same_value(v, other) for other in spoken)]
            found: list[Any] = []
            for value in (*shown[:1], *spoken, *others[:1]):
                if not any(same_value(value, other) for other in found):
                    found.append(value)
            return found

        points = itertools.islice(self._walk(0, {}, self._known(), values), MOST_PROBES)
        return next((point for point in points if any(d is target for d, _ in self.active(point))), None)

    def draws(self, count: int) -> Iterator[Params]:
        """Points as a sampler that has heard of nothing would propose them; the same ones each time."""
        random = Random(0)
        for _ in range(count):
            yield self.choose(lambda dimension: dimension.draw(random))

    def contains(self, params: Mapping[str, Any]) -> bool:
        """Whether a stored point is one of this space."""
        known, wanted = self._known(), set()
        for dimension in self.dimensions:
            if dimension.name in wanted or not dimension.applies(known):
                continue
            if dimension.name not in params or not dimension.contains(params[dimension.name]):
                return False
            wanted.add(dimension.name)
            known[dimension.name] = params[dimension.name]
        return wanted == set(params)

    def apply(self, params: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
        """The `trial:` block at a point: base, then what values set, then the values."""
        values = dict(base)
        setters: dict[str, tuple[str, Any]] = {}
        for dimension, value in self.active(params):
            for chosen, others in dimension.sets:
                if not same_value(chosen, value):
                    continue
                for other, setting in others.items():
                    if other in setters and not same_value(setters[other][1], setting):
                        raise ConfigError(
                            f"`{other}` is set to {setters[other][1]} by `study.space.{setters[other][0]}` and to "
                            f"{setting} by `study.space.{dimension.name}` at {dict(params)}."
                        )
                    setters[other] = (dimension.name, setting)
                    values[other] = setting
        return values | dict(params)

    def choose(self, pick: Callable[[Dimension], Any]) -> Params:
        """A point whose values are picked one by one, in an order in which every condition is decided before."""
        params: Params = {}
        known = self._known()
        for dimension in self.dimensions:
            if dimension.name not in params and dimension.applies(known):
                params[dimension.name] = known[dimension.name] = pick(dimension)
        return params


def _shown(dimension: Dimension) -> Sequence[Any]:
    """The values of a dimension, or the ends of a range; of a long one its middle too."""
    listed = dimension.enumerate()
    if listed is None:
        return dimension.low, dimension.high
    if dimension.choices is None and len(listed) > LONG_RANGE:
        return listed[0], listed[len(listed) // 2], listed[-1]
    return listed


def _in_order(dimensions: list[Dimension]) -> tuple[Dimension, ...]:
    """Conditions after what they speak of, alternatives of one parameter one after the other; otherwise as written."""
    searched = {dimension.name for dimension in dimensions}
    ordered: list[Dimension] = []
    waiting = list(dimensions)
    while waiting:
        open_names = {dimension.name for dimension in waiting}
        first = {d.name: d for d in reversed(waiting)}  # of overlapping alternatives the first one holds
        ready = next((d for d in waiting if first[d.name] is d and not (set(d.when) & searched & open_names)), None)
        if ready is None:
            names = ", ".join(sorted(open_names))
            raise ConfigError(f"`study.space`: the conditions of {names} speak of each other in a circle.")
        ordered.append(ready)
        waiting.remove(ready)
    return tuple(ordered)
