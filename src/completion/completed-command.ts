/** The parts of a command that completion uses. */
export interface CompletedCommand {
  name: string;
  arguments: readonly { term: string }[];
  options: readonly CompletedOption[];
}

export interface CompletedOption {
  flags: string;
  choices?: readonly string[];
}
