// Globs over model ids and path segments. Must not backtrack: patterns are the operator's, but texts are the client's.

/** `*` stands for any run of characters. */
export function globMatches(glob: string, text: string): boolean {
  const [head = '', ...rest] = glob.split('*');
  if (!text.startsWith(head)) return false;
  const tail = rest.pop();
  if (tail === undefined) return text.length === head.length;
  let position = head.length;
  for (const piece of rest) {
    const at = text.indexOf(piece, position);
    if (at < 0) return false;
    position = at + piece.length;
  }
  return text.length - tail.length >= position && text.endsWith(tail);
}
