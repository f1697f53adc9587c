// The protocols by their names in the policy.
import type { ProtocolName } from '../policy/policy.ts';
import { anthropic } from './anthropic/anthropic.ts';
import { gemini } from './gemini/gemini.ts';
import { http } from './http/http.ts';
import { openai } from './openai/openai.ts';
import type { Protocol } from './protocol.ts';

const PROTOCOLS: Readonly<Record<ProtocolName, Protocol>> = { openai, anthropic, gemini, http };

/** How a route's traffic is read. */
export function protocolFor(name: ProtocolName): Protocol {
  return PROTOCOLS[name];
}
