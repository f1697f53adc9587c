// A gateway whose parts a test can take away and give back, seen from several isolates at once. Black box otherwise: what is
// asked of it goes over HTTP.
import { DOOR_PATH, faultBundle, ISOLATE_HEADER, MAX_ISOLATES } from './fault-bundle.ts';
import { type CallOptions, type Stack, type StackOptions, startStack } from './stack.ts';

type ObjectPart = 'session' | 'control' | 'relay' | 'agent';
/**
 * A part; the way from one to another (`relay>control`); one session's object alone; blobs, wherever they come from; or
 * `halt`: whatever starts from now on finds HALT set.
 */
type FaultName =
  | ObjectPart
  | `${ObjectPart | 'worker'}>${ObjectPart}`
  | `session:${string}`
  | 'kv.get'
  | 'kv.put'
  | 'blobs'
  | 'halt';

/** How a part fails: it refuses at once, never answers, takes a write and throws it away, or gives other bytes. */
type Fault = 'fails' | 'hangs' | 'withheld' | 'corrupt';
export type Faults = Readonly<Partial<Record<FaultName, Fault>>>;

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Readonly<Record<string, unknown>>;
}

export interface FaultStack extends Stack {
  /** What fails from now on; what is not named works again. */
  fail(faults: Faults): Promise<void>;
  /** Speaks to an object as another machine's Worker would, past every fault. Throws what it throws. */
  object<T>(binding: 'SESSION' | 'CONTROL' | 'AGENT', name: string, method: string, ...args: unknown[]): Promise<T>;
  /** An isolate that has served nothing yet. */
  coldIsolate(): Isolate;
  /** The one that served first. */
  readonly warm: Isolate;
}

/** One isolate of the Worker: what it has heard, others need not have. */
export interface Isolate {
  readonly headers: Readonly<Record<string, string>>;
  call(path: string, options: CallOptions): Promise<Response>;
  /** A call to the control plane; its answer as JSON. */
  admin(method: string, path: string, body?: unknown, token?: string): Promise<Answer>;
  health(): Promise<Answer>;
}

export async function startFaultStack(options: Omit<StackOptions, 'bundle'> = {}): Promise<FaultStack> {
  const { bundle, discard } = await faultBundle();
  let stack: Stack;
  try {
    stack = await startStack({ ...options, bundle });
  } catch (error) {
    await discard();
    throw error;
  }
  const { url, adminToken } = stack;
  const atDoor = async (body: object): Promise<{ answer?: unknown; error?: string }> =>
    (await fetch(url + DOOR_PATH, { method: 'POST', body: JSON.stringify(body) })).json();
  const isolate = (name: string): Isolate => {
    const headers: Record<string, string> = name === '' ? {} : { [ISOLATE_HEADER]: name };
    return {
      headers,
      call: (path, call) => stack.call(path, { ...call, headers: { ...call.headers, ...headers } }),
      async admin(method, path, body, token = adminToken) {
        return answered(
          await fetch(`${url}/admin${path}`, {
            method,
            headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
            ...(body === undefined ? {} : { body: JSON.stringify(body) }),
          }),
        );
      },
      health: async () => answered(await fetch(`${url}/healthz`, { headers })),
    };
  };
  let isolates = 0;
  return {
    ...stack,
    warm: isolate(''),
    async fail(faults) {
      await atDoor({ set: faults });
    },
    async object<T>(binding: string, name: string, method: string, ...args: unknown[]) {
      const { answer, error } = await atDoor({ call: { binding, name, method, args } });
      if (error !== undefined) throw new Error(error);
      return answer as T;
    },
    coldIsolate() {
      isolates += 1;
      if (isolates > MAX_ISOLATES) throw new Error(`there are ${MAX_ISOLATES} isolates`);
      return isolate(String(isolates));
    },
    async close() {
      await stack.close();
      await discard();
    },
  };
}

async function answered(response: Response): Promise<Answer> {
  return { status: response.status, headers: response.headers, body: await response.json() };
}
