import { describe, expect, it } from 'vitest';
import { problemPage } from '../../src/http/problem-page.ts';
import { PROBLEMS } from '../../src/http/problems.ts';

describe('the pages under /problems/', () => {
  it.each(Object.keys(PROBLEMS))('explain %s to people', async (code) => {
    const page = problemPage(code);
    expect(page?.headers.get('content-type')).toBe('text/html; charset=utf-8');
    const text = await page?.text();
    expect(text).toContain(`<code>${code}</code>`);
    expect(text).toContain('What to do');
  });

  it('list all of them', async () => {
    const text = await problemPage('')?.text();
    for (const code of Object.keys(PROBLEMS)) expect(text).toContain(`href="/problems/${code}"`);
  });

  it.each(['nothing', '__proto__', 'toString', 'constructor', '<script>', '../admin'])(
    'do not exist for %s',
    (code) => {
      expect(problemPage(code)).toBeNull();
    },
  );
});
