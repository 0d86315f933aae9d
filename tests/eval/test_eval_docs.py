"""The examples and tables of docs/evaluation.md."""

import doctest
import re

from conftest import ROOT

from eval import PROTOCOLS

TEXT = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")


def test_the_examples_give_what_they_show():
    code = "\n".join(re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL))
    examples = doctest.DocTestParser().get_doctest(code, {}, "docs/evaluation.md", None, 0)
    runner = doctest.DocTestRunner()
    said = []
    result = runner.run(examples, out=said.append)
    assert result.failed == 0 and result.attempted >= 12, "".join(said)


def test_every_variant_and_file_name_is_told():
    rows = [[cell.strip(" `") for cell in row.split("|")[1:-1]] for row in TEXT.splitlines() if row.startswith("|")]
    named, protocol = {}, ""
    for first, second, *_ in rows[2 : rows.index(next(row for row in rows if "result files" in row))]:
        protocol = first or protocol
        named.setdefault(protocol, []).append(second)
    assert named == {name: list(rules.variants) for name, rules in PROTOCOLS.items()}
    files = {row[0]: row[1:3] for row in rows if row[0] in PROTOCOLS and "NAME" in row[1]}
    for name, rules in PROTOCOLS.items():
        labels, results = files[name]
        assert results == rules.results.file_name("NAME")
        assert labels.startswith(f"{rules.ground_truth.prefixes[0]}NAME")
        assert all(suffix in labels for suffix in rules.ground_truth.parsers)
