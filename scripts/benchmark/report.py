"""What is printed: tables whose columns are as wide as what stands in them."""


def title(generator):
    """What a generator is called in tables."""
    return "bare hyper" if generator == "hyper" else generator


def table(table, rows, missing):
    """The rows of one of the benchmark's tables; what failed, or is not here, says so in words."""
    cells = [_failed(row) if "failed" in row else table.cells(row) for row in rows]
    _print(table.title, table.heads(), cells + [[title(name), "not available here"] for name in missing])
    for remark in table.remarks(rows):
        print(remark, flush=True)


def goals(verdicts):
    figures = ["–" if one["figure"] is None else f"{one['figure']:.2f}" for one in verdicts]
    rows = [[one["goal"], figure, one["verdict"]] for one, figure in zip(verdicts, figures)]
    _print("goals", ["squall", "figure", "verdict"], rows)


def _failed(row):
    name = title(row["generator"])
    return [f"{name}, {row['users']:,} users" if "users" in row else name, f"failed: {row['failed']}"]


def _print(heading, heads, rows):
    """Prints a table; the last cell of a row that is shorter than the others is words, and needs no column."""
    whole = [row for row in rows if len(row) == len(heads)]
    widths = [max(map(len, column)) for column in zip(heads, *whole)]
    widths[0] = max(len(row[0]) for row in [heads, *rows])
    print(f"\n{heading}")
    for first, *others in [heads, *rows]:
        cells = others if len(others) < len(heads) - 1 else [cell.rjust(n) for cell, n in zip(others, widths[1:])]
        print("  ".join([first.ljust(widths[0]), *cells]), flush=True)
