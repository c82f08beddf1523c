export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];

/**
 * Scripts that get the possible next words from `docker-over-ssh completion words …`. bash splits words at colons, which images and addresses
 * contain: its script therefore takes the words from the line, and removes the part before the last colon from the answer.
 */
export const SCRIPTS: Record<Shell, string> = {
  bash: `# eval "$(docker-over-ssh completion bash)"
_docker_over_ssh() {
  local line="\${COMP_LINE:0:COMP_POINT}" words current before
  read -ra words <<< "$line"
  [[ "$line" == *[[:space:]] ]] && words+=("")
  current="\${words[\${#words[@]}-1]}"
  local IFS=$'\\n'
  COMPREPLY=($("\${words[0]}" completion words "\${words[@]:1}" 2>/dev/null))
  if [[ "$current" == *:* && "$COMP_WORDBREAKS" == *:* ]]; then
    before="\${current%"\${current##*:}"}"
    COMPREPLY=("\${COMPREPLY[@]#"$before"}")
  fi
}
complete -o default -F _docker_over_ssh docker-over-ssh
`,
  zsh: `#compdef docker-over-ssh
# source <(docker-over-ssh completion zsh)
_docker_over_ssh() {
  local -a found
  found=("\${(@f)$("\${words[1]}" completion words "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "\${found[1]}" ]]; then compadd -a found; else _files; fi
}
if [[ "\${funcstack[1]}" == _docker_over_ssh ]]; then _docker_over_ssh "$@"; else compdef _docker_over_ssh docker-over-ssh; fi
`,
  fish: `# docker-over-ssh completion fish | source
complete -c docker-over-ssh -a '(docker-over-ssh completion words (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
`,
};
