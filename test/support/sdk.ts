// The three official SDKs, unmodified, pointed at the local routes of a gateway: base URL and key, nothing else.
import Anthropic from '@anthropic-ai/sdk';
import { GoogleGenAI } from '@google/genai';
import OpenAI from 'openai';

export interface SdkOptions {
  /** Of the gateway. */
  readonly url: string;
  /** The session's token: the only key that an agent has. */
  readonly token: string;
  /** The SDK's own default otherwise. */
  readonly maxRetries?: number;
  /** Instead of the local route. */
  readonly route?: string;
}

export function openaiClient({ url, token, maxRetries, route = 'local-openai' }: SdkOptions): OpenAI {
  return new OpenAI({
    baseURL: `${url}/${route}/v1`,
    apiKey: token,
    ...(maxRetries === undefined ? {} : { maxRetries }),
  });
}

export function anthropicClient({ url, token, maxRetries, route = 'local-anthropic' }: SdkOptions): Anthropic {
  return new Anthropic({
    baseURL: `${url}/${route}`,
    apiKey: token,
    ...(maxRetries === undefined ? {} : { maxRetries }),
  });
}

export function googleClient({ url, token, route = 'local-gemini' }: SdkOptions): GoogleGenAI {
  return new GoogleGenAI({ apiKey: token, httpOptions: { baseUrl: `${url}/${route}` } });
}
