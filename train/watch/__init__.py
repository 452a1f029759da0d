"""What a run says of itself: figures, lines, loggers, the report."""
