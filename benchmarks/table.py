"""The terminal's tables: rich where it is installed, aligned text where not."""

from benchmarks import comparison, optional
from benchmarks.comparison import Row
from benchmarks.run import Run
from benchmarks.workload import Measure, Workload

_LOAD = ("server", "us/req", "min - max", "x stdlib", "ours x", "req/s", "p99 us", "foreign")
_OTHER = {
    Measure.SHUTDOWN: ("server", "ms", "min - max", "x stdlib", "ours x"),
    Measure.IDLE: ("server", "wake-ups/s", "min - max", "x stdlib", "ours x"),
}
KEY = (
    "x stdlib: cost of stdlib / cost of this server; ours x: cost of this server / cost of ours; "
    "medians of ratios paired by round, above 1 is better."
)


def show(run: Run, works: list[Workload]) -> None:
    """Print one table per workload that has samples."""
    rich_console, rich_table = optional.load("rich.console"), optional.load("rich.table")
    console = rich_console.Console() if rich_console else None
    for work in works:
        samples = [sample for sample in run.samples if sample.workload == work.name]
        if not samples:
            continue
        title = f"{work.name}: {work.summary} [{work.measure.value}, lower is better]"
        head = _LOAD if work.measure is Measure.LOAD else _OTHER[work.measure]
        body = [_cells(row, work.measure) for row in comparison.rows(samples)]
        if console is None:
            print("\n" + _plain(title, head, body))
            continue
        table = rich_table.Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for column in head:
            table.add_column(column, justify="left" if column == "server" else "right", no_wrap=True)
        for cells in body:
            table.add_row(*cells, style="bold" if cells[0] == "ours" else None)
        console.print(f"\n{title}", style="bold", markup=False, highlight=False, soft_wrap=True)
        console.print(table)
    for work in works:
        for row in comparison.rows([sample for sample in run.samples if sample.workload == work.name]):
            if row.errors:
                print(f"{work.name} {row.subject}: {row.errors} of {row.errors + row.done} went unanswered or failed")
    print(f"\n{run.rounds} complete rounds. {KEY}")


def _cells(row: Row, measure: Measure) -> list[str]:
    cells = [
        row.subject,
        _figure(row.cost),
        f"{_figure(row.lowest)} - {_figure(row.highest)}",
        _ratio(row.over_stdlib),
        _ratio(row.ours_over),
    ]
    if measure is Measure.LOAD:
        cells += [
            f"{row.rate:,.0f}",
            f"{row.p99_us:,.0f}",
            f"{row.foreign:.0%}",
        ]
    return cells


def _figure(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _plain(title: str, head: tuple[str, ...], body: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in [list(head), *body]) for column in range(len(head))]
    lines = [title]
    for row in [list(head), *body]:
        cells = [
            row[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
