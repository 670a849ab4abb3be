"""`nas completion bash|zsh`: the script that lets a shell complete the words of `nas`.

It asks `nas --complete` for what may stand at the cursor, so that it need not be renewed with nas.
"""

from __future__ import annotations

from collections.abc import Sequence

from nas.commands.options import completion_parser

# Works in bash 3.2 too, which macOS has. Where nothing is offered, readline completes names of files.
_BASH = r"""
_nas_completion() {
    local line=${COMP_LINE:0:COMP_POINT} breaks=${COMP_WORDBREAKS//[^=:]/} cut="" word candidate
    word=${line##*[[:space:]]}
    # Readline replaces only what follows the last of the characters that break words.
    [[ -n $breaks ]] && cut=${word%"${word##*[$breaks]}"}
    COMPREPLY=()
    while IFS= read -r candidate; do
        COMPREPLY+=("${candidate#"$cut"}")
    done < <("${1/#\~/$HOME}" --complete "$line" 2>/dev/null)
}
complete -o nospace -o default -F _nas_completion nas
"""
_ZSH = r"""#compdef nas
_nas() {
    emulate -L zsh
    local -a whole partial
    local candidate line="${(j: :)words[1,CURRENT-1]} $PREFIX"
    while IFS= read -r candidate; do
        if [[ $candidate == *' ' ]]; then
            whole+=("${candidate% }")
        else
            partial+=("$candidate")
        fi
    done < <("${words[1]/#\~/$HOME}" --complete "$line" 2>/dev/null)
    if (( $#whole + $#partial )); then
        compadd -a whole
        compadd -S '' -a partial
    else
        compset -P '*='
        _files
    fi
}
if [[ $funcstack[1] == _nas ]]; then
    _nas "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
    compdef _nas nas
fi
"""
_SCRIPTS = {"bash": _BASH, "zsh": _ZSH}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the script of a shell; returns the exit code."""
    print(_SCRIPTS[completion_parser().parse_args(arguments).shell].strip())
    return 0
