"""What is kept in ConfigMaps: reports of evaluations, and the ledger."""

from k8s import ledger
from k8s.cluster.rest import CONFIG_MAPS, Json, Part
from k8s.errors import BrokenLedger, Conflict
from k8s.ledger import Record
from k8s.reports import Summary, parse_summary, render_summary
from k8s.road import GROUP

_SUMMARY, _RECORD = "summary.json", "record"  # keys of ConfigMaps


class Papers(Part):
    """A report may be replaced, a record never."""

    def summary(self, version: str) -> Summary | None:
        held = self._rest.get(CONFIG_MAPS, _summary_name(version))
        return parse_summary(_said(held, _SUMMARY)) if held else None

    def write_summary(self, summary: Summary) -> None:
        """Of an evaluation, in place of an earlier one of that version."""
        name = _summary_name(summary.version)
        body = {
            "metadata": {"name": name, "labels": {f"{GROUP}/evaluation": summary.version}},
            "data": {_SUMMARY: render_summary(summary)},
        }
        try:
            self._rest.create(CONFIG_MAPS, body)
        except Conflict:
            self._rest.replace(CONFIG_MAPS, name, body)

    def head(self, road: str) -> Record | None:
        return max(self.records(road), key=lambda record: record.number, default=None)

    def records(self, road: str) -> list[Record]:
        """The whole ledger, in order; raises BrokenLedger where one was changed."""
        return sorted(map(ledger.read, self.lines(road)), key=lambda record: record.number)

    def lines(self, road: str) -> list[str]:
        """Its records as they are kept, in no order."""
        held = self._rest.list(CONFIG_MAPS, labelSelector=f"{GROUP}/ledger={road}")
        return [_said(each, _RECORD) for each in held]

    def append(self, road: str, record: Record) -> bool:
        name = f"{road}-ledger-{record.number:06}"
        metadata = {"name": name, "labels": {f"{GROUP}/ledger": road}}
        body = {"metadata": metadata, "data": {_RECORD: record.line()}, "immutable": True}
        try:
            self._rest.create(CONFIG_MAPS, body)
        except Conflict:
            self._recorded(road, name)
            return False
        return True

    def _recorded(self, road: str, name: str) -> None:
        """Raises BrokenLedger where what has the name is no record: none could follow, unseen."""
        standing = self._rest.get(CONFIG_MAPS, name)
        labels = standing["metadata"].get("labels") or {} if standing else None
        if labels is not None and labels.get(f"{GROUP}/ledger") != road:
            raise BrokenLedger(
                f"The ConfigMap {name} has the name of the next record and is none; remove it."
            )


def _summary_name(version: str) -> str:
    return f"glm-eval-{version}"


def _said(config_map: Json, key: str) -> str:
    """Empty where somebody made it otherwise."""
    text: str = (config_map.get("data") or {}).get(key, "")
    return text
