"""A package of one's own: one setting, one stage."""

from pipeline.config import Section, setting
from pipeline.stage import Package, Stage


class Greet(Section):
    """Whom to greet."""

    name: str = setting("world", "who is greeted")


class GreetingsConfig(Section):
    """The settings of this package."""

    greet: Greet = setting(Greet(), "the greeting")


PACKAGE = Package(
    name="greetings",
    config=GreetingsConfig,
    stages=(Stage("greetings.greet", 1, GreetingsConfig, "greetings.greet:run", "write a greeting"),),
)
