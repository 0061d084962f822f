"""The report of a run, comparisons of runs, and the charts that both draw."""
