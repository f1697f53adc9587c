// The main module of the Worker under test: the real one, behind a door through which a test takes its parts away and
// gives them back. Each call of the Worker or of an object to another part passes here; nothing else of them is changed.
// Runs inside workerd as it is (hence not TypeScript). One process holds the Worker and all its objects, so what the door
// is told, all of them see. Further copies of the Worker's module stand for isolates elsewhere: each has a memory of its
// own, and all have the same objects and the same KV.
/* oxlint-disable typescript/no-unsafe-call, typescript/no-unsafe-member-access, typescript/no-unsafe-return, typescript/no-unsafe-assignment -- plain JavaScript: it has no types to check */
import worker, {
  AgentObject as Agent,
  ControlObject as Control,
  RelayObject as Relay,
  SessionObject as Session,
} from './index.js';

const OBJECTS = { SESSION: 'session', CONTROL: 'control', RELAY: 'relay', AGENT: 'agent' };
/** Longer than anybody waits, and ended by a timer: a promise that nothing can settle is taken for a bug by the runtime. */
const HANGS_MS = 120_000;

/** What is wrong with a part, by its name: see fault-bundle.ts. */
let faults = {};

async function through(names, call) {
  const fault = names.map((name) => faults[name]).find((one) => one !== undefined);
  switch (fault) {
    case undefined:
      return call();
    case 'hangs':
      await new Promise((resolve) => setTimeout(resolve, HANGS_MS));
      break;
    case 'withheld':
      return undefined;
  }
  throw new Error(`${names.at(-1)} is switched off`);
}

function corrupted(bytes) {
  if (bytes === null || faults.blobs !== 'corrupt') return bytes;
  const copy = new Uint8Array(bytes).slice();
  copy[0] ^= 1;
  return copy;
}

function objects(caller, part, namespace) {
  return {
    getByName(name, options) {
      const names = [`${part}:${name}`, `${caller}>${part}`, part];
      const call = (method, args) => through(names, () => namespace.getByName(name, options)[method](...args));
      return new Proxy(
        {},
        {
          get:
            (_target, method) =>
            async (...args) =>
              method === 'blob' ? corrupted(await call(method, args)) : call(method, args),
        },
      );
    },
  };
}

function kv(namespace) {
  return {
    get: (key, options) =>
      through(['kv.get'], async () => {
        const value = await namespace.get(key, options);
        return options === undefined ? value : corrupted(value);
      }),
    put: (key, value) => through(['kv.put'], () => namespace.put(key, value)),
    delete: (key) => through(['kv.put'], () => namespace.delete(key)),
  };
}

/** The bindings as `caller` gets them. */
function faulty(caller, env, isHalted) {
  const wrapped = Object.entries(OBJECTS).map(([binding, part]) => [binding, objects(caller, part, env[binding])]);
  return { ...env, ...Object.fromEntries(wrapped), SNAPSHOT: kv(env.SNAPSHOT), ...(isHalted ? { HALT: '1' } : {}) };
}

/** An object with the bindings of `caller`, which a test can have restarted. */
function behindDoor(Class, caller) {
  return class extends Class {
    #context;

    constructor(context, env) {
      super(context, faulty(caller, env, faults.halt !== undefined));
      this.#context = context;
    }

    async restart() {
      this.#context.abort('restarted by the test');
    }
  };
}

export class AgentObject extends behindDoor(Agent, 'agent') {}
export class ControlObject extends behindDoor(Control, 'control') {}
export class RelayObject extends behindDoor(Relay, 'relay') {}
export class SessionObject extends behindDoor(Session, 'session') {}

/** Isolates by the header that asks for one. */
const isolates = new Map();

async function isolateOf(name, env) {
  let isolate = isolates.get(name);
  if (isolate === undefined) {
    const { default: copy } = name === '' ? { default: worker } : await import(`./isolate-${name}.js`);
    isolate = { copy, env: faulty('worker', env, faults.halt !== undefined) };
    isolates.set(name, isolate);
  }
  return isolate;
}

async function serveDoor(request, env) {
  const { set, call } = await request.json();
  if (set !== undefined) {
    faults = set;
    return Response.json({});
  }
  const { binding, name, method, args } = call;
  try {
    return Response.json({ answer: (await env[binding].getByName(name)[method](...args)) ?? null });
  } catch (error) {
    return Response.json({ error: String(error) });
  }
}

export default {
  async fetch(request, env, context) {
    if (new URL(request.url).pathname === '/__faults') return serveDoor(request, env);
    const isolate = await isolateOf(request.headers.get('x-isolate') ?? '', env);
    return isolate.copy.fetch(request, isolate.env, context);
  },
};
