"""The reference page, made of the code, and what the site needs beside the pages.

python docs/site/hooks.py       writes docs/reference.md; a test holds that it is what the code says
"""

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).resolve().parents[2]
FIRST = ("run", "init", "report", "status", "ui", "doctor", "fit", "predict")
"""Commands that a reader meets first; the others come in the order of their names."""


def reference() -> str:
    """The page: commands as they explain themselves, every option, every table, picture and score."""
    import resnet_tl
    import sweeps
    from resnet_tl.command import commands_of, options_of
    from resnet_tl.config import DataConfig, TrialConfig
    from resnet_tl.metrics import METRICS
    from sweeps.definition.config import RunConfig, StudyConfig
    from sweeps.definition.outputs.registry import FIGURES, TABLES

    lines = ["# Reference", "", "Made of the code by `make docs`.", "", "## Commands", ""]
    for package in (sweeps, resnet_tl):
        for name in sorted(commands_of(package), key=lambda name: (FIRST.index(name) if name in FIRST else 99, name)):
            text = (ROOT / package.__name__ / f"{name}.py").read_text(encoding="utf-8")
            said = ast.get_docstring(ast.parse(text)) or ""
            lines += [f"### python -m {package.__name__}.{name}", "", "```text", said.strip(), "```", ""]
    lines += ["## Options", ""]
    for model, group in ((TrialConfig, "trial"), (DataConfig, "data"), (StudyConfig, "study"), (RunConfig, "run")):
        lines += [f"### {group}", "", "```text", options_of(model, group).text.strip("\n"), "```", ""]
    for title, kinds in (("Tables", TABLES), ("Pictures", FIGURES)):
        lines += [f"## {title}", "", "```text", kinds.help(), "```", ""]
    lines += ["## Scores", "", "| Score | Better | What it is |", "| --- | --- | --- |"]
    lines += [
        f"| {name} | {'more' if metric.better == 'max' else 'less'} | {metric.means} |"
        for name, metric in METRICS.items()
    ]
    return "\n".join([*lines, ""])


def on_page_markdown(markdown: str, **_: object) -> str:
    """Links to what the site has not, reports and code, become plain words; pictures of reports come along."""
    elsewhere = r"(?:\.\./)+(?:reports|resnet_tl|sweeps|tests|benchmarks)[^)]*|(?:\.\./)*(?:examples/|first_hour)[^)]*"
    plain = re.sub(rf"(?<!!)\[([^\]]+)\]\((?:{elsewhere})\)", r"\1", markdown)
    return re.sub(r"!\[([^\]]*)\]\(\.\./((?:\.\./)*reports/)", r"![\1](\2", plain)


def on_files(files: "Files", config: "MkDocsConfig", **_: object) -> "Files":
    """Adds the pictures of reports."""
    from mkdocs.structure.files import File

    for picture in sorted((ROOT / "reports").glob("*.svg")):
        files.append(File.generated(config, f"reports/{picture.name}", abs_src_path=str(picture)))
    return files


def on_pre_build(**_: object) -> None:
    """The page is written anew before the site is built."""
    (ROOT / "docs" / "reference.md").write_text(reference(), encoding="utf-8")


if __name__ == "__main__":
    on_pre_build()
