"""The table of seed runs as an element of the page; its script makes buttons of the cells, and draws the curves."""

from html import escape

from sweeps.records import count
from sweeps.reporting.blocks import SeedRuns
from sweeps.reporting.page.parts import as_data


def element(block: SeedRuns) -> str:
    """A row for each trial, a column for each seed, and the curves as data."""
    head = '<th scope="col">Trial</th>' + "".join(
        f'<th scope="col" class="number">Seed {seed}</th>' for seed in block.seeds
    )
    rows = "\n".join(
        f'<tr><th scope="row">{escape(row.title)}</th>'
        + "".join(
            _cell(text, value, f"{row.trial}/{seed}", block)
            for seed, (text, value) in zip(block.seeds, row.cells, strict=True)
        )
        + "</tr>"
        for row in block.rows
    )
    left = f" {count(block.num_left_out, 'trial')} of lower rank left out." if block.num_left_out else ""
    curves = block.curves
    runs = {key: [best, list(values)] for key, (best, values) in curves.runs.items()}
    data = {"metric": curves.metric, "sign": curves.sign, "digits": curves.digits, "runs": runs}
    return (
        f'<div class="scroll"><table class="runs"><caption><span>{escape(block.column)} of each seed run, trials by '
        f"rank</span></caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>"
        f'<p class="note">Each value has the learning curve of its seed run ({escape(curves.metric)} by epoch), with '
        "those of the trial’s other seeds behind it: point at it, tap it, or reach it by Tab and the arrow keys. The "
        f"dot is the selected epoch.{left}</p>{as_data('curves', data)}"
    )


def _cell(text: str, value: float | None, key: str, block: SeedRuns) -> str:
    told = "" if value is None else f' data-value="{value:.6g}"'
    told += f' data-run="{key}"' if key in block.curves.runs else ""
    return f'<td class="number short"{told}>{escape(text)}</td>'
