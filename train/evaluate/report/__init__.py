"""The HTML page of an evaluation: its table, and what went most wrong, as pictures."""

from train.evaluate.report.write import write_report

__all__ = ["write_report"]
