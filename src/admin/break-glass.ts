// Raises the alarm when somebody breaks the glass: a row in the deployment's log and a line on the console, for each
// request. Never stands in the way: the glass is there for the day on which other parts are down.
import type { AuditEntry } from '../audit/chain.ts';
import type { Admin } from '../credential/admin-token.ts';
import { BREAK_GLASS_NOTE_WAIT_MS } from '../limits.ts';
import type { AdminParts } from './route.ts';

interface BrokenGlass {
  readonly admin: Admin;
  readonly request: Pick<Request, 'method' | 'url'>;
  readonly requestId: string;
}

/** Tells of one use of a break-glass token. Never rejects. */
export async function alertBreakGlass(
  parts: Pick<AdminParts, 'control' | 'log'>,
  { admin, request, requestId }: BrokenGlass,
): Promise<void> {
  const used = {
    event: 'break-glass.used',
    alert: true,
    by: admin.id,
    owner: admin.person,
    method: request.method,
    path: new URL(request.url).pathname,
    request: requestId,
  };
  parts.log(used);
  await Promise.race([
    note(parts, used),
    new Promise<void>((resolve) => setTimeout(resolve, BREAK_GLASS_NOTE_WAIT_MS)),
  ]);
}

async function note({ control, log }: Pick<AdminParts, 'control' | 'log'>, used: AuditEntry): Promise<void> {
  try {
    await control.note(used);
  } catch (error) {
    log({ event: 'break-glass.not-noted', request: used['request'], error: String(error) });
  }
}
