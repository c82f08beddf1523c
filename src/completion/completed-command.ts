/** What completion needs to know of a command. */
export interface CompletedCommand {
  name: string;
  arguments: readonly { term: string }[];
  options: readonly CompletedOption[];
}

export interface CompletedOption {
  flags: string;
  choices?: readonly string[];
}
