// The OpenAPI document of the control plane, made from the table that serves it.
import * as z from 'zod';
import { PROBLEMS, type ProblemCode } from '../http/problems.ts';
import { ADMIN_ROLES } from '../policy/admin-roles.ts';
import type { AdminRoute, AnswerShape } from './route.ts';
import { answerSchemas } from './schemas.ts';

type Json = Readonly<Record<string, unknown>>;

/** The refusals that every call can answer with, by status. */
const REFUSALS: readonly ProblemCode[] = [
  'bad-request',
  'credential-invalid',
  'scope-denied',
  'session-unknown',
  'velocity-exceeded',
  'enforcement-unavailable',
];

/** What stands in the places of paths, by name, with the segment before it where names mean several things. */
const PLACES: Readonly<Record<string, string>> = {
  'sessions/id': "The session id, or 'issuer~id' for another issuer's.",
  'agents/id': "The agent's id.",
  'drills/id': "The drill's id.",
  'kill-switches/level': 'global, agent, feature, customer or segment.',
  target:
    "What is stopped: 'all' (global), an id or a kind such as 'billing-*' (agent), 'refunds' or 'refunds@billing-*' (feature), an id (customer, segment).",
};

/** OpenAPI 3.1 for a table of routes. Costs some milliseconds: make it when it is asked for, and keep it. */
export function openApiDocument(routes: readonly AdminRoute[]): Json {
  const paths: Record<string, Record<string, Json>> = {};
  for (const route of routes) {
    const path = (paths[route.path] ??= {});
    path[route.method.toLowerCase()] = operationOf(route);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Fusebox control plane',
      version: '1',
      description: `Roles: ${ADMIN_ROLES.join(', ')}. None includes another. Money is a decimal string in USD; numbers are accepted too.`,
    },
    security: [{ adminToken: [] }, { accessAssertion: [] }],
    paths,
    components: {
      securitySchemes: {
        adminToken: { type: 'http', scheme: 'bearer' },
        accessAssertion: {
          type: 'apiKey',
          in: 'header',
          name: 'Cf-Access-Jwt-Assertion',
          description: 'Set by Cloudflare Access. Counts for nothing where there is an admin token.',
        },
      },
      schemas: { ...namedSchemas(), Problem: problemSchema() },
    },
  };
}

function operationOf(route: AdminRoute): Json {
  return {
    summary: route.summary,
    description: `Needs the role \`${route.role}\`${route.orRole === undefined ? '' : ` or \`${route.orRole}\``}.`,
    parameters: parametersOf(route),
    ...requestBodyOf(route),
    responses: { [route.answer.status]: answerOf(route.answer), ...refusals() },
  };
}

function requestBodyOf({ body, bodyLine }: AdminRoute): Json {
  const content = {
    ...(body === null ? {} : { 'application/json': { schema: inputSchema(body) } }),
    ...(bodyLine === undefined ? {} : { 'application/x-ndjson': { schema: inputSchema(bodyLine) } }),
  };
  return Object.keys(content).length === 0 ? {} : { requestBody: { required: true, content } };
}

function parametersOf(route: AdminRoute): readonly Json[] {
  const inPath = [...route.path.matchAll(/([\w-]+)\/\{(\w+)\}|\{(\w+)\}/g)].map(([, of, named, alone]) => {
    const name = named ?? alone ?? '';
    const description = of === undefined ? PLACES[name] : (PLACES[`${of}/${name}`] ?? PLACES[name]);
    return { name, in: 'path', required: true, schema: { type: 'string' }, description: description ?? '' };
  });
  const { properties = {}, required = [] } = z.toJSONSchema(route.query, { io: 'input' });
  return [
    ...inPath,
    ...Object.entries(properties).map(([name, schema]) => ({
      name,
      in: 'query',
      required: required.includes(name),
      schema,
    })),
  ];
}

function answerOf(answer: AnswerShape): Json {
  return {
    description: answer.description,
    content: {
      'application/json': { schema: namedSchema(answer.schema) },
      ...(answer.ndjson === undefined ? {} : { 'application/x-ndjson': { schema: namedSchema(answer.ndjson) } }),
    },
  };
}

function refusals(): Json {
  const content = { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } };
  return Object.fromEntries(
    REFUSALS.map((code) => [PROBLEMS[code].status, { description: PROBLEMS[code].title, content }]),
  );
}

/** RFC 9457, with the members that SDKs show. */
function problemSchema(): Json {
  return {
    type: 'object',
    required: ['type', 'title', 'status', 'detail', 'code', 'request_id', 'message', 'error'],
    properties: {
      type: { type: 'string', description: 'A path under /problems/ that answers with a page for people.' },
      title: { type: 'string' },
      status: { type: 'integer' },
      detail: { type: 'string' },
      code: { type: 'string', enum: Object.keys(PROBLEMS) },
      request_id: { type: 'string' },
      message: { type: 'string' },
      error: {
        type: 'object',
        required: ['type', 'code', 'message'],
        properties: { type: { type: 'string' }, code: { type: 'string' }, message: { type: 'string' } },
      },
    },
  };
}

function inputSchema(schema: z.ZodType): Json {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, { io: 'input' });
  return rest;
}

/** The schemas of answers, which refer to each other by name. */
function namedSchemas(): Json {
  const { schemas } = z.toJSONSchema(answerSchemas, { io: 'output', uri: componentUri });
  return Object.fromEntries(
    Object.entries(schemas).map(([name, schema]) => {
      const { $schema: _dialect, $id: _id, ...rest } = schema;
      return [name, rest];
    }),
  );
}

function namedSchema(schema: z.ZodType): Json {
  const id = answerSchemas.get(schema)?.id;
  if (id === undefined) throw new Error('an answer without a name in the OpenAPI document');
  return { $ref: componentUri(id) };
}

function componentUri(id: string): string {
  return `#/components/schemas/${id}`;
}
