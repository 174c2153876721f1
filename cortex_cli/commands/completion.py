"""`cortex completion`: the script that teaches a shell to complete our commands.

It asks `cortex` at each TAB, so it holds no command's name.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import typer
from typer.completion import get_completion_script  # pyright: ignore[reportPrivateImportUsage]

from ..output import standard_output

Shell = Literal["bash", "zsh", "fish"]


def completion(
    shell: Annotated[Shell, typer.Argument(help=f"One of: {', '.join(get_args(Shell))}.")],
) -> None:
    """Print the completion script for a shell.

    \b
      bash   mkdir -p ~/.local/share/bash-completion/completions
             cortex completion bash > ~/.local/share/bash-completion/completions/cortex
      zsh    cortex completion zsh > a folder in $fpath, as _cortex
      fish   mkdir -p ~/.config/fish/completions
             cortex completion fish > ~/.config/fish/completions/cortex.fish
    """
    standard_output().line(script(shell))


# bash breaks words at : @ and = too, unless it is told not to, and puts what is offered in the
# place of the last piece; of a name with an @ in it that piece begins with the @, where host names
# are completed.
_BASH = r"""_cortex_completion() {
    local IFS=$'\n' rest=$COMP_LINE words=() before="" line word value head breaks
    for word in "${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
        line=${rest#"${rest%%[![:space:]]*}"}
        if [[ ${#words[@]} -gt 0 && $line == "$rest" && ( $word == [:@=]* || $before == *[:@=] ) ]]
        then words[${#words[@]}-1]+=$word
        else words+=("$word")
        fi
        rest=${line#"$word"}
        before=$word
    done
    COMPREPLY=( $( env COMP_WORDS="${words[*]}" \
                   COMP_CWORD=$(( ${#words[@]} - 1 )) \
                   _CORTEX_COMPLETE=complete_bash $1 ) )
    value=${words[${#words[@]}-1]#--*=}
    breaks=${COMP_WORDBREAKS//[!:@]/}
    head=${value%"${value##*[$breaks]}"}
    COMPREPLY=( "${COMPREPLY[@]#"${head%@}"}" )
    [[ $COMP_WORDBREAKS == *=* ]] ||
        COMPREPLY=( "${COMPREPLY[@]/#/"${words[${#words[@]}-1]%"$value"}"}" )
    return 0
}

complete -o default -F _cortex_completion cortex"""


# In a folder of $fpath the file is the function that the first TAB calls: what it defines has to be
# called as well, or that TAB offers nothing. Who reads it with `source` has still to register it.
_ZSH = r"""#compdef cortex

_cortex() {
    local program="${(Q)words[1]}" answer
    program=${program/#\~\//$HOME/}
    whence -p -- "$program" >/dev/null || program=cortex
    answer=$(_TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" _CORTEX_COMPLETE=complete_zsh \
             command -- "$program" 2>/dev/null) && eval "$answer"
}

if [[ ${zsh_eval_context[-1]} == *func ]]
then _cortex "$@"
else compdef _cortex cortex
fi"""


def script(shell: Shell) -> str:
    if shell == "bash":
        return _BASH
    if shell == "zsh":
        return _ZSH
    made = get_completion_script(prog_name="cortex", complete_var="_CORTEX_COMPLETE", shell=shell)
    return made.rstrip("\n")
