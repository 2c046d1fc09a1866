import pytest

from resnet_tl.errors import ConfigError
from sweeps.describe import main


def test_the_way_of_a_studys_data_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study=quickstart", "study.seeds=[0,1]"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("quickstart: A ResNet-18")
    assert "6 trials × 2 seeds = 12 seed runs" in out
    assert "<- trials0, trials1, trials2, space" in out


@pytest.mark.parametrize(
    ("form", "first", "last"), [("mermaid", "flowchart", None), ("plantuml", "@startuml", "@enduml")]
)
def test_a_picture_is_all_that_is_printed(
    capsys: pytest.CaptureFixture[str], form: str, first: str, last: str | None
) -> None:
    assert main(["study=quickstart", f"format={form}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(first)
    assert last is None or lines[-1] == last


def test_a_mistyped_format_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"`format` must be one of .* but got mermade; did you mean `mermaid`\?"):
        main(["study=quickstart", "format=mermade"])
