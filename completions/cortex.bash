_cortex_completion() {
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

complete -o default -F _cortex_completion cortex
