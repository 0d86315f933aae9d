"""Tables of benchmarks/gain_report.py as the tests read them."""


def cells(text: str) -> dict[str, list[str]]:
    """What stands in each row of a Markdown table, by its first column."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]
    return {row[0]: row[1:] for row in rows}
