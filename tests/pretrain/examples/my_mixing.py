def capped(sequences):
    """Give no language more than ten times the smallest one."""
    most = 10 * min(sequences.values())
    return {language: min(count, most) for language, count in sequences.items()}
