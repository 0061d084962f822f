"""The kinds of task, each with its head: classes and values, tags of words, spans of a context."""
