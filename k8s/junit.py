"""Verdicts as JUnit, which GitLab shows on a merge request."""

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from k8s.road import Outcome, Verdict


def as_junit(suite: str, subject: str, verdicts: Sequence[Verdict]) -> bytes:
    """A verdict is a test case: FAIL a failure, WAIT an error."""
    cases = ET.Element("testsuite", name=suite, tests=str(len(verdicts)))
    for each in verdicts:
        case = ET.SubElement(cases, "testcase", classname=subject, name=each.check, time="0")
        if each.outcome is Outcome.FAIL:
            ET.SubElement(case, "failure", message=each.message)
        elif each.outcome is Outcome.WAIT:
            ET.SubElement(case, "error", message=f"not enough to tell: {each.message}")
    cases.set("failures", str(len(cases.findall("testcase/failure"))))
    cases.set("errors", str(len(cases.findall("testcase/error"))))
    whole: bytes = ET.tostring(cases, encoding="utf-8", xml_declaration=True)
    return whole
