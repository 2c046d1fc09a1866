"""The pictures of a report: one module for each kind, named as its options in `sweeps.definition.outputs.figures`.

A module has `draw(results, options)`, which gives a chart, and `caption(results, options)`.
"""

import importlib
from typing import Protocol, cast

from sweeps.definition.outputs.options import OutputOptions
from sweeps.definition.outputs.registry import Spec
from sweeps.reporting.chart import Chart
from sweeps.reporting.results import Results


class Kind(Protocol):
    """A module of this folder."""

    def draw(self, results: Results, options: OutputOptions) -> Chart:
        """What the picture shows.

        Raises:
            ConfigError: the results lack it.
        """
        ...

    def caption(self, results: Results, options: OutputOptions) -> str:
        """What stands under the picture."""
        ...


def _kind(spec: Spec) -> Kind:
    return cast(Kind, importlib.import_module(f"{__name__}.{spec.kind}"))


def draw(results: Results, spec: Spec) -> Chart:
    """What a picture shows.

    Raises:
        ConfigError: the results lack it.
    """
    return _kind(spec).draw(results, spec.options)


def caption(results: Results, spec: Spec) -> str:
    """What stands under a picture."""
    return _kind(spec).caption(results, spec.options)
