"""Models that give a text probabilities of labels: fastText's, read with numpy, under our codes; our own; CLD2."""
