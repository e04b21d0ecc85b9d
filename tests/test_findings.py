"""Findings as people see them."""

from __future__ import annotations

from gateway_lab.findings import Finding, Findings, Severity

ERROR = Finding(
    code="unknown-target",
    severity=Severity.ERROR,
    path=("routers", "r"),
    text="there is no target '<b>'",
    hint="did you mean 'b'?",
    file="routes.yaml",
    line=3,
    column=7,
)
NOTE = Finding(code="unused", severity=Severity.NOTE, path=("targets", "t"), text="never used")


def test_a_finding_reads_like_a_line_of_a_compiler() -> None:
    assert str(ERROR) == (
        "routes.yaml:3:7: error [unknown-target] there is no target '<b>'\n"
        "  hint: did you mean 'b'?"
    )
    assert str(NOTE) == "targets.t: note [unused] never used"


def test_findings_are_a_tuple_a_text_a_table_and_a_frame() -> None:
    findings = Findings((ERROR, NOTE))
    assert [*findings] == [ERROR, NOTE]
    assert [*findings.errors] == [ERROR]
    assert repr(findings) == f"{ERROR}\n{NOTE}"
    assert findings.frame["where"].to_list() == ["routes.yaml:3:7", "targets.t"]
    assert "&lt;b&gt;" in findings._repr_html_()
    assert "<b>" not in findings._repr_html_()


def test_no_findings_say_so() -> None:
    assert repr(Findings()) == "no findings"
    assert Findings()._repr_html_() == "<p>no findings</p>"
    assert Findings().frame.columns == ["severity", "code", "where", "text", "hint"]
