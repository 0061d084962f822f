"""Studies: a grid of runs that differ in a few settings, what is measured of them, and the figure that is drawn."""
