import { DurableObject } from 'cloudflare:workers';
export class SessionObject extends DurableObject {}
export class ControlObject extends DurableObject {}
export default { fetch: () => new Response('ok') };
