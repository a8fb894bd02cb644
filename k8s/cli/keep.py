"""A verdict kept as files: for a merge request, and for GitLab's list of tests."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from k8s.road import Road


def keep_verdict(road: "Road", folder: Path | None) -> None:
    """Write verdict.md and junit.xml, where a folder is given."""
    if folder is None:
        return
    from k8s.junit import as_junit
    from k8s.words import as_markdown

    status = road.status
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "verdict.md").write_text(as_markdown(road, time.time()), encoding="utf-8")
    junit = as_junit(status.judged or road.name, status.candidate or "", status.verdicts)
    (folder / "junit.xml").write_bytes(junit)
