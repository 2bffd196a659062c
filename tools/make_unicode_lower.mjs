// Writes src/text/unicode_lower.c: the small letters of all capitals. Run by a Node.js whose process.versions.unicode is 17.
//
//   node make_unicode_lower.mjs > ../src/text/unicode_lower.c
const ranges = [];
for (let point = 0; point < 0x110000; point++) {
  if (point >= 0xd800 && point < 0xe000) continue;
  const lower = String.fromCodePoint(point).toLowerCase();
  const offset = lower.codePointAt(0) - point;
  if (offset === 0) continue;
  const last = ranges[ranges.length - 1];
  const gap = last ? point - last.end : 0;
  if (last && last.offset === offset && (last.begin === last.end ? gap <= 2 : gap === last.step)) {
    last.step = gap;
    last.end = point;
  } else {
    ranges.push({ begin: point, end: point, step: 1, offset });
  }
}
const hex = (value) => '0x' + value.toString(16).toUpperCase().padStart(4, '0');
const lines = [];
for (const range of ranges) {
  const row = `{ ${hex(range.begin)}, ${hex(range.end)}, ${range.step}, ${range.offset} },`;
  const last = lines[lines.length - 1];
  if (last && last.length + row.length < 96) lines[lines.length - 1] = `${last} ${row}`;
  else lines.push(`    ${row}`);
}
process.stdout.write(`/* Made by tools/make_unicode_lower.mjs from Unicode ${process.versions.unicode}. */
#include "text/unicode.h"

const tn_case_range tn_unicode_capitals[] = {
${lines.join('\n')}
};

const size_t tn_unicode_capital_count = sizeof tn_unicode_capitals / sizeof tn_unicode_capitals[0];
`);
