// How long an answer of another part is waited for. The one place where a wait is timed; a port, so that a simulated clock
// can stand in.

/** The answer, or null when it takes longer than that. Rejects with what the answer rejects with in time. */
export type Deadline = <T>(answer: Promise<T>, timeoutMs: number) => Promise<T | null>;

/** By the platform's timers; none is left running, since it would keep an object in memory. */
export const within: Deadline = async (answer, timeoutMs) => {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), timeoutMs);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
};
