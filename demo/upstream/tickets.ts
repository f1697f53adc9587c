// A ticket API with a memory of its own: the ordinary tool that agents call through the gateway.
import type { Answer, Provider, ProviderRequest } from './exchange.ts';
import { textOf, type Json, type JsonObject } from './json.ts';

const MAX_TICKETS = 10_000;
const SEED = ['Refund for order 4411', 'Parcel lost near Aarhus', 'Invoice has the wrong VAT number'];

interface Ticket {
  readonly id: string;
  readonly title: string;
  readonly status: string;
  readonly comments: readonly string[];
}

/** A new ticket API with three tickets; `reset` forgets what was added. */
export function ticketApi(): Provider & { reset(): void } {
  let tickets = seeded();
  let next = tickets.size + 1;

  const create = ({ body }: ProviderRequest): Answer => {
    const title = textOf(body['title']);
    if (title === null) return problem(400, 'title is required');
    if (tickets.size >= MAX_TICKETS) return problem(409, 'too many tickets');
    const id = String(next++);
    tickets.set(id, { id, title, status: 'open', comments: [] });
    return { ...found(tickets.get(id), 201), headers: { location: `/tickets/${id}` } };
  };

  const change = ({ body }: ProviderRequest, ticket: Ticket): Answer => {
    const changed = {
      ...ticket,
      title: textOf(body['title']) ?? ticket.title,
      status: textOf(body['status']) ?? ticket.status,
    };
    tickets.set(ticket.id, changed);
    return found(changed);
  };

  const comment = ({ body }: ProviderRequest, ticket: Ticket): Answer => {
    const changed = { ...ticket, comments: [...ticket.comments, textOf(body['text']) ?? ''].slice(-100) };
    tickets.set(ticket.id, changed);
    return found(changed, 201);
  };

  return {
    answer(request) {
      const { method } = request;
      const [, id = '', part] = request.path.split('/');
      if (id === '') {
        if (method === 'GET') return { kind: 'json', status: 200, body: { tickets: [...tickets.values()].map(shown) } };
        return method === 'POST' ? create(request) : problem(405, 'GET or POST');
      }
      const ticket = tickets.get(id);
      if (ticket === undefined) return problem(404, `no ticket ${id}`);
      if (part === 'comments' && method === 'POST') return comment(request, ticket);
      if (part !== undefined) return problem(404, 'no such part of a ticket');
      if (method === 'GET') return found(ticket);
      if (method === 'PATCH' || method === 'PUT') return change(request, ticket);
      if (method !== 'DELETE') return problem(405, 'GET, PATCH or DELETE');
      tickets.delete(id);
      return { kind: 'json', status: 204, body: null };
    },
    error: problemBody,
    reset() {
      tickets = seeded();
      next = tickets.size + 1;
    },
  };
}

function seeded(): Map<string, Ticket> {
  return new Map(
    SEED.map((title, index) => [String(index + 1), { id: String(index + 1), title, status: 'open', comments: [] }]),
  );
}

function shown({ id, title, status, comments }: Ticket): JsonObject {
  return { id, title, status, comments };
}

function found(ticket: Ticket | undefined, status = 200): Extract<Answer, { kind: 'json' }> {
  const body: Json = ticket === undefined ? null : shown(ticket);
  return { kind: 'json', status, body };
}

function problem(status: number, message: string): Answer {
  return { kind: 'json', status, body: problemBody(status, message) };
}

function problemBody(status: number, message: string): JsonObject {
  return { status, title: message };
}
