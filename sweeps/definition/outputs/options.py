"""What the options of all kinds of output have in common."""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from resnet_tl.option_text import nearest
from sweeps.definition.aims import parse_aims
from sweeps.study_trial import PARAMETERS

if TYPE_CHECKING:
    from sweeps.definition.config import StudyConfig


class OutputOptions(BaseModel):
    """Options of one kind; the first line of its docstring says what the kind shows."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        use_attribute_docstrings=True,  # --help shows them
    )

    title: ClassVar[str] = ""
    """What stands above a table in a report."""

    def lacks(self, study: "StudyConfig") -> str | None:
        """What a study must have for this output, where it has not."""
        return None

    def written(self) -> dict[str, Any]:
        """Those that were given, as they stand in a study file."""
        return self.model_dump(mode="json", exclude_defaults=True)


def _parameter(value: str) -> str:
    if value not in PARAMETERS and value != "study":
        raise ValueError(f"must be a parameter, but got {value!r}; {nearest(value, PARAMETERS)}")
    return value


Parameter = Annotated[str, AfterValidator(_parameter)]
"""A name of `trial.*`, or `study` where several are compared."""


FEWEST_AIMS = 2
"""Of a front: by one alone there is a best trial."""


def _aims(value: Any) -> Any:
    if value is None:
        return None
    aims = parse_aims(value)
    if len(aims) < FEWEST_AIMS:
        raise ValueError(f"must list {FEWEST_AIMS} aims or more, such as [val/accuracy, seconds], but got {value}")
    return aims


Aims = Annotated[tuple[str, ...] | None, BeforeValidator(_aims)]
"""Of a table or picture that shows a front; None for those of the study."""


class PerValueOptions(OutputOptions):
    """Of a table that can be made once for each value of a parameter."""

    by: Parameter | None = None
    """One table for each value of this parameter."""


class FigureOptions(OutputOptions):
    """Of a picture."""

    place: ClassVar[int] = 100
    """Where it stands among `all` pictures; those of one number by name."""
