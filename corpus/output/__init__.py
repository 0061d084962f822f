"""The files of the corpus: its records, its Arrow files by language and bucket, its card, and its other formats."""
