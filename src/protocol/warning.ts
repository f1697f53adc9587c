// The soft warning as the model reads it. Must not know where an API wants it.

/** Told to the model once 90 % of a limit is spent. */
export const WARNING_TEXT =
  'Notice from the operator of this session: its budget is nearly used up and it will be stopped soon. ' +
  'Summarise the work done so far and what remains, then stop. Start nothing new and call no more tools than you need to finish.';

/** More than the warning and its framing take in any of the APIs: held on every request, because it may be added to any. */
export const WARNING_TOKENS = 320;
