// Tells inline media from links, and what kind they are. Must not decode them.
import type { InputBound, MediaKind } from './input-bound.ts';

const DATA_URL = /^data:([^,]{0,256}),/i;

/** Counts what a URL points at: inline media by its size, a linked picture as one picture, any other link as unknown. */
export function countUrl(input: InputBound, url: string, expected: MediaKind): void {
  const match = DATA_URL.exec(url);
  if (match === null) {
    if (expected === 'image') input.linkedImage();
    else input.opaque();
    return;
  }
  const [prefix, header = ''] = match;
  if (!header.toLowerCase().endsWith(';base64')) {
    // Text as it is: its bytes are counted with the body. A picture written so still costs one picture.
    if (expected === 'image') input.linkedImage();
    return;
  }
  countBase64(input, header.split(';')[0] ?? '', url.length - prefix.length, expected);
}

/** Counts base64 media by its MIME type; text stays counted by its characters, which are more than its bytes. */
export function countBase64(input: InputBound, mimeType: string, base64Chars: number, expected: MediaKind): void {
  const kind = kindOf(mimeType) ?? expected;
  if (kind !== 'text') input.inline(kind, base64Chars);
}

/** What a MIME type's tokens depend on; null where it says nothing. */
function kindOf(mimeType: string): MediaKind | 'text' | null {
  const type = mimeType.toLowerCase();
  if (type.startsWith('image/')) return 'image';
  if (type.startsWith('audio/')) return 'audio';
  if (type.startsWith('video/')) return 'video';
  if (type.startsWith('text/')) return 'text';
  return type === '' ? null : 'document';
}
