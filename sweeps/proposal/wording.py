"""Words of users in a study file: names of classes, files and folders are text there, whatever they hold."""

import yaml


def quoted(text: str) -> str:
    """A text as one YAML value, whatever it holds."""
    dumped: str = yaml.safe_dump(text, default_style='"', width=10**9, allow_unicode=True)
    return dumped.strip()


def one_line(text: str) -> str:
    """A text that cannot end the comment it stands in."""
    return " ".join("".join(c if c.isprintable() else ascii(c)[1:-1] for c in text).split())


def single_quoted(text: str) -> str:
    """A pattern, whose backslashes stay what they are."""
    return "'" + text.replace("'", "''") + "'"


def comment(text: str, *, indent: int = 0) -> list[str]:
    """A comment of as many lines as it takes."""
    words, lines, width = one_line(text).split(" "), [""], 116 - indent
    for word in words:
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return [f"{' ' * indent}# {line}" for line in lines]
