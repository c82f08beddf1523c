/** Returns the resources that this process has used: CPU seconds, and its largest resident set in bytes. */
export function usage() {
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
  return { cpu: (userCPUTime + systemCPUTime) / 1e6, peak: maxRSS * 1024 };
}
