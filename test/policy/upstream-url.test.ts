import { describe, expect, it } from 'vitest';
import { readUpstream } from '../../src/policy/upstream-url.ts';

const deployed = (text: string): boolean => readUpstream(text, { allowLoopback: false }).ok;

describe('an upstream', () => {
  it.each([
    ['https://api.openai.com', 'https://api.openai.com'],
    ['https://api.openai.com/', 'https://api.openai.com'],
    ['https://mcp.example.com:8443/mcp/', 'https://mcp.example.com:8443/mcp'],
    ['https://8.8.8.8/v1', 'https://8.8.8.8/v1'],
    ['https://[2606:4700::1111]', 'https://[2606:4700::1111]'],
  ])('may be %s', (text, upstream) => {
    expect(readUpstream(text, { allowLoopback: false })).toEqual({ ok: true, upstream });
  });

  it.each([
    '',
    'api.openai.com',
    'http://api.openai.com',
    'ftp://api.openai.com',
    'javascript:alert(1)',
    'https://',
    'https://user:pass@api.openai.com',
    'https://@api.openai.com',
    'https://api.openai.com?key=1',
    'https://api.openai.com?',
    'https://api.openai.com#x',
    'https://api.openai.com/a/../b',
    'https://api.openai.com/%2e%2e',
    'https://api.openai.com//a',
    'https://api.openai.com/a;b',
    'https://API.openai.com',
    'https://api.openai.com:443',
    'https:\\\\api.openai.com',
    'https://api.openai.com\n',
    ' https://api.openai.com',
    'https://localhost',
    'https://a.localhost',
    'https://127.0.0.1',
    'http://127.0.0.1:9901',
    'https://127.1',
    'https://2130706433',
    'https://0x7f000001',
    'https://0.0.0.0',
    'https://10.0.0.1',
    'https://172.16.0.1',
    'https://172.31.255.255',
    'https://192.168.1.1',
    'https://169.254.169.254',
    'https://100.64.0.1',
    'https://198.18.0.1',
    'https://192.0.2.1',
    'https://203.0.113.9',
    'https://224.0.0.1',
    'https://255.255.255.255',
    'https://[::1]',
    'https://[::]',
    'https://[::ffff:127.0.0.1]',
    'https://[::ffff:a00:1]',
    'https://[64:ff9b::a00:1]',
    'https://[fc00::1]',
    'https://[fd12::1]',
    'https://[fe80::1]',
    'https://[2001:db8::1]',
    'https://[2001::1]',
    'https://[2002:7f00:1::]',
    'https://[ff02::1]',
    'https://intranet',
    'https://metadata.google.internal',
    'https://printer.local',
    'https://api.openai.com.',
  ])('may not be "%s"', (text) => {
    expect(deployed(text)).toBe(false);
  });

  it('may be on the own machine in local development only', () => {
    for (const text of [
      'http://127.0.0.1:9901/openai',
      'http://localhost:9901',
      'http://[::1]:9901',
      'https://127.0.0.1',
    ]) {
      expect(readUpstream(text, { allowLoopback: true }).ok, text).toBe(true);
      expect(deployed(text), text).toBe(false);
    }
    for (const text of ['http://10.0.0.1', 'http://api.openai.com', 'https://10.0.0.1']) {
      expect(readUpstream(text, { allowLoopback: true }).ok, text).toBe(false);
    }
  });
});
