"""The stage ``greetings.greet``."""


def run(config, inputs, output, context):
    """Write one line."""
    (output / "greeting.txt").write_text(f"hello {config.greet.name}\n")
    return {"greetings": 1}
