"""Scripts that make a shell complete commands and options, made of the options that there are."""

from collections.abc import Mapping

SHELLS = ("bash", "zsh", "fish")

Options = Mapping[str, tuple[str, ...]]
"""By name the values of an option, where they are certain ones; else a path may stand there."""


def script(shell: str, program: str, commands: Mapping[str, Options]) -> str:
    """What a shell evaluates once: `eval "$(sweeps completion bash)"`.

    Args:
        shell: one of `SHELLS`.
        commands: by name the options of each.
    """
    names = " ".join([*commands, "completion"])
    if shell == "fish":
        lines = [f"complete -c {program} -f -n __fish_use_subcommand -a '{names}'"]
        for command, options in commands.items():
            seen = f"-n '__fish_seen_subcommand_from {command}'"
            lines += [f"complete -c {program} {seen} -a '{' '.join(_words(options))}'"]
        return "\n".join(lines)
    # `words` is zsh's own
    cases = "\n".join(f"        {name}) known='{' '.join(_words(options))}' ;;" for name, options in commands.items())
    template = {"bash": BASH, "zsh": ZSH}[shell]
    for mark, text in {"FUNCTION": "_" + program.replace("-", "_"), "PROGRAM": program, "NAMES": names}.items():
        template = template.replace(mark, text)
    return template.replace("CASES", cases).strip()


def _words(options: Options) -> list[str]:
    """`--help`, and each option with each of its values; `name=` where any may stand."""
    return ["--help", *(f"{name}={value}" for name, values in options.items() for value in values or ("",))]


BASH = r"""
FUNCTION() {
    local known current line="${COMP_LINE:0:COMP_POINT}"
    current="${line##* }"  # bash ends words at `=`, and options hold one
    case "${COMP_WORDS[1]}" in
CASES
    esac
    [ "$COMP_CWORD" -gt 1 ] || known='NAMES --help --version'
    if [[ "$current" == *=* ]]; then
        COMPREPLY=($(compgen -W "$known" -- "$current"))
        COMPREPLY=("${COMPREPLY[@]#*=}")
        if [ -z "${COMPREPLY[0]}" ]; then
            compopt -o filenames
            COMPREPLY=($(compgen -f -- "${current#*=}"))
        fi
        [[ "$COMP_WORDBREAKS" == *=* ]] || COMPREPLY=("${COMPREPLY[@]/#/${current%%=*}=}")
    else
        COMPREPLY=($(compgen -W "$(printf '%s\n' $known | sed 's/=.*/=/' | sort -u)" -- "$current"))
        [[ "${COMPREPLY[0]}" != *= ]] || compopt -o nospace
    fi
}
complete -F FUNCTION PROGRAM
"""

ZSH = r"""
FUNCTION() {
    local known key
    local -a options values
    if (( CURRENT == 2 )); then
        compadd -- NAMES --help --version
        return
    fi
    case "${words[2]}" in
CASES
    esac
    options=(${=known})
    if [[ "$PREFIX" == *=* ]]; then
        key="${PREFIX%%=*}="
        compset -P '*='
        values=(${${(M)options:#${key}?*}#*=})
        if (( $#values )); then compadd -- $values; else _files; fi
    else
        compadd -- ${(M)options:#--*}
        compadd -S = -- ${(u)${(M)options:#*=*}%%=*}
    fi
}
compdef FUNCTION PROGRAM
"""
