"""What of a watch is worth a look: a wish, a move, a road that came or went."""

from k8s.cluster.rest import Json


class News:
    """A watch tells all again whenever it begins, and every number that a controller writes."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[object, ...]] = {}  # by a road's name

    def is_in(self, event: Json) -> bool:
        """Whether the event says anything of a road that no earlier one said."""
        road = event["object"]
        name = road["metadata"]["name"]
        news = None if event["type"] == "DELETED" else _gist(road)
        before = self._told.pop(name, None)
        if news is not None:
            self._told[name] = news
        return news != before


def _gist(road: Json) -> tuple[object, ...]:
    metadata, status = road["metadata"], road.get("status") or {}
    return metadata["uid"], metadata["generation"], status.get("transitions", 0)
