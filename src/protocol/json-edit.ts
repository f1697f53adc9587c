// Changes single members of a JSON text and leaves every other byte as the client wrote it. Must not re-serialise.
import type { StrictJson, ValueSpan } from '../json/body-json.ts';

/** One replacement in the text: `start === end` inserts. */
export interface Edit {
  readonly start: number;
  readonly end: number;
  readonly insert: string;
}

/** Sets a top-level member to a JSON text, or to the outcome of replacing it where it is there. */
export function setMember(json: StrictJson, name: string, valueText: string): Edit {
  const span = json.members.get(name);
  return span === undefined ? addMember(json, name, valueText) : replaceValue(span, valueText);
}

/** Sets `outer.name`. `outer` is made where it is missing or null; it must be an object otherwise. */
export function setInnerMember(json: StrictJson, outer: string, name: string, valueText: string): Edit {
  const span = json.members.get(outer);
  if (span === undefined) return addMember(json, outer, `{${JSON.stringify(name)}:${valueText}}`);
  if (span.members === null) return replaceValue(span, `{${JSON.stringify(name)}:${valueText}}`);
  const inner = span.members.get(name);
  if (inner !== undefined) return replaceValue(inner, valueText);
  const comma = span.members.size > 0 ? ',' : '';
  return { start: span.start + 1, end: span.start + 1, insert: `${JSON.stringify(name)}:${valueText}${comma}` };
}

/** Appends an element to the array at `span`. */
export function appendElement(span: ValueSpan, isEmpty: boolean, elementText: string): Edit {
  return { start: span.end - 1, end: span.end - 1, insert: isEmpty ? elementText : `,${elementText}` };
}

/** Puts text before and after the value at `span`, which stays as it is. */
export function wrapValue(span: ValueSpan, before: string, after: string): readonly Edit[] {
  return [
    { start: span.start, end: span.start, insert: before },
    { start: span.end, end: span.end, insert: after },
  ];
}

/** Applies edits that do not overlap, in any order; those at the same place keep their order. */
export function applyEdits(text: string, edits: readonly Edit[]): string {
  const ordered = [...edits].toSorted((a, b) => a.start - b.start);
  let written = '';
  let position = 0;
  for (const edit of ordered) {
    written += text.slice(position, edit.start) + edit.insert;
    position = edit.end;
  }
  return written + text.slice(position);
}

function addMember(json: StrictJson, name: string, valueText: string): Edit {
  // At the front, so that no trailing space or comma has to be found.
  const start = json.text.indexOf('{') + 1;
  const comma = json.members.size > 0 ? ',' : '';
  return { start, end: start, insert: `${JSON.stringify(name)}:${valueText}${comma}` };
}

function replaceValue(span: ValueSpan, valueText: string): Edit {
  return { start: span.start, end: span.end, insert: valueText };
}
