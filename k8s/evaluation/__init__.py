"""Evaluation: golden sets asked of a candidate and of the version it would replace.

golden -> asking -> scores -> bootstrap -> verdicts -> report, picture
"""

from k8s.evaluation.comparison import Evaluation, Side, evaluate

__all__ = ["Evaluation", "Side", "evaluate"]
