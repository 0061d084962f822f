def run(config, inputs, output, context):
    """Count the letters of the greeting."""
    text = (inputs["greetings.greet"] / "greeting.txt").read_text()
    count = sum(letter.isalpha() for letter in text)
    (output / "letters.txt").write_text(f"{count * config.count.factor}\n")
    return {"letters": count}
