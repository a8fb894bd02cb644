"""How an answer says that it gives none: one list for who serves, who evaluates and who mirrors."""

from typing import Final

OPENING: Final = 160
"""Characters in which an answer would say so."""
_PHRASES: Final = (
    "i do not know", "i don't know", "i cannot", "i can't", "i am not able", "i'm sorry",
    "不知道", "无法", "不能回答", "抱歉",
)  # fmt: skip


def refuses(text: str) -> bool:
    """Whether somewhere in it an answer says that it gives none."""
    said = text.lower()
    return any(each in said for each in _PHRASES)
