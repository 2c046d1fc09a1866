"""Tables and what surrounds them, written out as markdown, CSV or JSON."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sweeps.definition.tables import TableSpec
from sweeps.reporting.results import Results, to_csv
from sweeps.reporting.tables import Table, make

MADE_BY = "Made by `"
"""Stands before the command in the report of a study."""


def markdown_table(table: Table) -> str:
    """One table, its notes below it."""
    lines = [f"**{table.title}**", ""] if table.title else []
    lines += ["| " + " | ".join(_cell(c) for c in table.header) + " |", "|" + " --- |" * len(table.header)]
    lines += ["| " + " | ".join(_cell(c) for c in row) + " |" for row in table.rows]
    if table.notes:
        lines += ["", *(f"{note}  " for note in table.notes[:-1]), table.notes[-1]]
    return "\n".join(line if not line.startswith("|  |") else line.replace("|  |", "| |", 1) for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def tables_of(results: Results, specs: Sequence[TableSpec] | None = None) -> list[Table]:
    """The tables that the study asks for, or the given ones."""
    wanted = specs if specs is not None else (results.tables or (TableSpec(kind="summary"),))
    return [table for spec in wanted for table in make(results, spec)]


def render(results: Results, form: str, specs: Sequence[TableSpec] | None = None) -> str:
    """A report as `markdown`, `csv` or `json`."""
    if form == "csv":
        return to_csv(results)
    if form == "json":
        return to_json(results)
    return to_markdown(results, specs)


def to_markdown(results: Results, specs: Sequence[TableSpec] | None = None) -> str:
    """The report of a study: its question, what was done, the tables."""
    parts = [f"# {results.study}"]
    if results.about:
        parts += _about(results)
    parts += [markdown_table(table) for table in tables_of(results, specs)]
    if results.about:
        parts.append(_footer(results))
    return "\n\n".join(parts) + "\n"


def _about(results: Results) -> list[str]:
    assert results.about
    identity, description = results.about.identity, results.about.description
    images = description["num_images"]
    parts = [description["question"]]
    if description["hypotheses"]:
        parts.append("\n".join(f"- Expected: {sentence}" for sentence in description["hypotheses"]))
    data = identity["data"]
    facts = [
        f"Images: `{data['source']}`, {images['train']} for training, {images['val']} for selection (val), "
        f"{images['test']} for the final score (test); {len(data['classes'])} classes."
    ]
    if description["skipped"]:
        facts.append(
            f"{len(description['skipped'])} broken images were left out: "
            f"{', '.join(Path(name).name for name in sorted(description['skipped']))}."
        )
    if description["num_leaked"]:
        facts.append(f"{description['num_leaked']} images of val and test stand in train too, pixel by pixel.")
    if description["num_contradicting"]:
        facts.append(f"{description['num_contradicting']} images stand in two classes, pixel by pixel.")
    planned = len(results.trials) if description["trials"] is None else description["trials"]
    total, done = (
        planned * len(identity["seeds"]),
        int(results.frame["state"].isin(["complete", "diverged"]).sum()),
    )
    facts.append(
        f"{planned} trials ({identity['method']}) × {len(identity['seeds'])} seeds; {done} of {total} seed runs done. "
        f"Epochs, trials and networks are selected by mean {identity['metric']}; test is scored once per seed run."
    )
    facts.append(f"{MADE_BY}{description['command']}`.")
    parts.append("\n".join(f"{fact}  " for fact in facts[:-1]) + f"\n{facts[-1]}")
    return parts


def _footer(results: Results) -> str:
    assert results.about
    identity = results.about.identity
    environment = identity["environment"]
    lines = [f"Data fingerprint `{identity['data']['fingerprint']}`, seeds {identity['seeds']}."]
    if results.runs:
        dates = sorted(run.finished[:10] for run in results.runs)
        span = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
        commits = sorted({run.commit for run in results.runs if run.commit})
        lines.append(f"Runs of {span}" + (f", commit {', '.join(commits)}." if commits else "."))
        reused = sorted({run.reused_from for run in results.runs if run.reused_from})
        if reused:
            lines.append(f"Some seed runs were taken over from: {', '.join(reused)}.")
    lines.append(
        f"torch {environment['torch']}, torchvision {environment['torchvision']}, {environment['device']}, "
        f"{environment['threads']} thread{'s' if environment['threads'] > 1 else ''} per fit."
    )
    return "\n".join(["---", "", *(f"{line}  " for line in lines[:-1]), lines[-1]])


def to_json(results: Results) -> str:
    """Every seed run and the study's definition."""
    frame = results.frame.astype(object)
    rows = frame.where(frame.notna(), None).to_dict(orient="records")
    content: dict[str, Any] = {
        "study": results.study,
        "metric": results.metric,
        "direction": results.direction,
    }
    if results.about:
        content |= {"definition": results.about.identity, "about": results.about.description}
    return json.dumps(content | {"seed_runs": rows}, indent=1, allow_nan=False) + "\n"


def write(text: str, path: Path) -> None:
    """Writes a report; a reader sees the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
