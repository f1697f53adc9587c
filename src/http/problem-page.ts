// The pages under /problems/: what each problem means and what to do, for the person who follows its `type`.
import { escapeHtml, htmlResponse } from './html.ts';
import { PROBLEM_HELP } from './problem-help.ts';
import { PROBLEMS, type ProblemCode, type ProblemKind } from './problems.ts';

const STYLE =
  'body{font:16px/1.6 system-ui,sans-serif;max-width:42rem;margin:3rem auto;padding:0 1rem;color:#1c1c1c;background:#fff}' +
  'h1{font-size:1.5rem;line-height:1.3}h2{font-size:1.1rem;margin-top:2rem}a{color:#0b57d0}code{background:#f1f1f1;padding:.1em .3em}' +
  'dt{margin-top:.8rem}dd{margin:0}@media(prefers-color-scheme:dark){body{color:#e8e8e8;background:#161616}a{color:#8ab4f8}code{background:#2a2a2a}}';

/** The page of one problem, the list of all for an empty code, or null where there is no such problem. */
export function problemPage(code: string): Response | null {
  if (code === '') return page('Problems', listing());
  return isProblemCode(code) ? page(PROBLEMS[code].title, article(code, PROBLEMS[code])) : null;
}

function isProblemCode(code: string): code is ProblemCode {
  return Object.hasOwn(PROBLEMS, code);
}

function article(code: ProblemCode, kind: ProblemKind): string {
  return (
    `<p><code>${escapeHtml(code)}</code>, HTTP status ${kind.status}</p>` +
    `<h2>What it means</h2><p>${escapeHtml(PROBLEM_HELP[code].meaning)}</p>` +
    `<h2>What to do</h2><p>${escapeHtml(PROBLEM_HELP[code].remedy)}</p>` +
    `<h2>Does it help to try again?</h2><p>${escapeHtml(retryAdvice(kind))}</p>` +
    '<p><a href="/problems/">All problems</a></p>'
  );
}

function retryAdvice(kind: ProblemKind): string {
  return kind.retryAfterSeconds === null
    ? 'Not by itself: unless the answer has a Retry-After header, it carries x-should-retry: false.'
    : 'Yes, after the time in the Retry-After header of the answer.';
}

function listing(): string {
  const entries = Object.entries(PROBLEMS).map(
    ([code, kind]) =>
      `<dt><a href="/problems/${escapeHtml(code)}"><code>${escapeHtml(code)}</code></a> (${kind.status})</dt><dd>${escapeHtml(kind.title)}</dd>`,
  );
  return `<p>Every answer of this gateway that refuses a request names one of these.</p><dl>${entries.join('')}</dl>`;
}

function page(title: string, body: string): Response {
  const text =
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">` +
    `<title>${escapeHtml(title)} - Fusebox</title><style>${STYLE}</style></head><body><main><h1>${escapeHtml(title)}</h1>${body}</main></body></html>\n`;
  return htmlResponse(text, 'public, max-age=3600');
}
